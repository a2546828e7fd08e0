"""What systemd is told, and when."""

import os
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from vpcrouter.supervisor import systemd
from vpcrouter.supervisor.lifecycle import LifePolicy
from vpcrouter.supervisor.systemd import PATIENCE_S, Watchdog

PING = "WATCHDOG=1"
MINE = str(os.getpid())
ENVIRON = {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": MINE}


class Manager:
    """systemd's end of the notify socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def said(self) -> list[str]:
        found: list[str] = []
        while True:
            try:
                found.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    path = tmp_path / "notify"
    manager = Manager(path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    with manager.socket:
        yield manager


def watchdog(environ: dict[str, str] | None = None) -> Watchdog:
    return Watchdog(ENVIRON if environ is None else environ, int(MINE))


def test_without_systemd_nothing_happens() -> None:
    assert systemd.notify("READY=1")


def test_one_gone_is_no_error(manager: Manager) -> None:
    manager.socket.close()
    assert not systemd.notify("READY=1")


@pytest.mark.usefixtures("manager")
def test_a_full_queue_does_not_block() -> None:
    taken = [systemd.notify("STATUS=x") for _ in range(10_000)]
    assert taken[0]
    assert not taken[-1]


def test_an_abstract_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0vpcrouter-{MINE}")
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@vpcrouter-{MINE}")
        systemd.notify("READY=1")
        assert receiver.recv(100) == b"READY=1"


def test_a_status_cannot_be_taken_for_something_else(manager: Manager) -> None:
    systemd.notify(systemd.status("lost:\nREADY=1\udc80"))
    assert manager.said() == ["STATUS=lost: READY=1?"]


def test_a_status_is_cut_between_characters() -> None:
    said = systemd.status("é" * systemd.MAX_STATUS_BYTES).encode()
    assert len(said) <= len("STATUS=") + systemd.MAX_STATUS_BYTES
    assert said.decode().endswith("é")
    assert systemd.status("x" + "é" * systemd.MAX_STATUS_BYTES).endswith("é")


def test_a_reload_says_when_it_began(manager: Manager) -> None:
    systemd.reloading()
    systemd.ready()
    systemd.stopping()
    begun, done, ending = manager.said()
    assert begun.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert int(begun.rpartition("=")[2]) > 0
    assert done == f"READY=1\nMAINPID={MINE}"
    assert ending == "STOPPING=1\nSTATUS=stopping"


@pytest.mark.parametrize(
    ("environ", "limit_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "45000000"}, 45.0),
        ({"WATCHDOG_USEC": "45000000", "WATCHDOG_PID": MINE}, 45.0),
        ({"WATCHDOG_USEC": "45000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_whose_watchdog_it_is(environ: dict[str, str], limit_s: float | None) -> None:
    assert systemd.watchdog_s(environ, int(MINE)) == limit_s


@pytest.mark.parametrize(("limit_s", "is_good"), [(31.2, True), (31.1, False), (10, False)])
def test_the_watchdog_must_wait_for_longer_than_the_supervisor(
    limit_s: float, is_good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = LifePolicy(silence_limit_s=20)
    assert systemd.watchdog_faults(policy) == ()
    monkeypatch.setenv("WATCHDOG_USEC", str(int(limit_s * 1e6)))
    faults = systemd.watchdog_faults(policy)
    assert (faults == ()) is is_good
    assert is_good or faults[0].startswith("silence_limit: at 20 s replacing a hung worker")


class TestPing:
    def test_half_the_limit_apart(self, manager: Manager) -> None:
        dog = watchdog()
        sent_s = []
        for tenth in range(1000):
            dog.turned()
            dog.tend(tenth / 10, is_ready=True, is_excused=False)
            sent_s += [tenth / 10 for _ in manager.said()]
        assert sent_s[:3] == [0.0, 10.0, 20.0]
        assert max(b - a for a, b in pairwise(sent_s)) <= 10.0

    def test_none_while_the_reconciler_is_silent(self, manager: Manager) -> None:
        dog = watchdog()
        dog.tend(0, is_ready=True, is_excused=False)
        assert manager.said() == [PING]
        for now_s in range(1, 100):
            dog.tend(now_s, is_ready=True, is_excused=False)
        assert manager.said() == []
        dog.turned()
        dog.tend(100, is_ready=True, is_excused=False)
        assert manager.said() == [PING]

    def test_from_one_to_the_next_is_the_longest_silence_at_most(self, manager: Manager) -> None:
        silence_s = 16.0
        for hung_s in (0.0, 0.5, 9.5, 10.0, 10.5):
            dog = watchdog()
            sent_s = []
            for half in range(100):
                now_s = half / 2
                if now_s <= hung_s or now_s >= hung_s + silence_s:
                    dog.turned()
                dog.tend(now_s, is_ready=True, is_excused=False)
                sent_s += [now_s for _ in manager.said()]
            assert max(b - a for a, b in pairwise(sent_s)) <= silence_s

    def test_one_stopped_by_hand_is_excused(self, manager: Manager) -> None:
        dog = watchdog()
        for now_s in range(31):
            dog.tend(now_s, is_ready=True, is_excused=True)
        assert manager.said() == [PING] * 4

    def test_until_it_is_ready_the_start_is_given_more_time(self, manager: Manager) -> None:
        watchdog().tend(0, is_ready=False, is_excused=False)
        assert manager.said() == [f"{PING}\nEXTEND_TIMEOUT_USEC=20000000"]

    def test_without_a_watchdog_only_the_start_matters(self, manager: Manager) -> None:
        dog = watchdog({})
        dog.tend(0, is_ready=False, is_excused=False)
        assert manager.said() == [f"EXTEND_TIMEOUT_USEC={PATIENCE_S * 1e6:.0f}"]
        dog.turned()
        dog.tend(PATIENCE_S, is_ready=True, is_excused=False)
        assert manager.said() == []

    def test_one_that_was_not_taken_is_sent_again(self, manager: Manager) -> None:
        while systemd.notify("STATUS=x"):
            pass
        dog = watchdog()
        dog.tend(0, is_ready=True, is_excused=False)
        assert PING not in manager.said()
        dog.tend(1, is_ready=True, is_excused=False)
        assert manager.said() == [PING]
