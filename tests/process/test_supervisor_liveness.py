"""A daemon beside a monitor that lies, and with a supervisor that hangs or fails."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import CIDR, HOSTS, StartDaemon
from tests.process.daemon import CHECK_PORT, ROOT, Daemon, Hosts, arguments, descendants
from tests.process.supervised import OBSERVER, StartSupervised, assert_gone, run_first
from tests.waiting import wait_until
from vpcrouter.errors import EX_SOFTWARE
from vpcrouter.model.messages import MONITOR

PROMISED_S = 5.0
OURS = ("reconciler", "configfile", "tcp", "api", "control")


def test_a_monitor_that_lies_changes_no_route_and_delays_no_failover(
    ec2: EmbeddedEc2, net: Network, spec_file: Path, hosts: Hosts, tmp_path: Path
) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "rogue.py").write_text("from tests.process.rogue_plugin import Rogue\n")
    for table in net.table_ids:
        net.create_route(table, CIDR, HOSTS[0])
    flags = (
        *("-f", str(spec_file), "-H", "multi", "--multi_plugins", "tcp:others.rogue"),
        *("--tcp_check_port", str(CHECK_PORT), "--tcp_check_interval", "0.2"),
    )
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with Daemon(ec2, tmp_path, *arguments(net, tmp_path, *flags), env=env) as daemon:
        daemon.wait_log('event="too many invalid messages; sending SIGKILL" subject=rogue', 20)
        pids = daemon.worker_pids()
        assert set(net.routes(CIDR).values()) == {HOSTS[0]}
        hosts.kill(HOSTS[0])
        wait_until(lambda: HOSTS[0] not in net.routes(CIDR).values(), 10, daemon.log)
        daemon.wait_log('event="too many invalid messages; sending SIGKILL"', 20, count=2)
        after = daemon.worker_pids()
        assert {name: after[name] for name in OURS} == {name: pids[name] for name in OURS}
        assert daemon.json("/")["workers"]["rogue"]["invalid_messages"] >= 20
        assert daemon.json("/route_spec") == {CIDR: list(HOSTS)}
        assert "Traceback" not in daemon.log()
    # It has ended, although the rogue's module has left a thread in the supervisor.


def test_health_says_within_seconds_that_the_supervisor_does_not_turn(
    start_daemon: StartDaemon, hosts: Hosts
) -> None:
    daemon = start_daemon()
    daemon.wait_healthy()
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        stopped_s = time.monotonic()
        wait_until(lambda: daemon.get("/health")[0] == 503, PROMISED_S, daemon.log, patience=1.0)
        assert time.monotonic() - stopped_s < PROMISED_S
        assert "supervisor has not reported for" in daemon.json("/health")["reasons"][0]
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    daemon.wait_healthy()


FAILING = """
import os, sys
if "tests.process.driver" in sys.orig_argv:
    import threading, time
    from vpcrouter.supervisor.supervisor import Supervisor

    def tend(self):
        if os.path.exists(os.environ["FAIL_NOW"]):
            raise RuntimeError("as told")

    Supervisor._tend_systemd = tend
    threading.Thread(target=time.sleep, args=(600,)).start()
"""
"""A supervisor that fails, and has a thread that the interpreter would wait for."""


def test_a_supervisor_that_fails_ends_everything_to_be_started_again(
    supervise: StartSupervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_first(FAILING, tmp_path, monkeypatch)
    now = tmp_path / "now"
    monkeypatch.setenv("FAIL_NOW", str(now))
    supervised = supervise(OBSERVER, *((n, MONITOR, "Obedient") for n in ("one", "loop", "two")))
    workers = supervised.wait_running()
    supervised.order("loop", "loop")
    wait_until(lambda: supervised.has_heard("loop"), 10, supervised.log)
    processes = descendants(supervised.process.pid)
    assert len(processes) > len(workers), "the forker is one of them, too"
    now.touch()
    assert supervised.wait_end(10.0) == EX_SOFTWARE
    assert_gone(processes, 2.0)
    assert 'event="supervisor failed; all workers killed"' in supervised.log()
    assert "RuntimeError: as told" in supervised.log()
