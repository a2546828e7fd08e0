"""Makes the changes: which is next, and when, and with what result.

Times are monotonic seconds.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from vpcrouter.aws.background import BackgroundCalls, Done
from vpcrouter.aws.ec2 import THROTTLE_CODES
from vpcrouter.aws.session import UNREADABLE
from vpcrouter.errors import Ec2Error
from vpcrouter.logs.setup import Later
from vpcrouter.reconcile.facts import ChangeOutcome, Observation, Progress
from vpcrouter.routing.change import Action, Change
from vpcrouter.routing.pace import Pace
from vpcrouter.routing.partial_read import STALE_VIEW_CODES
from vpcrouter.routing.plan import count_of
from vpcrouter.routing.retry import Retries

WORTH_SAYING_S = 1.0
SENDING_FIRST_S, SENDING_S = 0.001, 0.003
RECENT_CHANGES = 100
EVENT = {Action.CREATE: "created", Action.REPLACE: "replaced", Action.DELETE: "deleted"}


class Applier:
    """Owned by the reconciler's loop; calls run in the background, so no method waits."""

    def __init__(
        self,
        calls: "BackgroundCalls[Change | str]",
        pace: Pace,
        make: Callable[[Change], None],
        log: Later,
    ) -> None:
        """`make` makes one change, in a thread."""
        self._calls = calls
        self._pace = pace
        self._make = make
        self._log = log
        self._retries = Retries()
        self.outlook = ""
        """How long it takes to start all changes of the last plan; empty if that is short."""
        self._queue: deque[Change] = deque()
        self._recent: deque[tuple[Change, dict[str, float]]] = deque(maxlen=RECENT_CHANGES)

    # Queue

    @property
    def under_way(self) -> list[Change]:
        return [what for what in self._calls.under_way if isinstance(what, Change)]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to be tried now."""
        return not self._queue and not self.under_way

    @property
    def _pending(self) -> int:
        """How many changes have not been made yet."""
        return len(self._queue) + len(self.under_way)

    def renew(self, changes: Iterable[Change], now_s: float) -> None:
        """Replace the queue: make these changes, in this order, besides those under way."""
        self._queue = deque(changes)
        self._retries.keep_only({change.key for change in (*self._queue, *self.under_way)})
        expected_s = self._pace.expected_s(self._queue, now_s)
        self.outlook = ""
        if expected_s >= WORTH_SAYING_S:
            pending = count_of(len(self._queue), "change")
            rate = f"{self._pace.rate} calls/s"
            self.outlook = f"{pending} pending, up to {expected_s:.0f} s at {rate}"

    def start_all(self, wait: Callable[[float], object], now_s: float) -> None:
        """Start all changes that may start now, and let their threads send.

        Only one thread at a time runs Python: first one request is sent, then all the others.
        """
        has_started = not self.under_way and self.start(now_s, most=1)
        if has_started:
            wait(SENDING_FIRST_S)
        if self.start(now_s) or has_started:
            wait(SENDING_S)

    def start(self, now_s: float, most: int | None = None) -> bool:
        """Start the changes that may start now, at most `most`; whether any was started."""
        if not self._queue:
            return False
        busy = {change.key for change in self.under_way}
        left: deque[Change] = deque()
        started = 0
        while self._queue and self._calls.has_room and started != most:
            change = self._queue.popleft()
            if self._retries.must_wait(change):
                continue
            if change.key in busy or not self._pace.may_start(change, now_s):
                left.append(change)
                continue
            self._pace.started(change, now_s)
            self._calls.start(change, partial(self._make, change))
            started += 1
        self._queue.extendleft(reversed(left))
        return started > 0

    def release_retries(self, now_s: float) -> bool:
        """Whether rejected changes may be retried now; that takes a new plan."""
        return self._retries.release(now_s)

    def next_at(self, now_s: float) -> float:
        """When the next change can start, or a new plan is due; infinity: not without an event."""
        times = [self._retries.next_s()]
        if self._queue and self._calls.has_room:
            busy = {change.key for change in self.under_way}
            waiting = (change for change in self._queue if change.key not in busy)
            times.append(self._pace.next_s(waiting, now_s))
        return min((at_s for at_s in times if at_s is not None), default=math.inf)

    def progress(self, now_s: float) -> Progress:
        expected_s = self._pace.expected_s(self._queue, now_s)
        refusals = "; ".join(sorted(set(self._retries.reasons)))
        return Progress(tuple(self._recent), self._pending, expected_s, refusals, self.outlook)

    # Results

    def ended(
        self,
        change: Change,
        done: Done[Change | str],
        decided_at: float,
        failed_since: Mapping[str, float],
    ) -> ChangeOutcome:
        """Process the result of a change; `failed_since` says when hosts were reported failed."""
        if done.error is not None:
            return self._refused(change, done.error, done.ended_s)
        if self._retries.succeeded(change.key):
            self._log.info("change succeeded on retry", change=str(change))
        times_s = {"decided": decided_at, "accepted": done.ended_s}
        failed_at = failed_since.get(change.was_host or "")
        if failed_at is not None:
            times_s = {"detected": failed_at, **times_s}
        self._recent.append((change, times_s))
        self._log.info(
            f"route {EVENT[change.action]}",
            cidr=change.cidr,
            table=change.table,
            was=change.was_host or change.was,
            host=change.host,
            interface=change.interface,
            took_ms=round(1000 * (done.ended_s - min(times_s.values())), 1),
        )
        return ChangeOutcome(change, done.ended_s, is_accepted=True)

    def observed(self, observation: Observation) -> None:
        """Process a read: it may show changes, and retries may have waited for it."""
        for change, times_s in self._recent:
            if any(change is each.change for each in observation.seen):
                times_s["seen"] = observation.at_s
        if observation.is_unreadable:
            self._retries.view_is_unknown(observation.at_s)
        elif observation.is_settled:
            self._retries.view_is_fresh()

    def _refused(self, change: Change, error: Ec2Error, now_s: float) -> ChangeOutcome:
        if error.code in THROTTLE_CODES:
            return self._throttled(change, now_s)
        if error.code == UNREADABLE:
            self._pace.unreadable(change, now_s)
        is_stale = error.code in STALE_VIEW_CODES
        if self._retries.failed(change, str(error), is_stale, now_s):
            self._log.error("EC2 rejected change", change=str(change), reason=str(error))
        if not is_stale:
            return ChangeOutcome(change, now_s)
        if self._retries.awaits_view(change.key):
            return ChangeOutcome(change, now_s, stale_code=error.code)
        return ChangeOutcome(change, now_s, read_by=now_s + self._retries.pause_s(change.key))

    def _throttled(self, change: Change, now_s: float) -> ChangeOutcome:
        if not self._pace.is_throttled:
            self._log.warning(
                "EC2 is throttling changes", calls_per_s=self._pace.rate, left=self._pending
            )
        self._pace.refused(change, now_s)
        return ChangeOutcome(change, now_s, is_throttled=True)
