"""Request throttling by token buckets, which all tools of an account share.

Source of the sizes: "Request throttling for the Amazon EC2 API" (EC2 Developer Guide): a bucket
for each account, region and action.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .calls import Call

READS = (100.0, 20.0)
UNPAGED_READS = (50.0, 10.0)
CHANGES = (50.0, 5.0)
"""Capacity, and what is refilled a second. "Non-mutating actions", "Unfiltered and unpaginated
non-mutating actions", and "Mutating actions"."""
OF_EC2 = "ec2"
"""The sizes above."""
UNPAGED = frozenset({"DescribeInstances", "DescribeNetworkInterfaces"})
"""Those that have a bucket of their own when they are neither filtered nor paginated."""


@dataclass
class Bucket:
    """A token bucket, from which a neighbour of the same account takes `neighbour_per_s`, too.

    The caller holds the lock that guards it.
    """

    capacity: float
    per_s: float
    neighbour_per_s: float = 0.0
    tokens: float = field(init=False)
    filled_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens, self.filled_s = self.capacity, time.monotonic()
        self._neighbour_s = self.filled_s

    def take(self) -> bool:
        """Take a token, if there is one."""
        now = time.monotonic()
        while self.neighbour_per_s and self._neighbour_s < now:
            self._take_at(self._neighbour_s)
            self._neighbour_s += 1 / self.neighbour_per_s
        return self._take_at(now)

    def _take_at(self, now: float) -> bool:
        self.tokens = min(self.capacity, self.tokens + (now - self.filled_s) * self.per_s)
        self.filled_s = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Throttle:
    """A token bucket for each action; the caller holds the lock that guards it."""

    def __init__(
        self,
        size: Mapping[str, float] | str | None = None,
        neighbour: Mapping[str, float] | None = None,
    ) -> None:
        """`size` is that of each mutating action's bucket, or `OF_EC2`.

        `neighbour` has the calls a second that the neighbour makes, by patterns of actions.
        """
        if isinstance(size, str) and size != OF_EC2:
            raise ValueError(f"buckets are of sizes, or those of {OF_EC2!r}, not {size!r}")
        if neighbour and size is None:
            raise ValueError("without buckets there is nothing to share with a neighbour")
        self._size = size
        self._neighbour = dict(neighbour or {})
        self._buckets: dict[tuple[str, bool], Bucket] = {}
        if size is not None and not isinstance(size, str):
            Bucket(**size)

    def admits(self, call: Call) -> bool:
        is_unpaged = call.action in UNPAGED and not call.params
        sizes = self._sizes(call, is_unpaged)
        if sizes is None:
            return True
        key = call.action, is_unpaged
        if key not in self._buckets:
            self._buckets[key] = Bucket(*sizes, self._neighbours(call.action))
        return self._buckets[key].take()

    def _sizes(self, call: Call, is_unpaged: bool) -> tuple[float, float] | None:
        if self._size is None or call.service != "ec2":
            return None
        if isinstance(self._size, str):
            return CHANGES if call.mutating else UNPAGED_READS if is_unpaged else READS
        return (self._size["capacity"], self._size["per_s"]) if call.mutating else None

    def _neighbours(self, action: str) -> float:
        return sum(rate for each, rate in self._neighbour.items() if fnmatchcase(action, each))
