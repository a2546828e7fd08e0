"""When a change that EC2 refused is tried again. Pure: time is an argument."""

import math
from dataclasses import dataclass, replace

from vpcrouter.backoff import backoff_s
from vpcrouter.model.view import RouteKey
from vpcrouter.routing.change import Change


@dataclass(frozen=True, slots=True)
class _RefusedChange:
    """`retry_at_s` is None once the next try is released, and infinity while it awaits a view."""

    change: Change
    reason: str
    times: int
    retry_at_s: float | None

    @property
    def awaits_view(self) -> bool:
        return self.retry_at_s == math.inf


class Retries:
    """The routes whose last change was refused."""

    def __init__(self) -> None:
        self._refusals: dict[RouteKey, _RefusedChange] = {}

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(refusal.reason for refusal in self._refusals.values())

    def failed(self, change: Change, reason: str, is_stale: bool, now_s: float) -> bool:
        """Note a refusal; True when it is a new one worth a word.

        `is_stale`: the view may be to blame, so the first retry waits until there is a fresh one,
        or none to be had.
        """
        before = self._refusals.get(change.key)
        times = before.times + 1 if before else 1
        retry_at_s = math.inf if is_stale and times == 1 else now_s + backoff_s(times)
        self._refusals[change.key] = _RefusedChange(change, reason, times, retry_at_s)
        return before is None or before.reason != reason

    def succeeded(self, key: RouteKey) -> bool:
        """Note a success; True when it follows a refusal."""
        return self._refusals.pop(key, None) is not None

    def view_is_fresh(self) -> None:
        """Release what was waiting for that."""
        self._no_longer_await(None)

    def view_is_unknown(self, now_s: float) -> None:
        """Nothing can be read: what was waiting for that is tried again after a pause."""
        self._no_longer_await(now_s + backoff_s(1))

    def _no_longer_await(self, retry_at_s: float | None) -> None:
        for key, refusal in self._refusals.items():
            if refusal.awaits_view:
                self._refusals[key] = replace(refusal, retry_at_s=retry_at_s)

    def keep_only(self, keys: set[RouteKey]) -> None:
        """Forget the refusals of routes that are no longer to be changed."""
        self._refusals = {key: each for key, each in self._refusals.items() if key in keys}

    def must_wait(self, change: Change) -> bool:
        """Whether this very change was refused too recently; another for the route need not."""
        refusal = self._refusals.get(change.key)
        return refusal is not None and refusal.change == change and refusal.retry_at_s is not None

    def awaits_view(self, key: RouteKey) -> bool:
        """Whether the route's next try waits for a fresh view."""
        refusal = self._refusals.get(key)
        return refusal is not None and refusal.awaits_view

    def pause_s(self, key: RouteKey) -> float:
        """How long the route's next try is put off."""
        refusal = self._refusals.get(key)
        return 0.0 if refusal is None else backoff_s(refusal.times)

    def next_s(self) -> float | None:
        """When the next retry has to be released; infinity: when there is a fresh view."""
        waiting = [r.retry_at_s for r in self._refusals.values() if r.retry_at_s is not None]
        return min(waiting, default=None)

    def release(self, now_s: float) -> bool:
        """Release the retries that are due by now; True when there are any."""
        due = [
            key
            for key, refusal in self._refusals.items()
            if refusal.retry_at_s is not None and refusal.retry_at_s <= now_s
        ]
        for key in due:
            self._refusals[key] = replace(self._refusals[key], retry_at_s=None)
        return bool(due)
