"""When a rejected change is retried. Pure: time is an argument."""

import math
from dataclasses import dataclass, replace

from vpcrouter.backoff import backoff_s
from vpcrouter.model.view import RouteKey
from vpcrouter.routing.change import Change


@dataclass(frozen=True, slots=True)
class _RefusedChange:
    """`retry_at_s` is None once the next retry is released, and infinity while it awaits a view."""

    change: Change
    reason: str
    times: int
    retry_at_s: float | None

    @property
    def awaits_view(self) -> bool:
        return self.retry_at_s == math.inf


class Retries:
    """The routes whose last change was rejected."""

    def __init__(self) -> None:
        self._refusals: dict[RouteKey, _RefusedChange] = {}

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(refusal.reason for refusal in self._refusals.values())

    def failed(self, change: Change, reason: str, is_stale: bool, now_s: float) -> bool:
        """Note a rejection; True if it is new and should be logged.

        `is_stale`: the view may be the cause, so the first retry waits for a fresh view, or until
        EC2 cannot be read.
        """
        before = self._refusals.get(change.key)
        times = before.times + 1 if before else 1
        retry_at_s = math.inf if is_stale and times == 1 else now_s + backoff_s(times)
        self._refusals[change.key] = _RefusedChange(change, reason, times, retry_at_s)
        return before is None or before.reason != reason

    def succeeded(self, key: RouteKey) -> bool:
        """Note a success; True if it follows a rejection."""
        return self._refusals.pop(key, None) is not None

    def view_is_fresh(self) -> None:
        """Release the retries that waited for a fresh view."""
        self._no_longer_await(None)

    def view_is_unknown(self, now_s: float) -> None:
        """EC2 cannot be read: retry what waited for a view after a pause."""
        self._no_longer_await(now_s + backoff_s(1))

    def _no_longer_await(self, retry_at_s: float | None) -> None:
        for key, refusal in self._refusals.items():
            if refusal.awaits_view:
                self._refusals[key] = replace(refusal, retry_at_s=retry_at_s)

    def keep_only(self, keys: set[RouteKey]) -> None:
        """Forget the rejections of routes that are no longer to be changed."""
        self._refusals = {key: each for key, each in self._refusals.items() if key in keys}

    def must_wait(self, change: Change) -> bool:
        """Whether this change was rejected too recently; another change of the route may go."""
        refusal = self._refusals.get(change.key)
        return refusal is not None and refusal.change == change and refusal.retry_at_s is not None

    def awaits_view(self, key: RouteKey) -> bool:
        """Whether the route's next retry waits for a fresh view."""
        refusal = self._refusals.get(key)
        return refusal is not None and refusal.awaits_view

    def pause_s(self, key: RouteKey) -> float:
        """The pause before the route's next retry."""
        refusal = self._refusals.get(key)
        return 0.0 if refusal is None else backoff_s(refusal.times)

    def next_s(self) -> float | None:
        """When the next retry is due; infinity: when there is a fresh view."""
        waiting = [r.retry_at_s for r in self._refusals.values() if r.retry_at_s is not None]
        return min(waiting, default=None)

    def release(self, now_s: float) -> bool:
        """Release the retries that are due; True if there are any."""
        due = [
            key
            for key, refusal in self._refusals.items()
            if refusal.retry_at_s is not None and refusal.retry_at_s <= now_s
        ]
        for key in due:
            self._refusals[key] = replace(self._refusals[key], retry_at_s=None)
        return bool(due)
