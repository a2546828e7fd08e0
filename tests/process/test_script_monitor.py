"""The script monitor, end to end: real daemon, real commands, EC2 over HTTP."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import Daemon, assert_refused, descendants
from tests.process.test_routing import target, wait_rechecks, wait_target
from tests.waiting import wait_until

COMMAND = """#!/bin/sh
# What the file named after the host says is done.
if [ ! -s "{folder}/asked-$1" ]; then
    env > "{folder}/env-$1"
    echo "looked at $1" "$@" > "{folder}/asked-$1"
fi
[ -e "{folder}/$1" ] && . "{folder}/$1"
exit 0
"""
SLEEP = f"sleep 1{os.getpid():07}"
BREEDS = f"""
(setsid sh -c 'exec {SLEEP}' &)
setsid {SLEEP} &
({SLEEP} &)
exec {SLEEP}
"""
"""Children, and daemons that have left session and parents."""

Start = Callable[..., Daemon]


class Script:
    """The command, and what it does for each host."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.path = folder / "check it"
        self.path.write_text(COMMAND.format(folder=folder))
        self.path.chmod(0o755)

    def does(self, host: str, what: str) -> None:
        new = self.folder / f"new-{host}"
        new.write_text(what + "\n")
        new.rename(self.folder / host)

    def flags(self) -> tuple[str, ...]:
        return (
            *(
                "--health",
                "script",
                "--script_command",
                f"'{self.path}' {{host}} --of={{host}} $HOME",
            ),
            *("--script_interval", "0.5", "--script_timeout", "0.4"),
        )


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script")


def breeders() -> set[int]:
    """All processes that `BREEDS` has made, of this user."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if SLEEP.replace(" ", "\0").encode() in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def ips(daemon: Daemon, kind: str) -> list[str]:
    found: list[str] = daemon.json("/ips")[kind]
    return found


def test_exit_status_2_moves_the_routes(
    net: Network, script: Script, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon(*script.flags())
    first = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    script.does(first, "exit 2")
    wait_target(net, set(HOSTS) - {first})
    assert ips(daemon, "failed_ips") == [first]
    script.does(first, "exit 0")
    wait_until(lambda: not ips(daemon, "failed_ips"), 30, daemon.log)
    assert target(net) != first


def test_what_a_command_is_given(net: Network, script: Script, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(*script.flags(), env={"MY_TOKEN": "secret"})
    wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    host = HOSTS[0]
    path = script.folder / f"asked-{host}"
    asked = wait_until(lambda: path.exists() and path.read_text(), 10, daemon.log)
    assert asked == f"looked at {host} {host} --of={host} $HOME\n", "there is no shell"
    lines = (script.folder / f"env-{host}").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert {"PATH", "VPCROUTER_HOST"} <= names
    assert names <= {"PATH", "HOME", "LANG", "VPCROUTER_HOST", "PWD", "OLDPWD", "_", "SHLVL"}


def test_a_questionable_host_loses_its_routes_to_a_healthy_one(
    net: Network, script: Script, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon(*script.flags())
    first = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    script.does(first, "exit 1")
    wait_target(net, set(HOSTS) - {first})
    assert ips(daemon, "questionable_ips") == [first]
    assert ips(daemon, "failed_ips") == []
    script.does(first, "exit 0")
    wait_until(lambda: not ips(daemon, "questionable_ips"), 15, daemon.log)


def test_questionable_hosts_keep_their_routes_where_none_is_healthy(
    ec2: EmbeddedEc2, net: Network, script: Script, start_daemon: StartDaemon
) -> None:
    for host in HOSTS:
        script.does(host, "exit 1")
    daemon = start_daemon(*script.flags())
    chosen = wait_target(net, set(HOSTS))
    wait_until(lambda: len(ips(daemon, "questionable_ips")) == 3, 15, daemon.log)
    assert wait_rechecks(ec2, ec2.calls()[-1].seq) == []
    assert target(net) == chosen


def test_what_says_nothing_of_the_host_changes_nothing(
    ec2: EmbeddedEc2, net: Network, script: Script, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon(*script.flags())
    first = wait_target(net, set(HOSTS))
    for what, reason in (
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "command killed by signal 9"),
        ('rm "$0"; exit 0', "could not start command: No such file or directory"),
    ):
        daemon.wait_healthy()
        since = ec2.calls()[-1].seq
        script.does(first, what)
        daemon.wait_log(f"{reason}; not counted as a miss")
        assert [a for a in wait_rechecks(ec2, since) if a != "DescribeRouteTables"] == []
        assert ips(daemon, "failed_ips") == []
        assert target(net) == first
        script.does(first, "exit 0")


def test_a_command_out_of_time_is_killed_with_all_that_it_started(
    net: Network, script: Script, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon(*script.flags())
    first = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    script.does(first, BREEDS)
    wait_until(lambda: len(breeders()) == 4, 10, lambda: str(breeders()))
    wait_target(net, set(HOSTS) - {first})
    daemon.wait_log("command timed out after 0.4 s")
    script.does(first, "exit 2")
    wait_until(lambda: not breeders(), 3, lambda: str(breeders()))


def test_what_a_command_leaves_behind_ends_with_it(
    net: Network, script: Script, start_daemon: StartDaemon
) -> None:
    host = HOSTS[0]
    script.does(host, f'(setsid {SLEEP} &)\ntouch "$0.left"\nexit 0')
    start_daemon(*script.flags(), "--script_interval", "60")
    wait_target(net, set(HOSTS))
    wait_until(lambda: Path(f"{script.path}.left").exists(), 10, "the command has run")
    wait_until(lambda: not breeders(), 3, lambda: str(breeders()))


def test_no_command_outlives_who_is_killed(
    net: Network, script: Script, start_daemon: StartDaemon
) -> None:
    for host in HOSTS:
        script.does(host, BREEDS)
    daemon = start_daemon(*script.flags(), "--script_timeout", "30", "--script_interval", "60")

    def wait_bred() -> set[int]:
        wait_until(lambda: len(breeders()) == 12, 20, lambda: f"{breeders()}\n{daemon.log()}")
        return breeders()

    before = wait_bred()
    worker = daemon.worker_pids()["script"]
    guard = min(children_of(keeper_of(worker)))
    gone = before & descendants(guard)
    os.kill(guard, signal.SIGKILL)
    wait_gone(gone)
    assert before & breeders() == before - gone, "the others go on"
    daemon.wait_log("command result unknown")
    assert daemon.worker_pids()["script"] == worker

    for is_keeper in (False, True):
        before, worker = breeders(), daemon.worker_pids()["script"]
        os.kill(keeper_of(worker) if is_keeper else worker, signal.SIGKILL)
        wait_gone(before)
        wait_bred()
    os.kill(daemon.pid, signal.SIGKILL)
    wait_until(lambda: not breeders(), 2, lambda: str(breeders()))
    daemon.wait_exit()


def wait_gone(processes: set[int]) -> None:
    wait_until(lambda: not processes & breeders(), 2, lambda: str(breeders()))


def keeper_of(worker: int) -> int:
    (keeper,) = children_of(worker)
    return keeper


def children_of(pid: int) -> set[int]:
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(word) for word in words}


def test_a_stop_leaves_no_command(net: Network, script: Script, start_daemon: StartDaemon) -> None:
    for host in HOSTS:
        script.does(host, BREEDS)
    daemon = start_daemon(*script.flags(), "--script_timeout", "30", "--script_interval", "60")
    wait_until(lambda: len(breeders()) == 12, 20, daemon.log)
    everybody = descendants(daemon.pid)
    assert daemon.end() == 0
    assert not breeders()
    wait_until(lambda: not [p for p in everybody if Path(f"/proc/{p}").exists()], 3, "leftovers")


@pytest.mark.parametrize(
    ("flags", "faults"),
    [
        ([], ["script_command: is needed, such as /usr/local/bin/check {host}"]),
        (
            ["--script_command", "/nowhere/check {host}"],
            ["script_command: /nowhere/check is not an executable program"],
        ),
        (
            ["--script_command", "true '{host}"],
            ['--script_command: must be a command: no closing quotation, not "true \'{host}"'],
        ),
        (
            ["--script_command", "true", "--script_timeout", "10"],
            ["script_timeout (10 s) must be less than script_interval (10 s)"],
        ),
    ],
)
def test_wrong_settings(flags: list[str], faults: list[str], spec_file: Path) -> None:
    assert_refused("script", flags, spec_file, faults)
