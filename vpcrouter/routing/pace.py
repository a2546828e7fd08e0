"""The rate at which changes are made. Pure: time is an argument, in monotonic seconds.

As fast as EC2 answers until it throttles, then as its token bucket refills; changes that are not
urgent leave half of the bucket: docs/decisions/0007-token-bucket-pace.md.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from vpcrouter.routing.change import Action, Change, Urgency

URGENT = frozenset({Urgency.FAILED, Urgency.MISSING})
RESERVE = 0.5
"""The share of a full bucket that housekeeping leaves."""
GROWTH = 0.04
"""While no call is rejected, the rate of a bucket known to have been empty grows by this share of
the configured rate each second: at 5/s that costs about one rejection in 20 calls."""


@dataclass(slots=True)
class _Bucket:
    """The estimate of one action's bucket at `at_s`."""

    tokens: float
    rate: float
    at_s: float
    is_throttled: bool = False
    """It was empty, and cannot have refilled since."""


class Pace:
    """When the next call of each action may be made; buckets are taken to be full at first."""

    def __init__(self, burst: int, rate: int) -> None:
        """`burst` tokens at most, `rate` more each second."""
        self.rate = rate
        self._burst = burst
        self._buckets: dict[Action, _Bucket] = {}

    @property
    def is_throttled(self) -> bool:
        return any(bucket.is_throttled for bucket in self._buckets.values())

    def may_start(self, change: Change, now_s: float) -> bool:
        bucket = self._bucket(change.action, now_s)
        is_urgent = change.urgency in URGENT
        return (is_urgent and not bucket.is_throttled) or bucket.tokens >= self._needed(is_urgent)

    def started(self, change: Change, now_s: float) -> None:
        bucket = self._bucket(change.action, now_s)
        bucket.tokens = max(0.0, bucket.tokens - 1)

    def refused(self, change: Change, now_s: float) -> None:
        """EC2 throttled the change: the bucket is empty, whatever emptied it."""
        self._buckets[change.action] = _Bucket(0.0, self.rate, now_s, is_throttled=True)

    def unreadable(self, change: Change, now_s: float) -> None:
        """EC2's answer says nothing: once the bucket has to be empty, it may say so."""
        bucket = self._bucket(change.action, now_s)
        bucket.is_throttled = bucket.is_throttled or bucket.tokens < 1

    def next_s(self, changes: Iterable[Change], now_s: float) -> float | None:
        """When the first of `changes` may be started, if all have to wait."""
        kinds = {(change.action, change.urgency in URGENT) for change in changes}
        return min((self._due_s(*kind, now_s) for kind in kinds), default=None)

    def expected_s(self, changes: Iterable[Change], now_s: float) -> float:
        """Estimated time until all of them have been started."""
        counts = Counter(change.action for change in changes)
        return max(
            (
                max(0.0, count - self._bucket(action, now_s).tokens) / self.rate
                for action, count in counts.items()
            ),
            default=0.0,
        )

    def _needed(self, is_urgent: bool) -> float:
        return 1.0 if is_urgent else 1.0 + RESERVE * self._burst

    def _due_s(self, action: Action, is_urgent: bool, now_s: float) -> float:
        bucket = self._bucket(action, now_s)
        return now_s + max(0.0, self._needed(is_urgent) - bucket.tokens) / bucket.rate

    def _bucket(self, action: Action, now_s: float) -> _Bucket:
        """The action's bucket, refilled up to now."""
        bucket = self._buckets.setdefault(action, _Bucket(self._burst, self.rate, now_s))
        passed_s = max(0.0, now_s - bucket.at_s)
        bucket.at_s = now_s
        bucket.tokens += passed_s * bucket.rate
        if bucket.is_throttled:
            bucket.rate += passed_s * GROWTH * self.rate
        if bucket.tokens >= self._burst:
            bucket.tokens, bucket.rate, bucket.is_throttled = self._burst, self.rate, False
        return bucket
