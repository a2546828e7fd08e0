"""When the next change may be made, against EC2's token bucket."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.building import CIDR, A, B
from vpcrouter.routing.change import Action, Change, Urgency
from vpcrouter.routing.pace import Pace

BURST, RATE = 50, 5
CALL_S = 0.2
PARALLEL = 16
FAILED = Change(Urgency.FAILED, "rtb-1", CIDR, Action.REPLACE, "eni-b", B, "eni-a", A)
HOUSEKEEPING = FAILED._replace(urgency=Urgency.HOUSEKEEPING)
MISSING = FAILED._replace(urgency=Urgency.MISSING, action=Action.CREATE)
UNWANTED = FAILED._replace(urgency=Urgency.UNWANTED, action=Action.DELETE)


@dataclass
class Ec2:
    """EC2's own bucket for one action, and what else drinks from it."""

    burst: float = BURST
    rate: float = RATE
    others: float = 0.0
    refusals: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tokens, self._at_s = self.burst, 0.0

    def takes(self, now_s: float) -> bool:
        gained = (now_s - self._at_s) * (self.rate - self.others)
        self._tokens, self._at_s = min(self.burst, self._tokens + gained), now_s
        if self._tokens < 1:
            self.refusals.append(now_s)
            return False
        self._tokens -= 1
        return True


def make_all(ec2: Ec2, pace: Pace, change: Change, count: int, now_s: float = 0.0) -> float:
    """Make `count` such changes, `PARALLEL` at once; how long it took."""
    began_s = now_s
    under_way: list[tuple[float, bool]] = []
    limit_s = now_s + 10_000
    while count or under_way:
        assert now_s < limit_s
        while count and len(under_way) < PARALLEL and pace.may_start(change, now_s):
            pace.started(change, now_s)
            under_way.append((now_s + CALL_S, ec2.takes(now_s)))
            count -= 1
        times = [end_s for end_s, _ in under_way]
        due_s = pace.next_s([change], now_s)
        if count and len(under_way) < PARALLEL and due_s is not None:
            times.append(max(due_s, now_s + 0.001))
        now_s = min(times)
        for end_s, is_taken in [each for each in under_way if each[0] <= now_s]:
            under_way.remove((end_s, is_taken))
            if not is_taken:
                pace.refused(change, now_s)
                count += 1
    return now_s - began_s


def test_nothing_is_held_back_from_an_ec2_that_refuses_nothing() -> None:
    took_s = make_all(Ec2(10_000, 10_000), Pace(BURST, RATE), FAILED, 1_000)
    assert took_s == pytest.approx(1_000 / PARALLEL * CALL_S, rel=0.02)


@pytest.mark.parametrize("count", [50, 51, 250, 1_000])
def test_it_takes_as_long_as_the_bucket_needs_and_hardly_longer(count: int) -> None:
    ec2, pace = Ec2(), Pace(BURST, RATE)
    took_s = make_all(ec2, pace, FAILED, count)
    bound_s = (count - BURST) / RATE
    round_trips_s = (BURST / PARALLEL + 2) * CALL_S
    assert bound_s <= took_s + CALL_S
    assert took_s <= 1.02 * bound_s + round_trips_s
    assert len(ec2.refusals) <= PARALLEL + 0.08 * count


def test_a_larger_bucket_than_believed_is_made_use_of() -> None:
    took_s = make_all(Ec2(rate=20), Pace(BURST, RATE), FAILED, 1_000)
    assert took_s < 0.6 * (1_000 - BURST) / RATE
    assert make_all(Ec2(rate=20), Pace(BURST, 20), FAILED, 1_000) < 1.1 * (1_000 - BURST) / 20


def test_who_else_drinks_from_it_makes_no_storm_of_refusals() -> None:
    ec2, pace = Ec2(others=3.0), Pace(BURST, RATE)
    took_s = make_all(ec2, pace, FAILED, 250)
    assert took_s < 1.1 * (250 - BURST) / (RATE - 3.0) + 2
    late = [at_s for at_s in ec2.refusals if at_s > 10]
    assert len(late) < RATE * took_s


def test_after_a_refusal_it_waits_for_a_token() -> None:
    pace = Pace(BURST, RATE)
    pace.refused(FAILED, 100.0)
    assert pace.is_throttled
    assert not pace.may_start(FAILED, 100.0)
    due_s = pace.next_s([FAILED], 100.0)
    assert due_s == pytest.approx(100.0 + 1 / RATE)
    assert pace.may_start(FAILED, (due_s or 0.0) + 0.001)
    assert pace.may_start(MISSING, 100.0), "another action has another bucket"


def test_an_answer_that_says_nothing_may_be_a_refusal_once_the_bucket_has_to_be_empty() -> None:
    pace = Pace(BURST, RATE)
    for _ in range(BURST):
        assert pace.may_start(FAILED, 100.0)
        pace.started(FAILED, 100.0)
        pace.unreadable(FAILED._replace(cidr="10.9.0.0/16"), 100.0)
    assert not pace.may_start(FAILED, 100.0)
    assert pace.may_start(FAILED, 100.1 + 1 / RATE)
    assert pace.may_start(MISSING, 100.0), "another action has another bucket"


def test_once_it_must_have_filled_nothing_is_held_back() -> None:
    pace = Pace(BURST, RATE)
    pace.refused(FAILED, 100.0)
    now_s = 100.0 + BURST / RATE
    assert [started(pace, FAILED, now_s) for _ in range(200)] == [True] * 200
    assert not pace.is_throttled


@pytest.mark.parametrize("change", [HOUSEKEEPING, UNWANTED])
def test_housekeeping_leaves_half_of_it_to_the_next_failure(change: Change) -> None:
    pace = Pace(BURST, RATE)
    assert sum(started(pace, change, 100.0) for _ in range(200)) == BURST / 2
    due_s = pace.next_s([change], 100.0)
    assert due_s == pytest.approx(100.0 + 1 / RATE)
    assert pace.may_start(change._replace(urgency=Urgency.FAILED), 100.0)


def started(pace: Pace, change: Change, now_s: float) -> bool:
    if not pace.may_start(change, now_s):
        return False
    pace.started(change, now_s)
    return True


@pytest.mark.parametrize(
    ("changes", "expected_s"),
    [
        ([], 0.0),
        ([FAILED] * 50, 0.0),
        ([FAILED] * 250, 40.0),
        ([FAILED] * 150 + [MISSING] * 250, 40.0),
    ],
)
def test_how_long_it_takes(changes: list[Change], expected_s: float) -> None:
    assert Pace(BURST, RATE).expected_s(changes, 100.0) == expected_s


def test_how_long_it_takes_once_it_was_found_empty() -> None:
    pace = Pace(BURST, RATE)
    pace.refused(FAILED, 100.0)
    assert pace.expected_s([FAILED] * 10, 100.0) == 2.0
    assert pace.expected_s([FAILED] * 10, 101.0) == pytest.approx(1.0)


def clock(steps: list[float]) -> Iterator[float]:
    now_s = 100.0
    for step in steps:
        now_s += step
        yield now_s


@settings(max_examples=200)
@given(
    st.lists(st.floats(0, 30), max_size=60),
    st.lists(st.sampled_from(["start", "refuse"]), min_size=60, max_size=60),
)
def test_a_failed_route_never_waits_longer_than_for_one_token(
    steps: list[float], deeds: list[str]
) -> None:
    pace = Pace(BURST, RATE)
    for now_s, deed in zip(clock(steps), deeds, strict=False):
        if deed == "refuse":
            pace.refused(FAILED, now_s)
        else:
            started(pace, FAILED, now_s)
        due_s = pace.next_s([FAILED], now_s)
        assert due_s is not None
        assert now_s <= due_s <= now_s + 1 / RATE + 1e-6
        assert pace.may_start(FAILED, due_s + 1e-6)
