"""When a cycle is complete, and what the API is told, how often."""

import json
import math
from collections.abc import Callable

import pytest

from tests.unit.building import CIDR, A, spec, view
from tests.unit.reconcile.playing import TO_B, PlayedCalls
from vpcrouter.reconcile.facts import ChangeOutcome, Decision, Observation, Progress
from vpcrouter.reconcile.status import DESCRIBE, FIRST_JUDGEMENT_S, REPORT_GAP_S, REST, Status
from vpcrouter.routing.plan import Plan, Problem

NOW_S = 1_000.0
SPEC, VIEW = spec({CIDR: (A,)}), view({CIDR: "eni-a"})
NOTHING_DONE = Progress((), 0, 0.0, "", "")
NOTHING_TO_DO = Decision(Plan(), made_at=NOW_S)
WAITING = Decision(Plan(), waiting="waiting: for something")
READ = Observation(NOW_S, has_view=True, is_new=True, is_settled=True)


def waiting_for_health() -> Decision:
    wait = Problem(CIDR, "no route created until the state of its hosts is known", is_wait=True)
    return NOTHING_TO_DO._replace(plan=Plan((), (wait,)))


class Played:
    """A status whose calls end as a test says."""

    def __init__(self) -> None:
        self.calls = PlayedCalls()
        self.status = Status(self.calls, "us-east-1")

    def report(self, now_s: float, decision: Decision = NOTHING_TO_DO) -> int:
        """Report; the cycles until then."""
        assert self.status.is_report_due(now_s)
        return self.status.report(decision, "", NOTHING_DONE, now_s).cycles

    def describe(self, at_s: float, took_s: float = 0.0) -> None:
        """Write the view down."""
        self.status.describe_if_due(SPEC, VIEW, at_s)
        body = self.calls.made[DESCRIBE]()
        self.status.described(self.calls.end(DESCRIBE, at_s, body, took_s=took_s))

    def decide(self, decision: Decision, is_idle: bool = True, now_s: float = NOW_S) -> None:
        self.status.decided(decision)
        self.status.close_cycle(decision, is_idle, now_s)


@pytest.fixture
def played() -> Played:
    """One with nothing to report at `NOW_S`, that has described the first view."""
    found = Played()
    found.status.observed(READ)
    found.describe(NOW_S)
    found.report(NOW_S)
    return found


def test_the_first_report_is_made_at_once_and_others_when_there_is_news() -> None:
    played = Played()
    assert played.status.next_at() <= NOW_S
    played.report(NOW_S)
    assert played.status.next_at() == math.inf
    assert not played.status.is_report_due(NOW_S + 100.0)


@pytest.mark.parametrize(
    ("news", "is_told"),
    [
        (lambda status: status.spec_changed(), True),
        (lambda status: status.observed(READ), True),
        (lambda status: status.observed(Observation(NOW_S, is_unreadable=True)), True),
        (lambda status: status.observed(Observation(NOW_S)), False),
        (lambda status: status.change_ended(ChangeOutcome(TO_B, NOW_S)), True),
        (lambda status: status.decided(NOTHING_TO_DO), True),
        (lambda status: status.decided(WAITING), False),
    ],
)
def test_news_is_reported_a_little_after_the_last_report(
    played: Played, news: Callable[[Status], None], is_told: bool
) -> None:
    news(played.status)
    at_s = NOW_S + REPORT_GAP_S
    assert not played.status.is_report_due(at_s - 0.01)
    assert played.status.is_report_due(at_s) == is_told
    assert (played.status.next_at() <= at_s) == is_told


def test_what_is_reported() -> None:
    status = Status(PlayedCalls(), "us-east-1")
    plan = Plan((), (Problem(CIDR, "all hosts of this CIDR have failed"),))
    decision = Decision(plan, ("all silent",))
    progress = Progress(((TO_B, {"decided": 1.0}),), 3, 4.5, "refused", "5 to go")
    report = status.report(decision, "", progress, NOW_S)
    assert report.sentence == "nothing to do; 1 problem; 5 to go; all silent"
    assert report.trouble == "refused"
    assert report.problems == ("all silent", f"{CIDR}: all hosts of this CIDR have failed")
    assert [(each["cidr"], list(each["at"])) for each in report.recent] == [(CIDR, ["decided"])]
    assert (report.pending, report.expected_s, report.cycles) == (3, 4.5, 0)
    assert status.report(decision, "away", progress, NOW_S).trouble == "away"
    assert status.report(decision, "", NOTHING_DONE, NOW_S).trouble is None


def test_the_view_is_described_once_there_is_one_and_when_it_is_new() -> None:
    played = Played()
    played.status.spec_changed()
    played.status.describe_if_due(SPEC, None, NOW_S)
    assert played.calls.under_way == {}
    played.status.observed(READ)
    played.status.describe_if_due(SPEC, VIEW, NOW_S)
    found = played.calls.end(DESCRIBE, NOW_S, played.calls.made[DESCRIBE]())
    assert set(json.loads(played.status.described(found).body)) == {"spec", "routes", "vpc"}
    for _ in range(2):
        played.status.describe_if_due(SPEC, VIEW, NOW_S + 100.0)
        played.status.observed(READ._replace(is_new=False))
    assert played.calls.under_way == {}


def test_a_new_spec_wakes_nobody_up_while_there_is_no_view_to_describe() -> None:
    played = Played()
    played.status.spec_changed()
    played.report(NOW_S)
    assert played.status.next_at() == math.inf
    played.status.observed(READ)
    assert played.status.next_at() <= NOW_S


def test_an_accepted_change_makes_it_new_and_a_refused_one_does_not(played: Played) -> None:
    played.status.change_ended(ChangeOutcome(TO_B, NOW_S))
    played.status.describe_if_due(SPEC, VIEW, NOW_S + 100.0)
    assert played.calls.under_way == {}
    played.status.change_ended(ChangeOutcome(TO_B, NOW_S, is_accepted=True))
    played.status.describe_if_due(SPEC, VIEW, NOW_S + 100.0)
    assert list(played.calls.under_way) == [DESCRIBE]


@pytest.mark.parametrize(
    ("took_s", "rest_s"), [(0.0, REPORT_GAP_S), (0.001, REPORT_GAP_S), (0.5, REST * 0.5)]
)
def test_describing_rests_the_longer_the_longer_it_takes(took_s: float, rest_s: float) -> None:
    played = Played()
    played.status.observed(READ)
    played.describe(NOW_S, took_s)
    played.report(NOW_S)
    played.status.observed(READ)
    played.report(NOW_S + REPORT_GAP_S)
    assert played.status.next_at() == NOW_S + rest_s
    played.status.describe_if_due(SPEC, VIEW, NOW_S + rest_s - 0.01)
    assert played.calls.under_way == {}
    played.status.describe_if_due(SPEC, VIEW, NOW_S + rest_s)
    assert list(played.calls.under_way) == [DESCRIBE]


def test_what_is_new_while_it_is_being_described_is_described_next(played: Played) -> None:
    played.status.observed(READ)
    played.status.describe_if_due(SPEC, VIEW, NOW_S + 1.0)
    played.status.observed(READ)
    played.report(NOW_S + 1.0)
    played.status.describe_if_due(SPEC, VIEW, NOW_S + 1.0)
    assert played.status.next_at() == math.inf, "it is waited for"
    played.status.described(played.calls.end(DESCRIBE, NOW_S + 1.0, b"{}"))
    assert played.status.next_at() == NOW_S + 1.0 + REPORT_GAP_S


def test_a_cycle_is_complete_once_nothing_is_left_to_be_tried(played: Played) -> None:
    at_s = NOW_S + REPORT_GAP_S
    played.decide(NOTHING_TO_DO, is_idle=False)
    assert played.report(at_s) == 0
    played.status.close_cycle(NOTHING_TO_DO, True, at_s)
    assert played.report(at_s + REPORT_GAP_S) == 1
    played.status.close_cycle(NOTHING_TO_DO, True, at_s)
    assert not played.status.is_report_due(NOW_S + 100.0), "there was no other"
    played.decide(NOTHING_TO_DO)
    assert played.report(at_s + 1.0) == 2


def test_there_is_no_cycle_while_there_is_nothing_to_decide_from(played: Played) -> None:
    played.decide(WAITING)
    played.status.spec_changed()
    assert played.report(NOW_S + REPORT_GAP_S) == 0


def test_the_first_one_waits_until_the_view_is_described_and_no_other_does() -> None:
    played = Played()
    played.status.observed(READ)
    played.decide(NOTHING_TO_DO)
    assert played.report(NOW_S) == 0
    played.describe(NOW_S)
    played.status.close_cycle(NOTHING_TO_DO, True, NOW_S)
    assert played.report(NOW_S + REPORT_GAP_S) == 1
    played.status.observed(READ)
    played.decide(NOTHING_TO_DO)
    assert played.report(NOW_S + 1.0) == 2


def test_it_waits_for_hosts_not_judged_yet_for_some_time_after_the_first_view(
    played: Played,
) -> None:
    decision = waiting_for_health()
    late_s = NOW_S + FIRST_JUDGEMENT_S
    played.status.observed(READ._replace(at_s=late_s))  # no matter how often it is read
    played.describe(late_s)
    played.decide(decision, now_s=late_s - 0.01)
    assert played.report(late_s, decision) == 0
    played.status.close_cycle(decision, True, late_s)
    assert played.report(late_s + REPORT_GAP_S, decision) == 1


def test_a_problem_of_any_other_kind_is_not_waited_for(played: Played) -> None:
    problem = Problem(CIDR, "all hosts of this CIDR have failed")
    played.decide(NOTHING_TO_DO._replace(plan=Plan((), (problem,))))
    assert played.report(NOW_S + REPORT_GAP_S) == 1
