"""Checks by commands, on a played clock, keeper and mailbox."""

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import pytest
from structlog.testing import capture_logs

from vpcrouter.errors import PluginError
from vpcrouter.ipc.mailbox import StopWorker
from vpcrouter.linux.command_server import End, Ended, Order
from vpcrouter.model.messages import HealthReport, HostList, Message
from vpcrouter.monitoring.command_checks import CommandCheck, CommandChecks
from vpcrouter.monitoring.monitor_loop import MonitorLoop
from vpcrouter.monitoring.timing import Timing

A, B = "10.0.0.1", "10.0.0.2"
Act = Callable[[str, float], tuple[End, int, float]]
"""How a host's command ends, with what status, and after how many seconds."""


class World:
    """A keeper, a mailbox and the clock of a MonitorLoop."""

    def __init__(
        self, act: Act, parallel: int = 16, fall: int = 2, isolation_share: float = 1.0
    ) -> None:
        self.now_s = 1000.0
        self.act = act
        self.started: list[tuple[float, str]] = []
        self.most = 0
        self.reports: list[HealthReport] = []
        self.refusal = ""
        self._mail: dict[type[Message], Message] = {}
        self._coming: list[tuple[float, Ended]] = []
        self._until_s = 0.0
        timing = Timing(10.0, 5.0, 1.0, fall, 1, 30.0, isolation_share)
        argv = ("/check", "{host}", "of={host}")
        check = CommandCheck(argv, timing, parallel)
        commands: Any = self
        checks = CommandChecks("script", check, commands, lambda: self.now_s)
        self.loop = MonitorLoop("script", checks, lambda: self.now_s)

    def filenos(self) -> tuple[int, ...]:
        return 90, 91

    def start(self, order: Order) -> str:
        if self.refusal:
            return self.refusal
        host = order.argv[1]
        assert order.argv == ("/check", host, f"of={host}")
        assert order.env["VPCROUTER_HOST"] == host
        end, status, after_s = self.act(host, self.now_s)
        self.started.append((self.now_s, host))
        self._coming.append((self.now_s + after_s, Ended(order.number, end, status, "words")))
        self._coming.sort(key=lambda each: each[0])
        self.most = max(self.most, len(self._coming))
        return ""

    def ended(self) -> list[Ended]:
        found = [ended for at_s, ended in self._coming if at_s <= self.now_s]
        self._coming = [each for each in self._coming if each[0] > self.now_s]
        return found

    def watch(self, fd: int) -> None:
        assert fd in self.filenos()

    def take(self, kind: type[Message]) -> Message | None:
        return self._mail.pop(kind, None)

    def post(self, report: HealthReport) -> None:
        self.reports.append(report)

    def wait(self, timeout_s: float) -> set[int]:
        if self._mail:
            return set()
        next_s = min((at_s for at_s, _ in self._coming), default=float("inf"))
        at_s = min(self.now_s + max(timeout_s, 0.001), max(next_s, self.now_s))
        self.now_s = min(at_s, self._until_s)
        if self.now_s >= self._until_s:
            raise StopWorker
        return set()

    def tell(self, *hosts: str) -> None:
        self._mail[HostList] = HostList(hosts)

    def seed(self, *hosts: str) -> None:
        report = HealthReport(
            "script", failed=frozenset(hosts), failed_since_at=dict.fromkeys(hosts, 1.0)
        )
        self._mail[HealthReport] = report

    def run(self, seconds: float) -> None:
        self._until_s = self.now_s + seconds
        mailbox: Any = self
        with pytest.raises(StopWorker):
            self.loop.run(mailbox)

    @property
    def last(self) -> HealthReport:
        return self.reports[-1]


def always(end: End, status: int = 0, after_s: float = 0.1) -> Act:
    return lambda _host, _now_s: (end, status, after_s)


@pytest.mark.parametrize(
    ("end", "status", "state"),
    [
        (End.EXIT, 0, "healthy"),
        (End.EXIT, 1, "questionable"),
        (End.EXIT, 2, "failed"),
        (End.TIMEOUT, 0, "failed"),
        (End.EXIT, 3, ""),
        (End.EXIT, 127, ""),
        (End.SIGNAL, 9, ""),
        (End.SIGNAL, 1, ""),
        (End.SIGNAL, 2, ""),
        (End.NOT_STARTED, 0, ""),
        (End.LOST, 0, ""),
    ],
)
def test_what_an_end_says_of_a_host(end: End, status: int, state: str) -> None:
    world = World(always(end, status))
    world.tell(A)
    world.run(15)
    for name in ("healthy", "questionable", "failed"):
        assert (A in getattr(world.last, name)) == (name == state)


def test_what_says_nothing_makes_unknown_and_is_told_once() -> None:
    world = World(lambda _host, now_s: (End.EXIT, 0 if now_s < 1005 else 77, 0.1))
    world.tell(A, B)
    with capture_logs() as logs:
        world.run(60)
    assert not (world.last.healthy | world.last.questionable | world.last.failed)
    assert not any(report.failed for report in world.reports)
    told = [log for log in logs if log["log_level"] == "warning"]
    assert [(log["host"], log["reason"]) for log in told] == [
        (host, "exit status 77; not counted as a miss") for host in (A, B)
    ]


def test_every_host_once_an_interval_and_at_once_when_it_begins_to_fail() -> None:
    world = World(lambda host, now_s: (End.EXIT, 2 if host == B and now_s > 1025 else 0, 0.1))
    world.tell(A, B)
    world.run(49)
    assert [at_s for at_s, host in world.started if host == A] == [1000, 1010, 1020, 1030, 1040]
    of_b = [at_s for at_s, host in world.started if host == B]
    assert of_b == pytest.approx([1000, 1010, 1020, 1030, 1031.1, 1041.1])
    assert world.last.failed == {B}
    assert world.last.failed_since_at[B] == pytest.approx(1031.2)


def test_a_failed_host_comes_back_after_the_hold() -> None:
    world = World(lambda _host, now_s: (End.EXIT, 2 if now_s < 1015 else 0, 0.1))
    world.tell(A)
    world.run(39)
    assert world.last.failed == {A}
    world.run(15)
    assert world.last.healthy == {A}


def test_no_more_than_so_many_at_once_and_everybody_has_a_turn() -> None:
    world = World(always(End.EXIT, 0, 1.0), parallel=4)
    hosts = [f"10.0.1.{i}" for i in range(100)]
    world.tell(*hosts)
    with capture_logs() as logs:
        world.run(101)
    assert world.most == 4
    turns = Counter(host for _, host in world.started)
    assert set(turns) == set(hosts)
    assert max(turns.values()) - min(turns.values()) <= 1
    late = [log for log in logs if "check schedule overrun" in log["event"]]
    assert 1 <= len(late) <= 2, "once a minute"


def test_hosts_that_go_and_come() -> None:
    world = World(always(End.EXIT, 0, 4.0))
    world.tell(A, B)
    world.run(2)
    world.tell(A)
    world.run(1)
    world.tell(A, B)  # its command still runs
    world.run(5)
    assert [host for _, host in world.started] == [A, B]
    assert world.last.healthy == {A, B}
    world.tell()
    world.run(60)
    assert len(world.started) == 2
    assert world.last == HealthReport("script")


def test_a_predecessors_failed_hosts_stay_failed() -> None:
    world = World(always(End.EXIT, 0))
    world.seed(A)
    world.tell(A, B)
    world.run(20)
    assert world.last.failed == {A}
    assert world.last.healthy == {B}


def test_a_command_that_cannot_be_asked_for() -> None:
    world = World(always(End.EXIT, 0))
    world.refusal = "Resource temporarily unavailable"
    world.tell(A)
    with capture_logs() as logs:
        world.run(25)
    assert not world.last.failed
    assert any("Resource temporarily unavailable" in str(log.get("reason")) for log in logs)


def test_a_keeper_that_says_nothing_ends_the_worker() -> None:
    world = World(always(End.EXIT, 0, 1e6))
    world.tell(A)
    with pytest.raises(PluginError, match="does not respond"):
        world.run(100)
    assert world.now_s == pytest.approx(1015)


def failing(hosts: Collection[str], from_s: float, until_s: float = 9e9) -> Act:
    """These hosts' commands end with a miss between the two times."""
    return lambda host, now_s: (
        End.EXIT,
        2 if host in hosts and from_s <= now_s < until_s else 0,
        0.1,
    )


@pytest.mark.parametrize("parallel", [4, 16])
def test_all_at_once_is_no_hosts_failure(parallel: int) -> None:
    hosts = [f"10.0.1.{number}" for number in range(20)]
    world = World(failing(hosts, 1025.0, 1070.0), parallel, isolation_share=0.5)
    world.tell(*hosts)
    world.run(60)
    assert world.last.isolated
    assert not world.last.healthy
    world.run(40)
    assert world.last == HealthReport("script", frozenset(hosts))
    assert not any(report.failed for report in world.reports)


@pytest.mark.parametrize("fall", [1, 2])
def test_one_host_fails_about_as_soon_as_without_isolation(fall: int) -> None:
    hosts = [f"10.0.1.{number}" for number in range(20)]
    took_s = []
    for share in (0.5, 1.0):
        world = World(failing(hosts[7:8], 1025.0), fall=fall, isolation_share=share)
        world.tell(*hosts)
        while not world.reports or not world.last.failed:
            assert world.now_s < 1060.0
            world.run(0.05)
        assert world.last.failed == set(hosts[7:8])
        took_s.append(world.now_s)
    assert took_s[0] - took_s[1] <= (0.3 if fall == 1 else 0.1)
