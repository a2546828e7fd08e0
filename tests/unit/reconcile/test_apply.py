"""Which change is started next."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.building import CIDR, OTHER, A, B
from vpcrouter.aws.background import BackgroundCalls
from vpcrouter.reconcile.apply import Applying
from vpcrouter.routing.pace import Pace
from vpcrouter.routing.plan import Action, Change, Urgency

ROOM = 4
FAILED = Change(Urgency.FAILED, "rtb-1", CIDR, Action.REPLACE, "eni-b", B, "eni-a", A)
MISSING = FAILED._replace(urgency=Urgency.MISSING, action=Action.CREATE, cidr=OTHER)


class Noting(BackgroundCalls[Change | str]):
    """Starts nothing, and notes what it was to start; its calls end when they are told to."""

    def start(self, what: Change | str, function: Callable[[], Any]) -> None:
        self.under_way[what] = time.monotonic()

    def end(self) -> None:
        self.under_way.clear()


def applying(burst: int = 50, rate: int = 5) -> tuple[Applying, Noting]:
    calls = Noting(ROOM)
    return Applying(calls, Pace(burst, rate), lambda _: None), calls


def numbered(change: Change, count: int) -> list[Change]:
    return [change._replace(table=f"rtb-{number}") for number in range(count)]


def test_in_the_plans_order_and_as_many_as_there_is_room_for() -> None:
    our, calls = applying()
    changes = numbered(FAILED, 6)
    our.renew(changes)
    our.start()
    assert list(calls.under_way) == changes[:ROOM]
    assert our.pending == 6
    calls.end()
    our.start()
    assert list(calls.under_way) == changes[ROOM:]
    calls.end()
    assert our.is_idle
    assert our.next_s() is None


def test_the_first_may_be_started_before_the_others() -> None:
    our, calls = applying()
    changes = numbered(FAILED, 3)
    our.renew(changes)
    assert our.start(most=1)
    assert list(calls.under_way) == changes[:1]
    assert our.start()
    assert list(calls.under_way) == changes
    assert not our.start()


def test_a_route_that_is_being_changed_waits_and_others_go_on() -> None:
    our, calls = applying()
    our.renew([FAILED])
    our.start()
    another = FAILED._replace(interface="eni-c")
    our.renew([another, MISSING])
    our.start()
    assert list(calls.under_way) == [FAILED, MISSING]
    calls.end()
    our.start()
    assert list(calls.under_way) == [another]


def test_what_a_new_plan_does_not_have_is_not_made() -> None:
    our, calls = applying()
    our.renew(numbered(FAILED, 6))
    our.start()
    our.renew([MISSING])
    calls.end()
    our.start()
    assert list(calls.under_way) == [MISSING]


def test_a_refused_change_waits_and_others_go_on() -> None:
    our, calls = applying()
    our.retries.failed(FAILED, "no", is_stale=False, now_s=time.monotonic())
    our.renew([FAILED, MISSING])
    our.start()
    assert list(calls.under_way) == [MISSING]


def test_where_one_bucket_is_empty_the_others_calls_go_on() -> None:
    our, calls = applying()
    now_s = time.monotonic()
    our.pace.refused(FAILED, now_s)
    our.renew([*numbered(FAILED, 3), MISSING])
    our.start()
    assert list(calls.under_way) == [MISSING]
    due_s = our.next_s()
    assert due_s is not None
    assert now_s < due_s <= now_s + 0.25
    assert our.pending == 4


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, ""), (50, ""), (54, ""), (250, "250 routes to go, up to 40 s at 5 calls/s")],
)
def test_how_long_it_takes_is_said_where_that_is_long(count: int, said: str) -> None:
    our, _ = applying()
    our.renew(numbered(FAILED, count))
    assert our.sentence() == said
