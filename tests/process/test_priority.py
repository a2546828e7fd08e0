"""Real-time priority of monitors that probe: taken where it may be, and never for long."""

import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import REAL_TIME, ROOT, may_go_first, needs
from tests.net.monitor import MonitorProcess
from tests.process.ordinary import UID
from vpcrouter.linux import privileges
from vpcrouter.plugins.contract import Worker
from vpcrouter.supervisor import worker
from workers.script import Script
from workers.tcp import Tcp

START_S = 15.0
FIRST = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
REFUSED = "no real-time priority"
BUSY = """
import os, signal, sys, time
from vpcrouter.linux import priority
assert not priority.go_first(lambda: print("ordinary again", flush=True), 0.1, 0.3), "refused"
print("first", os.sched_getscheduler(0) == os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, flush=True)
if "deaf" in sys.argv:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGXCPU])
if "restful" in sys.argv:
    for _ in range(30):
        until_s = time.process_time() + 0.01
        while time.process_time() < until_s:
            pass
        time.sleep(0.001)
until_s = time.process_time() + (0 if "restful" in sys.argv else 0.6)
while time.process_time() < until_s:
    pass
print("policy", os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
"""


@pytest.mark.parametrize("uid", [None, pytest.param(UID, marks=needs(ROOT))])
def test_a_monitor_that_probes_goes_first_where_it_may(
    uid: int | None, capfd: pytest.CaptureFixture[str]
) -> None:
    limited = resource.getrlimit(resource.RLIMIT_RTPRIO)[0] == 0
    is_allowed = may_go_first() if uid is None else not limited
    with socket.create_server(("127.0.77.1", 0)) as server:
        port = server.getsockname()[1]
        with MonitorProcess("tcp", uid=uid, tcp_check_port=port) as monitor:
            monitor.use("127.0.77.1")
            monitor.expect("healthy", lambda r: bool(r.healthy), START_S)
            pid = monitor.process.pid
            assert pid is not None
            policy = os.sched_getscheduler(pid)
            status = Path(f"/proc/{pid}/status").read_text()
    assert policy == (FIRST if is_allowed else os.SCHED_OTHER)
    assert (REFUSED in capfd.readouterr().err) is not is_allowed
    effective = next(line for line in status.splitlines() if line.startswith("CapEff"))
    assert int(effective.split()[1], 16) & 1 << 23 == 0, "CAP_SYS_NICE is given up"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BUSY, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@needs(REAL_TIME)
def test_one_that_never_rests_is_an_ordinary_process_again() -> None:
    done = run()
    assert done.stderr == ""
    assert done.stdout.split("\n")[:2] == ["first True", "ordinary again"]
    assert f"policy {os.SCHED_OTHER}" in done.stdout


@needs(REAL_TIME)
def test_one_that_rests_stays_first_however_much_it_does() -> None:
    done = run("restful")
    assert done.stdout == f"first True\npolicy {os.SCHED_FIFO}\n", done.stderr


@needs(REAL_TIME)
def test_one_that_hears_no_signal_is_killed() -> None:
    assert run("deaf").returncode == -signal.SIGKILL


@pytest.mark.parametrize(("kind", "may"), [(Tcp, True), (Script, False), (None, False)])
def test_nobody_else_may_have_it(
    kind: type[Worker] | None, may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the unit's limit is, that of commands of a script monitor is 0."""
    limits: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    for name in ("gain_no_more", "hide_memory", "give_up"):
        monkeypatch.setattr(privileges, name, lambda *_: None)
    worker._give_up_rights(kind)
    assert limits == ({} if may else {resource.RLIMIT_RTPRIO: (0, 0)})
