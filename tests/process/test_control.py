"""supervisorctl, the real one, on the real daemon."""

import contextlib
import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.network import Network
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import BIN, Daemon, Hosts, descendants
from tests.process.test_routing import target, wait_target
from tests.waiting import wait_until
from vpcrouter.errors import EX_UNAVAILABLE

pytestmark = pytest.mark.usefixtures("hosts")

WORKERS = ("api", "configfile", "control", "reconciler", "tcp")
# What a client says to a file is seen at once, as what it says to a terminal is.
ENV = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
CLIENT_S = 30.0


class Client:
    """supervisorctl on one control socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "control.sock"
        self.command = [str(BIN / "supervisorctl"), "-s", f"unix://{self.socket}"]

    def run(self, *words: str) -> tuple[int, str]:
        """Exit status and what it says."""
        done = subprocess.run(
            [*self.command, *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=CLIENT_S,
            env=ENV,
            cwd=self.folder,
        )
        return done.returncode, done.stdout + done.stderr

    def states(self) -> dict[str, str]:
        lines = self.run("status")[1].splitlines()
        return {line.split()[0].removeprefix("vpcrouter:"): line.split()[1] for line in lines}

    def pid(self, name: str) -> int:
        return int(self.run("pid", f"vpcrouter:{name}")[1])

    @contextlib.contextmanager
    def following(self, *words: str) -> Iterator[Path]:
        """A file that fills with what the client says until the block ends."""
        path = self.folder / "said"
        with path.open("wb") as said:
            client = subprocess.Popen(
                [*self.command, *words], stdout=said, stderr=said, env=ENV, cwd=self.folder
            )
            try:
                yield path
            finally:
                # More than once, as a user would: on a busy machine one had no effect.
                wait_until(lambda: _interrupted(client), CLIENT_S, "the client has ended", 1.0)


def _interrupted(client: subprocess.Popen[bytes]) -> bool:
    client.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        client.wait(2)
    return client.returncode is not None


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


@pytest.fixture
def daemon(start_daemon: StartDaemon, client: Client) -> Daemon:
    """A daemon whose workers are all RUNNING."""
    daemon = start_daemon()
    daemon.wait_running()
    wait_until(lambda: set(client.states().values()) == {"RUNNING"}, 30, daemon.log)
    return daemon


def test_status_avail_and_pid_have_a_line_for_each_worker(daemon: Daemon, client: Client) -> None:
    status, said = client.run("status")
    assert status == 0
    lines = said.splitlines()
    for name, line in zip(WORKERS, lines, strict=True):
        assert re.fullmatch(rf"vpcrouter:{name} +RUNNING +pid \d+, uptime 0:00:\d\d", line)
    for words in ("vpcrouter:*", "all"):
        again = client.run("status", words)[1]
        assert re.sub("uptime.*", "", again) == re.sub("uptime.*", "", said)
    assert client.run("status", "vpcrouter:nothing")[0] == 4
    lines = client.run("avail")[1].splitlines()
    for name, line in zip(WORKERS, lines, strict=True):
        assert re.fullmatch(rf"vpcrouter:{name} +in use +auto +999:999", line)
    assert client.run("pid") == (0, f"{daemon.pid}\n")
    pids = daemon.worker_pids()
    assert client.run("pid", "all")[1].split() == [str(pids[name]) for name in WORKERS]
    assert client.run("pid", "vpcrouter:tcp", "tcp")[1].split() == [str(pids["tcp"])] * 2
    assert client.run("pid", "vpcrouter:nothing") == (1, "No such process vpcrouter:nothing\n")


def test_the_socket_is_its_owners_alone_and_vpcrouterctl_finds_it_by_the_settings(
    daemon: Daemon, client: Client, tmp_path: Path
) -> None:
    assert stat.S_IMODE(client.socket.stat().st_mode) == 0o600
    folder = client.folder / "state" / "log"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    ini = tmp_path / "vpcrouter.ini"
    ini.write_text(f"[vpcrouter]\ncontrol_socket = {client.socket}\nport = none of ours\n")
    done = subprocess.run(
        [BIN / "vpcrouterctl", "--config", ini, "tail", "-9", "vpcrouter:tcp"],
        check=True,
        capture_output=True,
        timeout=CLIENT_S,
    )
    assert len(done.stdout) == 10


def test_one_worker_is_stopped_started_and_restarted(daemon: Daemon, client: Client) -> None:
    first = client.pid("tcp")
    assert client.run("stop", "vpcrouter:tcp") == (0, "vpcrouter:tcp: stopped\n")
    status, said = client.run("status", "vpcrouter:tcp")
    assert status == 3
    assert re.fullmatch(r"vpcrouter:tcp +STOPPED +\w{3} \d\d \d\d:\d\d [AP]M\n", said)
    assert client.run("pid", "vpcrouter:tcp") == (7, "0\n")
    assert client.run("stop", "vpcrouter:tcp")[1] == "vpcrouter:tcp: ERROR (not running)\n"
    assert client.run("start", "vpcrouter:tcp") == (0, "vpcrouter:tcp: started\n")
    second = client.pid("tcp")
    assert second not in (0, first)
    assert client.run("start", "vpcrouter:tcp")[1] == "vpcrouter:tcp: ERROR (already started)\n"
    assert client.run("restart", "vpcrouter:tcp") == (
        0,
        "vpcrouter:tcp: stopped\nvpcrouter:tcp: started\n",
    )
    assert client.pid("tcp") not in (0, first, second)


def test_all_workers_but_the_one_that_serves_it(daemon: Daemon, client: Client) -> None:
    others = [name for name in WORKERS if name != "control"]
    for all_of_them in ("vpcrouter:*", "all"):
        before = daemon.worker_pids()
        assert client.run("restart", all_of_them)[0] == 0
        after = daemon.worker_pids()
        assert [name for name in WORKERS if before[name] == after[name]] == ["control"]
        status, said = client.run("stop", all_of_them)
        assert status == 0
        assert sorted(said.splitlines()) == [f"vpcrouter:{name}: stopped" for name in others]
        assert client.states() == {**dict.fromkeys(others, "STOPPED"), "control": "RUNNING"}
        status, said = client.run("start", all_of_them)
        assert status == 0
        assert sorted(said.splitlines()) == [f"vpcrouter:{name}: started" for name in others]
        daemon.wait_healthy()


REFUSED = {
    ("stop", "vpcrouter:control"): (1, "FAILED: vpcrouter:control cannot be stopped: it serves"),
    ("stop", "vpcrouter:nothing"): (1, "vpcrouter:nothing: ERROR (no such process)"),
    ("start", "vpcrouter:nothing"): (1, "vpcrouter:nothing: ERROR (no such process)"),
    ("stop", "others:*"): (1, "others: ERROR (no such group)"),
    ("signal", "NOTHING", "vpcrouter:tcp"): (1, "vpcrouter:tcp: ERROR (bad signal name)"),
    ("tail", "vpcrouter:nothing"): (1, "vpcrouter:nothing: ERROR (no such process name)"),
    ("tail", "-f", "vpcrouter:nothing"): (0, "Cannot read, status code 404"),
    ("reload",): (1, "FAILED: not supported"),
    ("add", "vpcrouter"): (0, "ERROR: process group already active"),
    ("remove", "vpcrouter"): (1, "ERROR: process/group still running: vpcrouter"),
}


def test_what_cannot_be_is_refused_in_supervisors_words(daemon: Daemon, client: Client) -> None:
    assert re.fullmatch(r"\d+\.\d+\S*\n", client.run("version")[1])
    pids = daemon.worker_pids()
    for words, (expected_status, expected) in REFUSED.items():
        status, said = client.run(*words)
        assert expected in said, words
        assert status == expected_status, words
    assert daemon.worker_pids() == pids


def test_a_signalled_worker_is_replaced(daemon: Daemon, client: Client) -> None:
    pids = daemon.worker_pids()
    assert client.run("signal", "KILL", "vpcrouter:tcp") == (0, "vpcrouter:tcp: signalled\n")
    daemon.wait_log('subject=tcp pid={} by="signal 9"'.format(pids["tcp"]))
    wait_until(lambda: client.pid("tcp") not in (0, pids["tcp"]), 10, daemon.log)
    status, said = client.run("signal", "USR1", "all")
    assert status == 0
    assert sorted(said.splitlines()) == [f"vpcrouter:{name}: signalled" for name in WORKERS]
    assert client.run("signal", "TERM", "vpcrouter:control")[0] == 0
    wait_until(lambda: client.pid("control") not in (0, pids["control"]), 20, daemon.log)


def test_each_workers_own_lines_are_shown_and_followed(
    daemon: Daemon, client: Client, spec_file: Path
) -> None:
    status, said = client.run("tail", "vpcrouter:tcp")
    assert status == 0
    assert "worker=tcp" in said
    assert {line.split("worker=")[1].split()[0] for line in said.splitlines() if line} == {"tcp"}
    assert len(client.run("tail", "-20", "vpcrouter:tcp")[1]) == 21
    with client.following("tail", "-f", "vpcrouter:configfile") as followed:
        wait_until(lambda: b"Ctrl-C" in followed.read_bytes(), 10, "the client's greeting")
        spec_file.write_text("{")
        wait_until(lambda: b"route spec refused" in followed.read_bytes(), 10, daemon.log)
    assert client.run("clear", "vpcrouter:configfile") == (0, "vpcrouter:configfile: cleared\n")
    assert client.run("tail", "vpcrouter:configfile") == (0, "\n")


def test_the_daemons_own_lines_are_shown_and_followed(daemon: Daemon, client: Client) -> None:
    assert "worker=supervisor event=starting" in client.run("maintail", "-100000")[1]
    with client.following("maintail", "-f") as followed:
        wait_until(lambda: b"worker started" in followed.read_bytes(), 10, daemon.log)
        client.run("stop", "vpcrouter:tcp")
        wait_until(lambda: b"stop requested" in followed.read_bytes(), 10, daemon.log)


def test_with_a_logfile_that_is_the_main_log(
    start_daemon: StartDaemon, client: Client, tmp_path: Path
) -> None:
    daemon = start_daemon("--logfile", str(tmp_path / "main.log"))
    wait_until(client.socket.exists, 10, daemon.log)
    wait_until(lambda: "worker=tcp" in client.run("maintail", "-100000")[1], 20, daemon.log)


def test_a_state_folder_that_cannot_be_written_costs_the_logs_alone(
    start_daemon: StartDaemon, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "log").touch()
    daemon = start_daemon()
    daemon.wait_healthy()
    wait_until(lambda: "RUNNING" in client.run("status")[1], 20, daemon.log)
    assert client.run("tail", "vpcrouter:tcp")[1] == "vpcrouter:tcp: ERROR (no log file)\n"
    assert client.run("maintail")[1] == "supervisord: ERROR (no log file)\n"
    assert daemon.log().count("cannot be written") == 1


def test_what_is_stopped_by_hand_stays_stopped(
    net: Network, hosts: Hosts, daemon: Daemon, client: Client
) -> None:
    daemon.wait_healthy()
    first = wait_target(net, set(HOSTS))
    client.run("stop", "vpcrouter:configfile")
    status, said = daemon.get("/health")
    assert status == 503
    assert "configfile is STOPPED" in said
    hosts.kill(first)
    second = wait_target(net, set(HOSTS) - {first})
    old = daemon.worker_pids()["control"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: daemon.worker_pids().get("control", old) != old, 10, daemon.log)
    assert client.run("stop", "vpcrouter:tcp")[0] == 0, "the new generation adds to the orders"
    wait_until(lambda: client.states()["control"] == "RUNNING", 10, daemon.log)
    states = client.states()
    assert states["configfile"] == states["tcp"] == "STOPPED"
    assert target(net) == second
    assert client.run("start", "vpcrouter:configfile", "vpcrouter:tcp")[0] == 0
    daemon.wait_healthy()


def test_a_control_worker_that_hangs_delays_commands_and_nothing_else(
    net: Network, hosts: Hosts, start_daemon: StartDaemon, client: Client
) -> None:
    daemon = start_daemon("--silence_limit", "5")
    daemon.wait_healthy()
    first = wait_target(net, set(HOSTS))
    old = daemon.worker_pids()["control"]
    os.kill(old, signal.SIGSTOP)
    hosts.kill(first)
    wait_target(net, set(HOSTS) - {first})
    assert "vpcrouter:control" in client.run("status")[1], "answered by the next generation"
    assert daemon.worker_pids()["control"] != old


def test_a_second_daemon_is_refused_and_a_shutdown_of_the_first_leaves_nothing(
    daemon: Daemon, client: Client, start_daemon: StartDaemon
) -> None:
    family = descendants(daemon.pid)
    second = start_daemon()
    assert second.wait_exit() == EX_UNAVAILABLE
    assert f"another vpcrouterd is running with control socket {client.socket}" in second.log()
    assert client.run("pid") == (0, f"{daemon.pid}\n"), "undisturbed"
    assert client.run("shutdown") == (0, "Shut down\n")
    assert daemon.wait_exit() == 0
    assert not client.socket.exists()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), 5, str(family))


def test_a_stale_socket_is_replaced(
    daemon: Daemon, client: Client, start_daemon: StartDaemon
) -> None:
    daemon.end(signal.SIGKILL)
    assert client.socket.exists()
    again = start_daemon()
    wait_until(lambda: client.run("pid") == (0, f"{again.pid}\n"), 20, again.log)
