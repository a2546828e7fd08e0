"""The delivered unit under a real systemd: ready, status, watchdog, reload, stop, hardening."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.needs import needs
from tests.process.conftest import CIDR, HOSTS
from tests.process.daemon import BIN, CHECK_PORT, ROOT, Hosts
from tests.process.machine import UNIT, Machine
from tests.process.test_routing import target, wait_target
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.usefixtures("hosts"),
    pytest.mark.timeout(300),
]

CAP_NET_RAW = 1 << 13
WATCHDOG_S = 20.0
IMPATIENT = f"WatchdogSec={WATCHDOG_S:g}\n"
"""A watchdog as short as a silence limit of 8 s allows, so that tests need not wait for longer."""
KEPT = ("/proc/sys/net/unix/max_dgram_qlen", "/proc/sys/fs/nr_open", "/proc/sys/fs/file-max")
STRANGE = (
    *("/opt/test", "/etc/vpcrouter.ini", "/run/vpcrouter", "/run/systemd/private"),
    *("/var/lib/vpcrouter", "/var/lib/private/vpcrouter"),
)
EXPOSURE = 2.0

Boot = Callable[..., Machine]


def analyze(unit: Path, *words: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words, unit], check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout + done.stderr


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The delivered unit, for the command that is installed here."""
    text = (ROOT / UNIT).read_text()
    assert "ExecStart=/opt/vpcrouter/bin/vpcrouterd" in text
    path = tmp_path / UNIT
    path.write_text(text.replace("/opt/vpcrouter/bin", str(BIN)))
    return path


@needs("systemd-analyze", "man")  # it looks for the page that the unit names
def test_systemd_finds_nothing_to_complain_of(unit: Path) -> None:
    assert analyze(unit, "verify") == ""


@needs("systemd-analyze")
def test_the_service_is_hardly_exposed(unit: Path) -> None:
    said = analyze(unit, "security", "--offline=yes", "--no-pager")
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= EXPOSURE, said


def traces(folder: Path) -> tuple[object, ...]:
    """What of a test's machine could be seen on the one that it runs on."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return (
        [line for line in mounts if str(folder) in line],
        [path for path in map(Path, STRANGE) if path.exists()],
        [Path(path).read_text() for path in KEPT],
    )


@pytest.fixture
def boot(ec2: EmbeddedEc2, net: Network, tmp_path: Path) -> Iterator[Boot]:
    """Boots a machine with the daemon's files on it; told a drop-in and lines for the INI."""
    before = traces(tmp_path)
    with ExitStack() as stack:

        def boot(drop_in: str = "", ini: str = "health = tcp") -> Machine:
            folder = tmp_path / "machine"
            folder.mkdir(mode=0o755)
            machine = Machine(ec2, folder, drop_in)
            (folder / "route-spec.conf").write_text(json.dumps({CIDR: HOSTS}))
            (folder / "vpcrouter.ini").write_text(f"""
[vpcrouter]
vpc = {net.vpc_id}
port = 0
silence_limit = 8
route_recheck_interval = 1
{ini}
[configfile]
file = /opt/test/route-spec.conf
[tcp]
tcp_check_port = {CHECK_PORT}
tcp_check_interval = 0.3
""")
            return stack.enter_context(machine)

        yield boot
    assert traces(tmp_path) == before


def started(machine: Machine) -> Machine:
    done = machine.systemctl("start")
    assert done.returncode == 0, done.stderr + machine.log()
    return machine


def wait_active(machine: Machine, timeout_s: float = 60.0) -> None:
    wait_until(lambda: machine.shown("ActiveState") == "active", timeout_s, machine.log)


def pinged_s(machine: Machine) -> float:
    """When the watchdog was last pinged, on the monotonic clock."""
    return int(machine.shown("WatchdogTimestampMonotonic")) / 1e6


def test_it_is_started_once_the_routes_are_right_and_says_what_it_decides(
    boot: Boot, net: Network, hosts: Hosts, ec2: EmbeddedEc2
) -> None:
    machine = started(boot())
    first = target(net)
    assert first in HOSTS
    assert machine.shown("ActiveState") == "active"
    assert machine.shown("WatchdogUSec") == "45s"

    def status() -> str:
        return machine.shown("StatusText")

    def last_decision() -> str:
        return machine.log().split("event=cycle decided=")[-1].splitlines()[0].strip('"')

    wait_until(lambda: status() == last_decision(), 5, lambda: f"{status()}\n{machine.log()}")
    wait_until(
        lambda: f'Status: "{last_decision()}"' in machine.systemctl("status").stdout, 5, status
    )
    ec2.set_faults([{"action": "*", "kind": "drop"}])
    wait_until(lambda: "Describe" in status(), 10, status)
    ec2.set_faults([])
    wait_until(lambda: status() == last_decision(), 15, status)
    hosts.kill(str(first))
    wait_target(net, set(HOSTS) - {str(first)})
    assert machine.shown("NRestarts") == "0"


def test_a_supervisor_that_hangs_is_killed_and_routes_again(
    boot: Boot, net: Network, hosts: Hosts
) -> None:
    machine = started(boot(IMPATIENT))
    first, workers = wait_target(net, set(HOSTS)), machine.service_pids()
    os.kill(machine.main_pid(), signal.SIGSTOP)
    hosts.kill(first)
    wait_until(lambda: machine.shown("NRestarts") == "1", WATCHDOG_S + 10, machine.log)
    wait_active(machine)
    wait_target(net, set(HOSTS) - {first})
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert "Fatal Python error: Aborted" in machine.log(), "where it hung is in the log"


def test_a_reconciler_that_hangs_is_replaced_and_systemd_notices_nothing(
    boot: Boot, net: Network, hosts: Hosts
) -> None:
    machine = started(boot(IMPATIENT))
    first, supervisor = wait_target(net, set(HOSTS)), machine.main_pid()
    old = machine.worker_pids()["reconciler"]
    os.kill(old, signal.SIGSTOP)
    hosts.kill(first)
    wait_until(lambda: machine.worker_pids().get("reconciler", old) != old, 30, machine.log)
    replaced_s = time.monotonic()
    wait_target(net, set(HOSTS) - {first})
    wait_until(lambda: pinged_s(machine) > replaced_s, WATCHDOG_S, machine.log)
    assert machine.main_pid() == supervisor
    assert machine.shown("NRestarts") == "0"


def test_a_reconciler_stopped_by_hand_is_no_reason_to_kill(boot: Boot) -> None:
    machine = started(boot(IMPATIENT))
    client = ("/opt/vpcrouter/bin/python3", "-m", "supervisor.supervisorctl")
    socket = "unix:///run/vpcrouter/control.sock"
    said = machine.run(*client, "-s", socket, "stop", "vpcrouter:reconciler")
    assert said.stdout == "vpcrouter:reconciler: stopped\n"
    wait_until(lambda: "reconciler is STOPPED" in machine.shown("StatusText"), 5, machine.log)
    stopped_s = time.monotonic()
    wait_until(lambda: pinged_s(machine) > stopped_s + WATCHDOG_S / 2, 2 * WATCHDOG_S, machine.log)
    assert machine.shown("NRestarts") == "0"


def test_a_start_without_ec2_goes_on_for_longer_than_its_time_out(
    boot: Boot, ec2: EmbeddedEc2
) -> None:
    ec2.set_faults([{"action": "*", "kind": "hang"}])
    machine = boot(IMPATIENT + "TimeoutStartSec=3\n")
    machine.systemctl("start", "--no-block")
    machine.wait_log("worker started")
    started_s = time.monotonic()
    wait_until(lambda: time.monotonic() - started_s > 5, 10, "five seconds")
    assert machine.shown("ActiveState") == "activating"
    ec2.set_faults([])
    wait_active(machine)
    assert machine.shown("NRestarts") == "0"


def test_a_start_that_hangs_is_ended_and_tried_again(boot: Boot) -> None:
    machine = boot(IMPATIENT + "TimeoutStartSec=3\n")
    machine.systemctl("start", "--no-block")
    machine.wait_log("event=starting")
    os.kill(machine.main_pid(), signal.SIGSTOP)
    wait_until(lambda: machine.shown("NRestarts") == "1", WATCHDOG_S + 10, machine.log)
    wait_active(machine)


def test_reload(boot: Boot) -> None:
    machine = started(boot())
    supervisor = machine.main_pid()
    ini = machine.folder / "vpcrouter.ini"
    good = ini.read_text()
    ini.write_text(good.replace("tcp_check_interval = 0.3", "tcp_check_interval = 0.4"))
    assert machine.systemctl("reload").returncode == 0
    machine.wait_log('event="configuration reloaded"')
    wait_until(
        lambda: machine.json("/")["params"].get("tcp_check_interval") == 0.4, 10, machine.log
    )
    ini.write_text(good.replace("silence_limit = 8", "silence_limit = 60"))
    assert machine.systemctl("reload").returncode == 0
    machine.wait_log("systemd's watchdog expires after 45 s")
    wait_active(machine)
    assert machine.main_pid() == supervisor


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("prot = 80", "[vpcrouter] prot: unknown option"),
        ("silence_limit = 40", "systemd's watchdog expires after 45 s"),
    ],
)
def test_wrong_settings_end_it_for_good(wrong: str, said: str, boot: Boot) -> None:
    machine = boot()
    ini = machine.folder / "vpcrouter.ini"
    ini.write_text(ini.read_text().replace("silence_limit = 8", wrong))
    assert machine.systemctl("start").returncode != 0
    assert said in machine.log()
    assert machine.shown("SubState") == "failed", "and not about to be started again"
    assert (machine.shown("ExecMainStatus"), machine.shown("NRestarts")) == ("78", "0")


def test_a_stop_is_short_and_leaves_the_routes(boot: Boot, net: Network) -> None:
    machine = started(boot())
    before = net.routes(CIDR)
    assert None not in before.values()
    started_s = time.monotonic()
    assert machine.systemctl("stop").returncode == 0
    assert time.monotonic() - started_s < 5
    assert machine.service_pids() == set()
    assert machine.shown("Result") == "success"
    assert net.routes(CIDR) == before


def test_every_monitor_works_under_the_hardening(boot: Boot, hosts: Hosts) -> None:
    machine = started(
        boot(
            ini="health = multi\n[multi]\nmulti_plugins = icmpecho:tcp:script\n"
            "[script]\nscript_command = /bin/true {host}\n"
            "script_interval = 1\nscript_timeout = 0.9"
        )
    )
    machine.wait_healthy()
    wait_until(
        lambda: sorted(machine.json("/ips")["working_set"]) == sorted(HOSTS), 20, machine.log
    )
    hosts.kill(HOSTS[0])
    wait_until(lambda: machine.json("/ips")["failed_ips"] == [HOSTS[0]], 20, machine.log)
    lines = [line for line in machine.log().splitlines() if "no real-time priority" not in line]
    for complaint in ("level=error", "level=warning worker=icmpecho", "not permitted", "Traceback"):
        assert complaint not in "\n".join(lines)


def test_only_what_probes_goes_first_where_the_unit_allows_it(boot: Boot) -> None:
    """By its limit; where a test's machine cannot raise that, by the capability."""
    allow = "CapabilityBoundingSet=CAP_SYS_NICE\nAmbientCapabilities=CAP_SYS_NICE\n"
    machine = started(
        boot(
            allow,
            ini="health = multi\n[multi]\nmulti_plugins = icmpecho:tcp:script\n"
            "[script]\nscript_command = /bin/true {host}\nscript_timeout = 0.9",
        )
    )
    machine.wait_healthy()
    first = {"icmpecho", "tcp"}

    def policies() -> dict[str, int]:
        pids = machine.worker_pids()
        return {name: os.sched_getscheduler(pid) for name, pid in pids.items()}

    wait_until(
        lambda: {name for name, policy in policies().items() if policy != os.SCHED_OTHER} == first,
        20,
        lambda: f"{policies()}\n{machine.log()}",
    )
    limits = Path(f"/proc/{machine.worker_pids()['script']}/limits").read_text()
    assert re.search(r"Max realtime priority +0 +0", limits)
    assert {policies()[name] for name in first} == {os.SCHED_FIFO | os.SCHED_RESET_ON_FORK}


def test_the_hardening_is_in_force(boot: Boot) -> None:
    machine = started(boot())
    pids = machine.service_pids()
    assert len(pids) > 5
    for pid in pids:
        facts = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert (facts["Seccomp"], facts["NoNewPrivs"]) == ("2", "1")
        assert {int(facts[name], 16) & ~CAP_NET_RAW for name in ("CapBnd", "CapPrm")} == {0}
        assert "0" not in facts["Uid"].split()
    root = Path(f"/proc/{machine.main_pid()}/root")
    assert list((root / "root").iterdir()) == [], "ProtectHome"
    assert not (root / "proc" / "meminfo").exists(), "ProcSubset"
    options = {
        line.split()[4]: line.split()[5].split(",")
        for line in Path(f"/proc/{machine.main_pid()}/mountinfo").read_text().splitlines()
    }
    assert "ro" in options["/"], "ProtectSystem"
    assert "noexec" in options["/dev"], "PrivateDevices"
    state = root / "var" / "lib" / "vpcrouter"
    assert state.stat().st_uid == int(facts["Uid"].split()[0])
    assert machine.shown("DynamicUser") == "yes"
