"""Checks of all hosts in one call: per host unknowns, and sources."""

import itertools
import os
from collections.abc import Sequence

import pytest

from vpcrouter.ipc.mailbox import StopWorker
from vpcrouter.model.messages import HealthReport, HostList
from vpcrouter.monitoring.check_rounds import CheckRounds
from vpcrouter.monitoring.monitor_loop import MonitorLoop
from vpcrouter.testing import FakeMailbox

HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
A, B, C, D = HOSTS


class FakeSource:
    """Has news at the second turn."""

    fds = (7,)

    def __init__(self) -> None:
        self.tended: list[Sequence[str]] = []
        self.checks = 0
        self.error: Exception | None = None

    def tend(self, hosts: Sequence[str]) -> bool:
        if self.error is not None:
            raise self.error
        self.tended.append(hosts)
        return len(self.tended) == 2

    def check(self, hosts: Sequence[str]) -> tuple[Sequence[str], ...]:
        self.checks += 1
        return (), ()


def run(answers: list[tuple[Sequence[str], ...]], interval_s: float = 0.0) -> HealthReport:
    """The last report after these answers of a check."""
    mailbox = FakeMailbox(len(answers), [HostList(HOSTS)])
    left = iter(answers)
    checks = CheckRounds(interval_s, 60.0, lambda _hosts: next(left))
    loop = MonitorLoop("m", checks, clock=itertools.count(0.0).__next__)
    with pytest.raises(StopWorker):
        loop.run(mailbox)
    report = mailbox.posted[-1]
    assert isinstance(report, HealthReport)
    return report


def sets(report: HealthReport) -> tuple[set[str], set[str], set[str]]:
    """Those failed, questionable and healthy."""
    return set(report.failed), set(report.questionable), set(report.healthy)


def test_a_third_collection_is_of_those_unknown() -> None:
    report = run([([A], [B], [C])])
    assert sets(report) == ({A}, {B}, {D})


def test_what_was_failed_stays_failed_when_nothing_is_known_any_more() -> None:
    report = run([([A], [B], []), ([], [], HOSTS)])
    assert sets(report) == ({A}, set(), set())


def test_a_pair_will_do() -> None:
    report = run([([A], [B])])
    assert sets(report) == ({A}, {B}, {C, D})


@pytest.mark.parametrize("answer", [([A],), ([A], [B], [C], [D]), ([], [], ["10.9.9.9"])])
def test_any_other_answer_says_nothing(answer: tuple[Sequence[str], ...]) -> None:
    report = run([answer])
    assert not report.failed | report.questionable | report.healthy


def test_a_source_is_tended_to_each_turn_and_its_news_are_checked_at_once() -> None:
    source, mailbox = FakeSource(), FakeMailbox(4, [HostList(HOSTS)])
    checks = CheckRounds(3600.0, 60.0, source.check, source=source)
    with pytest.raises(StopWorker):
        MonitorLoop("m", checks).run(mailbox)
    assert mailbox.watched == [7]
    assert source.tended == [HOSTS] * 4
    assert source.checks == 2, "for the new hosts, and for the news"


def test_what_a_source_raises_ends_the_worker() -> None:
    source, mailbox = FakeSource(), FakeMailbox(4, [HostList(HOSTS)])
    source.error = OSError(os.strerror(5))
    checks = CheckRounds(3600.0, 60.0, source.check, source=source)
    with pytest.raises(OSError, match="Input"):
        MonitorLoop("m", checks).run(mailbox)
