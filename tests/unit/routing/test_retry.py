"""When a refused change is tried again."""

import pytest

from tests.unit.building import CIDR, A, B
from vpcrouter.backoff import FIRST_PAUSE_S, LONGEST_PAUSE_S, backoff_s
from vpcrouter.routing.change import Action, Change, Urgency
from vpcrouter.routing.retry import Retries

CHANGE = Change(Urgency.FAILED, "rtb-1", CIDR, Action.REPLACE, "eni-b", B, "eni-a", A)
ANOTHER = CHANGE._replace(interface="eni-c")
ELSEWHERE = CHANGE._replace(table="rtb-2")
NOW_S = 100.0


def refused(change: Change = CHANGE, *, times: int = 1, is_stale: bool = False) -> Retries:
    retries = Retries()
    for _ in range(times):
        retries.failed(change, "no", is_stale, NOW_S)
    return retries


@pytest.mark.parametrize(
    ("failures", "pause_s"),
    [(1, FIRST_PAUSE_S), (2, 1.0), (3, 2.0), (7, LONGEST_PAUSE_S), (10**6, LONGEST_PAUSE_S)],
)
def test_backoff(failures: int, pause_s: float) -> None:
    assert backoff_s(failures) == pause_s


class TestWaiting:
    """Only the very change that was refused waits, and only for its pause."""

    def test_nothing_was_refused(self) -> None:
        assert not Retries().must_wait(CHANGE)
        assert Retries().next_s() is None
        assert not Retries().release(NOW_S)

    def test_the_refused_change_waits(self) -> None:
        retries = refused()
        assert retries.must_wait(CHANGE)
        assert retries.next_s() == NOW_S + FIRST_PAUSE_S

    @pytest.mark.parametrize("other", [ANOTHER, ELSEWHERE])
    def test_another_change_does_not(self, other: Change) -> None:
        assert not refused().must_wait(other)

    @pytest.mark.parametrize("times", [1, 2, 5])
    def test_it_is_released_after_its_pause_and_not_before(self, times: int) -> None:
        retries = refused(times=times)
        due_s = NOW_S + backoff_s(times)
        assert not retries.release(due_s - 0.01)
        assert retries.must_wait(CHANGE)
        assert retries.release(due_s)
        assert not retries.must_wait(CHANGE)
        assert not retries.release(due_s + 1)
        assert retries.next_s() is None

    def test_the_soonest_comes_next(self) -> None:
        retries = refused(times=3)
        retries.failed(ELSEWHERE, "no", is_stale=False, now_s=NOW_S)
        assert retries.next_s() == NOW_S + FIRST_PAUSE_S


class TestStaleView:
    """A first refusal that the view may be to blame for waits for a fresh one, however long."""

    def test_the_first_is_not_released_by_time(self) -> None:
        retries = refused(is_stale=True)
        assert not retries.release(NOW_S + 10 * LONGEST_PAUSE_S)
        assert retries.must_wait(CHANGE)

    def test_it_is_released_after_a_pause_when_there_is_no_view_to_be_had(self) -> None:
        retries = refused(is_stale=True)
        retries.view_is_unknown(NOW_S)
        assert not retries.awaits_view(CHANGE.key)
        assert retries.must_wait(CHANGE)
        assert retries.next_s() == NOW_S + FIRST_PAUSE_S
        assert retries.release(NOW_S + FIRST_PAUSE_S)
        assert not retries.must_wait(CHANGE)

    def test_others_wait_no_longer_when_there_is_no_view_to_be_had(self) -> None:
        retries = refused(times=3)
        due_s = retries.next_s()
        retries.view_is_unknown(NOW_S + 0.1)
        assert retries.next_s() == due_s

    def test_the_first_is_released_by_a_fresh_view(self) -> None:
        retries = refused(is_stale=True)
        assert retries.must_wait(CHANGE)
        assert retries.awaits_view(CHANGE.key)
        retries.view_is_fresh()
        assert not retries.must_wait(CHANGE)
        assert not retries.awaits_view(CHANGE.key)

    def test_the_second_is_not(self) -> None:
        retries = refused(times=2, is_stale=True)
        assert not retries.awaits_view(CHANGE.key)
        retries.view_is_fresh()
        assert retries.must_wait(CHANGE)

    def test_others_are_not(self) -> None:
        retries = refused(is_stale=False)
        retries.view_is_fresh()
        assert retries.must_wait(CHANGE)

    @pytest.mark.parametrize(
        ("times", "pause_s"), [(0, 0.0), (1, 0.5), (2, 1.0), (100, LONGEST_PAUSE_S)]
    )
    def test_the_next_try_is_put_off_longer_and_longer(self, times: int, pause_s: float) -> None:
        assert refused(times=times, is_stale=True).pause_s(CHANGE.key) == pause_s


class TestNews:
    """A refusal is told once, and again when its reason changes."""

    def test_told_once(self) -> None:
        retries = Retries()
        told = [retries.failed(CHANGE, why, False, NOW_S) for why in ("no", "no", "never", "no")]
        assert told == [True, False, True, True]

    def test_a_success_after_a_refusal_is_news(self) -> None:
        retries = refused()
        assert retries.succeeded(CHANGE.key)
        assert not retries.succeeded(CHANGE.key)
        assert retries.reasons == ()

    def test_reasons(self) -> None:
        retries = refused()
        retries.failed(ELSEWHERE, "not here", is_stale=False, now_s=NOW_S)
        assert set(retries.reasons) == {"no", "not here"}

    def test_what_is_no_longer_to_be_changed_is_forgotten(self) -> None:
        retries = refused()
        retries.failed(ELSEWHERE, "not here", is_stale=False, now_s=NOW_S)
        retries.keep_only({ELSEWHERE.key})
        assert retries.reasons == ("not here",)
        assert not retries.must_wait(CHANGE)
