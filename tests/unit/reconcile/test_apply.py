"""Which change is started next, and what becomes of it."""

import math
from collections.abc import Sequence

import pytest

from tests.unit.building import CIDR, A
from tests.unit.reconcile.playing import MISSING, ROOM, TO_B, Lines, PlayedCalls, done
from vpcrouter.backoff import FIRST_PAUSE_S
from vpcrouter.reconcile.apply import SENDING_FIRST_S, SENDING_S, Applier
from vpcrouter.reconcile.facts import ChangeOutcome, Observation
from vpcrouter.routing.change import Action, Change
from vpcrouter.routing.pace import Pace
from vpcrouter.routing.verify import Expectation

NOW_S = 1_000.0
STALE, THROTTLED, OTHERWISE = (
    "InvalidRoute.NotFound",
    "RequestLimitExceeded",
    "UnauthorizedOperation",
)
NOT_READ = Observation(NOW_S, is_unreadable=True)
READ = Observation(NOW_S, has_view=True, is_settled=True)


class Played:
    """An applier whose calls end as a test says."""

    def __init__(self, burst: int = 50, rate: int = 5) -> None:
        self.calls = PlayedCalls()
        self.log = Lines()
        self.made: list[Change] = []
        self.pace = Pace(burst, rate)
        self.applier = Applier(self.calls, self.pace, self.made.append, self.log)

    def start(self, *changes: Change, now_s: float = NOW_S) -> list[Change | str]:
        """Have these made, and start what may be; what is under way then."""
        if changes:
            self.applier.renew(changes, NOW_S)
        self.applier.start(now_s)
        return list(self.calls.under_way)

    def is_idle(self) -> bool:
        return self.applier.is_idle

    def end_all(self) -> None:
        self.calls.under_way.clear()

    def ended(self, change: Change, code: str = "", now_s: float = NOW_S) -> ChangeOutcome:
        """Have it end, whether or not it was started."""
        return self.applier.ended(change, done(change, now_s, code=code), NOW_S - 1.0, {})

    def progress_times(self) -> dict[str, float]:
        """Those of the stages of the one change that was made."""
        ((_, times_s),) = self.applier.progress(NOW_S).recent
        return dict(times_s)


def numbered(change: Change, count: int) -> list[Change]:
    return [change._replace(table=f"rtb-{number}") for number in range(count)]


def test_in_the_plans_order_and_as_many_as_there_is_room_for() -> None:
    played = Played()
    changes = numbered(TO_B, 6)
    assert played.start(*changes) == changes[:ROOM]
    assert played.applier.progress(NOW_S).pending == 6
    assert not played.is_idle()
    played.end_all()
    assert played.start() == changes[ROOM:]
    assert not played.is_idle()
    played.end_all()
    assert played.is_idle()
    assert played.applier.next_at(NOW_S) == math.inf


def test_each_is_made_in_its_call() -> None:
    played = Played()
    played.start(TO_B)
    played.calls.made[TO_B]()
    assert played.made == [TO_B]


def test_the_first_may_be_started_before_the_others() -> None:
    played = Played()
    changes = numbered(TO_B, 3)
    played.applier.renew(changes, NOW_S)
    assert played.applier.start(NOW_S, most=1)
    assert list(played.calls.under_way) == changes[:1]
    assert played.applier.start(NOW_S)
    assert list(played.calls.under_way) == changes
    assert not played.applier.start(NOW_S)


@pytest.mark.parametrize(
    ("under_way", "count", "waits"),
    [
        pytest.param(0, 0, [], id="nothing to do"),
        pytest.param(0, 1, [(SENDING_FIRST_S, 1), (SENDING_S, 1)], id="one"),
        pytest.param(0, 3, [(SENDING_FIRST_S, 1), (SENDING_S, 3)], id="the first one alone"),
        pytest.param(1, 2, [(SENDING_S, 3)], id="one is under way"),
        pytest.param(ROOM, 2, [], id="no room"),
    ],
)
def test_threads_get_time_to_send_the_first_one_before_the_others(
    under_way: int, count: int, waits: Sequence[tuple[float, int]]
) -> None:
    played = Played()
    played.start(*numbered(MISSING, under_way))
    played.applier.renew(numbered(TO_B, count), NOW_S)
    found: list[tuple[float, int]] = []

    def wait(seconds: float) -> None:
        found.append((seconds, len(played.calls.under_way)))

    played.applier.start_all(wait, NOW_S)
    assert found == waits


def test_a_route_that_is_being_changed_waits_and_others_go_on() -> None:
    played = Played()
    played.start(TO_B)
    another = TO_B._replace(interface="eni-c")
    assert played.start(another, MISSING) == [TO_B, MISSING]
    assert played.applier.next_at(NOW_S) == math.inf, "it is waited for"
    played.end_all()
    assert played.start() == [another]


def test_what_a_new_plan_does_not_have_is_not_made() -> None:
    played = Played()
    played.start(*numbered(TO_B, 6))
    played.applier.renew([MISSING], NOW_S)
    played.end_all()
    assert played.start() == [MISSING]


def test_a_refused_change_waits_and_others_go_on() -> None:
    played = Played()
    played.ended(TO_B, OTHERWISE)
    assert played.start(TO_B, MISSING) == [MISSING]
    assert played.applier.next_at(NOW_S) == NOW_S + FIRST_PAUSE_S
    assert not played.applier.release_retries(NOW_S + FIRST_PAUSE_S - 0.01)
    assert played.applier.release_retries(NOW_S + FIRST_PAUSE_S)
    assert played.start(TO_B) == [MISSING, TO_B]


def test_where_one_bucket_is_empty_the_others_calls_go_on() -> None:
    played = Played()
    played.pace.refused(TO_B, NOW_S)
    assert played.start(*numbered(TO_B, 3), MISSING) == [MISSING]
    assert NOW_S < played.applier.next_at(NOW_S) <= NOW_S + 0.25
    assert played.applier.progress(NOW_S).pending == 4


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, ""), (50, ""), (54, ""), (250, "250 changes pending, up to 40 s at 5 calls/s")],
)
def test_how_long_it_takes_is_said_where_that_is_long(count: int, said: str) -> None:
    played = Played()
    played.applier.renew(numbered(TO_B, count), NOW_S)
    assert played.applier.outlook == said
    progress = played.applier.progress(NOW_S)
    assert progress.outlook == said
    assert progress.expected_s == max(0.0, (count - 50) / 5)
    played.applier.renew([], NOW_S)
    assert played.applier.outlook == ""


@pytest.mark.parametrize(
    ("action", "event"),
    [
        (Action.CREATE, "route created"),
        (Action.REPLACE, "route replaced"),
        (Action.DELETE, "route deleted"),
    ],
)
def test_an_accepted_change_is_told_with_its_time_since_it_was_decided(
    action: Action, event: str
) -> None:
    played = Played()
    change = TO_B._replace(action=action)
    assert played.ended(change) == ChangeOutcome(change, NOW_S, is_accepted=True)
    assert played.log.events == [event]
    assert played.log.facts(event) == {
        "cidr": CIDR,
        "table": "rtb-1",
        "was": A,
        "host": change.host,
        "interface": "eni-b",
        "took_ms": 1000.0,
    }
    assert played.progress_times() == {"decided": NOW_S - 1.0, "accepted": NOW_S}


def test_or_since_the_host_that_it_was_on_failed() -> None:
    played = Played()
    played.applier.ended(TO_B, done(TO_B, NOW_S), NOW_S - 1.0, {A: NOW_S - 3.0})
    assert played.log.facts("route replaced")["took_ms"] == 3000.0
    assert next(iter(played.progress_times())) == "detected"


def test_where_no_host_was_known_the_old_target_is_told() -> None:
    played = Played()
    played.ended(TO_B._replace(was_host=None))
    assert played.log.facts("route replaced")["was"] == "eni-a"


def test_when_a_change_was_seen_is_kept() -> None:
    played = Played()
    played.ended(TO_B)
    played.ended(MISSING)
    seen = READ._replace(at_s=NOW_S + 0.2, seen=(Expectation(TO_B, NOW_S),))
    played.applier.observed(seen)
    stages = [list(times_s) for _, times_s in played.applier.progress(NOW_S).recent]
    assert stages == [["decided", "accepted", "seen"], ["decided", "accepted"]]


def test_a_refusal_is_said_when_it_is_new_and_when_it_ends() -> None:
    played = Played()
    assert played.ended(TO_B, OTHERWISE) == ChangeOutcome(TO_B, NOW_S)
    played.ended(TO_B, OTHERWISE)
    assert played.log.events == ["EC2 rejected change"]
    assert played.log.facts("EC2 rejected change")["change"] == str(TO_B)
    assert played.applier.progress(NOW_S).refusals == f"Call: {OTHERWISE}: no"
    played.ended(TO_B)
    assert played.log.events[1:] == ["change succeeded on retry", "route replaced"]
    assert played.applier.progress(NOW_S).refusals == ""


def test_each_reason_is_reported_once() -> None:
    played = Played()
    for change in (*numbered(TO_B, 3), MISSING):
        played.ended(change, STALE if change is MISSING else OTHERWISE)
    refusals = played.applier.progress(NOW_S).refusals
    assert refusals == f"Call: {STALE}: no; Call: {OTHERWISE}: no"


def test_a_refusal_that_is_no_longer_to_be_tried_is_forgotten() -> None:
    played = Played()
    played.ended(TO_B, OTHERWISE)
    played.applier.renew([MISSING], NOW_S)
    assert played.applier.progress(NOW_S).refusals == ""


def test_a_stale_views_refusal_waits_for_what_is_in_doubt_and_then_for_a_pause() -> None:
    played = Played()
    assert played.ended(TO_B, STALE) == ChangeOutcome(TO_B, NOW_S, stale_code=STALE)
    assert played.start(TO_B) == []
    assert not played.applier.release_retries(1e9)
    played.applier.observed(READ._replace(is_settled=False))
    assert played.start(TO_B) == []
    played.applier.observed(READ)
    assert played.start(TO_B) == [TO_B]
    again = played.ended(TO_B, STALE)
    assert again == ChangeOutcome(TO_B, NOW_S, read_by=NOW_S + 2 * FIRST_PAUSE_S)


def test_where_nothing_can_be_read_it_waits_for_a_pause() -> None:
    played = Played()
    played.ended(TO_B, STALE)
    played.applier.observed(NOT_READ)
    assert played.applier.next_at(NOW_S) == NOW_S + FIRST_PAUSE_S
    assert played.applier.release_retries(NOW_S + FIRST_PAUSE_S)


def test_throttling_is_said_once_and_is_no_refusal() -> None:
    played = Played()
    played.applier.renew(numbered(TO_B, 3), NOW_S)
    for change in numbered(TO_B, 2):
        assert played.ended(change, THROTTLED) == ChangeOutcome(change, NOW_S, is_throttled=True)
    assert played.log.events == ["EC2 is throttling changes"]
    assert played.log.facts("EC2 is throttling changes") == {"calls_per_s": 5, "left": 3}
    assert played.applier.progress(NOW_S).refusals == ""
    assert not played.applier.start(NOW_S), "the bucket is empty"
    assert played.applier.start(NOW_S + 0.2)
