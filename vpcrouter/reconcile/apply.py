"""The changes that wait to be made and those that are being made: which goes next, and when."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from vpcrouter.aws.background import BackgroundCalls
from vpcrouter.routing.pace import Pace
from vpcrouter.routing.plan import Change, count_of
from vpcrouter.routing.retry import Retries

WORTH_SAYING_S = 1.0


class Applying:
    """Owned by the reconciler's loop; no method waits."""

    def __init__(
        self, calls: "BackgroundCalls[Change | str]", pace: Pace, make: Callable[[Change], None]
    ) -> None:
        """`make` makes one change, in a thread."""
        self.retries = Retries()
        self.pace = pace
        self._calls = calls
        self._make = make
        self._queue: deque[Change] = deque()

    @property
    def under_way(self) -> list[Change]:
        return [what for what in self._calls.under_way if isinstance(what, Change)]

    @property
    def pending(self) -> int:
        """How many changes are not made yet."""
        return len(self._queue) + len(self.under_way)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to be tried now."""
        return not self._queue and not self.under_way

    def renew(self, changes: Iterable[Change]) -> None:
        """These are to be made, in this order, and no others but those under way."""
        self._queue = deque(changes)
        self.retries.keep_only({change.key for change in (*self._queue, *self.under_way)})

    def start(self, most: int | None = None) -> bool:
        """Start what may be started now, or so many of it; whether there was anything."""
        if not self._queue:
            return False
        now_s = time.monotonic()
        busy = {change.key for change in self.under_way}
        left: deque[Change] = deque()
        started = 0
        while self._queue and self._calls.has_room and started != most:
            change = self._queue.popleft()
            if self.retries.must_wait(change):
                continue
            if change.key in busy or not self.pace.may_start(change, now_s):
                left.append(change)
                continue
            self.pace.started(change, now_s)
            self._calls.start(change, partial(self._make, change))
            started += 1
        self._queue.extendleft(reversed(left))
        return started > 0

    def next_s(self) -> float | None:
        """When there is something to start, or to plan anew, without anything else happening."""
        times = [self.retries.next_s()]
        if self._queue and self._calls.has_room:
            busy = {change.key for change in self.under_way}
            waiting = (change for change in self._queue if change.key not in busy)
            times.append(self.pace.next_s(waiting, time.monotonic()))
        return min((at_s for at_s in times if at_s is not None), default=None)

    def expected_s(self) -> float:
        """How long it takes at most, by what is believed of EC2, to start all that waits."""
        return self.pace.expected_s(self._queue, time.monotonic())

    def sentence(self) -> str:
        """How long it takes, where that is worth saying."""
        expected_s = self.expected_s()
        if expected_s < WORTH_SAYING_S:
            return ""
        waiting = count_of(len(self._queue), "route")
        return f"{waiting} to go, up to {expected_s:.0f} s at {self.pace.rate} calls/s"
