"""Hosts that fail again and again: when they are damped, for how long, and who knows of it."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpcrouter.health.damping import Damping, DampingPolicy
from vpcrouter.model.messages import DampingReport

H, OTHER = "10.0.0.1", "10.0.0.2"
POLICY = DampingPolicy(count=3, window_s=100.0)
NEVER = float("inf")


def fail(damping: Damping, *at_s: float, host: str = H) -> list[bool]:
    return [damping.failed(host, each) for each in at_s]


def test_so_many_failures_within_the_window_damp() -> None:
    damping = Damping(POLICY)
    assert fail(damping, 0.0, 40.0, 99.0) == [False, False, True]
    assert damping.damped(99.0) == damping.damped(108.9) == {H}
    assert damping.next_end_s(99.0) == damping.until_s(H) == 109.0
    assert damping.damped(109.0) == frozenset()
    assert damping.next_end_s(109.0) == NEVER


def test_failures_further_apart_do_not() -> None:
    damping = Damping(POLICY)
    assert not any(fail(damping, *range(0, 2000, 51)))
    assert damping.damped(1999.0) == frozenset()


def test_each_further_failure_doubles_the_time_up_to_six_windows() -> None:
    damping = Damping(POLICY)
    at_s, took_s = 2.0, []
    fail(damping, 0.0, 1.0)
    for _ in range(9):
        assert fail(damping, at_s) == [True]
        took_s.append(damping.until_s(H) - at_s)
        at_s = damping.until_s(H) + 99.0  # it held for less than a window
    assert took_s == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_a_failure_while_damped_counts_as_well() -> None:
    damping = Damping(POLICY)
    assert fail(damping, 0.0, 1.0, 2.0, 5.0) == [False, False, True, True]
    assert damping.until_s(H) == 25.0


def test_who_held_for_a_window_begins_anew() -> None:
    damping = Damping(POLICY)
    fail(damping, 0.0, 1.0, 2.0)
    assert fail(damping, 113.0, 114.0, 115.0) == [False, False, True]
    assert damping.until_s(H) == 125.0


def test_the_same_failure_heard_again_is_none() -> None:
    damping = Damping(POLICY)
    assert not any(fail(damping, 5.0, 5.0, 5.0, 4.0, 5.0))


def test_never_where_it_is_switched_off() -> None:
    damping = Damping(DampingPolicy(0, 100.0))
    assert not any(fail(damping, *range(50)))
    assert damping.report() == DampingReport()


def test_hosts_are_counted_apart_and_forgotten_when_gone() -> None:
    damping = Damping(POLICY)
    fail(damping, 0.0, 1.0)
    assert fail(damping, 2.0, host=OTHER) == [False]
    damping.keep([OTHER])
    assert fail(damping, 3.0) == [False]


def test_the_next_generation_goes_on() -> None:
    damping, successor = Damping(POLICY), Damping(POLICY)
    fail(damping, 0.0, 1.0, 2.0)
    successor.go_on_from(damping.report())
    assert successor.damped(3.0) == {H}
    assert fail(successor, 2.0, 6.0) == [False, True]
    assert successor.until_s(H) == 26.0
    assert damping.until_s(H) == 12.0


@given(st.lists(st.floats(0.1, 200.0), min_size=1, max_size=40), st.integers(1, 6))
def test_nobody_is_damped_without_cause_or_for_too_long(gaps_s: list[float], count: int) -> None:
    damping = Damping(DampingPolicy(count, 100.0))
    for failures, at_s in enumerate(accumulate(gaps_s), start=1):
        if damping.failed(H, at_s):
            assert failures >= count
            assert at_s + 10.0 <= damping.until_s(H) <= at_s + 600.0
        assert damping.next_end_s(at_s) > at_s


@pytest.mark.parametrize("count", [1, 2, 5])
def test_who_fails_steadily_ends_at_the_longest(count: int) -> None:
    damping = Damping(DampingPolicy(count, 100.0))
    fail(damping, *(float(number) for number in range(count + 10)))
    assert damping.until_s(H) == count + 9 + 600.0
