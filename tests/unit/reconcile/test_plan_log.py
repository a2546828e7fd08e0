"""What of a decision is logged: only what is new."""

import logging
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.unit.building import CIDR, OTHER
from tests.unit.reconcile.playing import MISSING, TO_B
from vpcrouter.logs import setup as logs
from vpcrouter.reconcile.facts import Decision
from vpcrouter.reconcile.plan_log import LOGGED_AT_ONCE, PlanLog
from vpcrouter.routing.plan import Plan, Problem

WAITING = Decision(Plan(), waiting="waiting")
PROBLEM, OTHERS = Problem(CIDR, "all hosts of this CIDR have failed"), Problem(OTHER, "no route")


class Log:
    """A plan log, and what it writes of a decision."""

    def __init__(self) -> None:
        self._plan_log = PlanLog(logs.Later(logs.get("vpcrouter.test")), WAITING)

    def write(self, decision: Decision, outlook: str = "") -> list[EventDict]:
        with capture_logs() as lines:
            self._plan_log.write(decision, outlook)
        return lines

    def events(self, decision: Decision) -> list[str]:
        """What is logged of it beside the cycle."""
        return [line["event"] for line in self.write(decision) if line["event"] != "cycle"]

    def cycle_level(self, decision: Decision, outlook: str = "") -> str:
        lines = self.write(decision, outlook)
        (level,) = [line["log_level"] for line in lines if line["event"] == "cycle"]
        return str(level)


@pytest.fixture
def log() -> Log:
    return Log()


def decision(*problems: Problem) -> Decision:
    return Decision(Plan((), problems))


def test_a_decision_is_logged_when_it_was_made(log: Log) -> None:
    made = decision()
    assert log.write(made) == [{"event": "cycle", "decided": "nothing to do", "log_level": "info"}]
    assert log.write(made) == []


def test_one_that_says_nothing_new_is_a_detail(log: Log) -> None:
    assert log.cycle_level(Decision(Plan(), waiting="waiting")) == "debug"
    assert log.cycle_level(decision()) == "info"
    assert log.cycle_level(decision()) == "debug"


def test_so_is_one_by_which_there_is_only_less_left_to_do(log: Log) -> None:
    assert log.cycle_level(Decision(Plan((TO_B, MISSING))), "2 to go") == "info"
    assert log.cycle_level(Decision(Plan((MISSING,))), "1 to go") == "debug"
    assert log.cycle_level(Decision(Plan((TO_B,)))) == "info"
    assert log.cycle_level(Decision(Plan())) == "info"


def test_why_changes_are_withheld_is_logged_once(log: Log) -> None:
    isolated = decision()._replace(withheld=("all silent",))
    assert log.write(isolated)[0] == {
        "event": "changes withheld",
        "reason": "all silent",
        "log_level": "error",
    }
    assert log.events(decision()._replace(withheld=("all silent",))) == []
    assert log.events(decision()) == []
    assert log.events(isolated) == ["changes withheld"]


def test_problems_are_logged_when_they_come_and_when_they_go(log: Log) -> None:
    assert log.events(decision(PROBLEM)) == [PROBLEM.text]
    assert log.events(decision(PROBLEM)) == []
    assert log.events(decision(OTHERS)) == [OTHERS.text, "problem resolved"]
    assert log.events(decision()) == ["problem resolved"]


@pytest.mark.parametrize(("is_wait", "level"), [(True, "info"), (False, "warning")])
def test_what_only_has_to_be_waited_for_is_no_warning(log: Log, is_wait: bool, level: str) -> None:
    (line,) = [
        line
        for line in log.write(decision(Problem(CIDR, "text", is_wait)))
        if line["event"] == "text"
    ]
    assert line == {"event": "text", "cidr": CIDR, "log_level": level}


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        (0, LOGGED_AT_ONCE, None),
        (0, LOGGED_AT_ONCE + 5, {"new": 5, "resolved": 0}),
        (LOGGED_AT_ONCE + 3, 0, {"new": 0, "resolved": 3}),
    ],
)
def test_of_many_problems_some_are_logged(
    log: Log, before: int, after: int, more: dict[str, int] | None
) -> None:
    def many(count: int) -> Sequence[Problem]:
        return [Problem(f"10.{number}.0.0/16", "text") for number in range(count)]

    log.write(decision(*many(before)))
    lines = log.write(decision(*many(after)))
    (*others, last) = [line for line in lines if line["event"] != "cycle"]
    if more is None:
        assert len([*others, last]) == LOGGED_AT_ONCE
    else:
        assert len(others) == LOGGED_AT_ONCE
        assert {key: last[key] for key in more} == more
        assert last["event"] == "further problems not logged; see /route_info"


def test_lines_of_other_steps_are_written_with_it() -> None:
    later = logs.Later(logs.get("vpcrouter.test"))
    later.log(logging.INFO, "route replaced")
    with capture_logs() as lines:
        PlanLog(later, WAITING).write(decision())
    assert [line["event"] for line in lines] == ["route replaced", "cycle"]
