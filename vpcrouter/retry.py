"""When a change that EC2 refused is tried again. Pure: time is an argument."""

from dataclasses import dataclass, replace

from vpcrouter.backoff import backoff_s
from vpcrouter.plan import Change
from vpcrouter.view import RouteKey


@dataclass(frozen=True, slots=True)
class _Refusal:
    """`retry_at_s` is None once the next try is released."""

    change: Change
    reason: str
    times: int
    retry_at_s: float | None
    awaits_view: bool


class Retries:
    """The routes whose last change was refused."""

    def __init__(self) -> None:
        self._refusals: dict[RouteKey, _Refusal] = {}

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(refusal.reason for refusal in self._refusals.values())

    def failed(self, change: Change, reason: str, is_stale: bool, now_s: float) -> bool:
        """Note a refusal; True when it is a new one worth a word.

        `is_stale`: the view may be to blame, so the first retry waits for a fresh one only.
        """
        before = self._refusals.get(change.key)
        times = before.times + 1 if before else 1
        retry_at_s = now_s + backoff_s(times)
        awaits_view = is_stale and times == 1
        self._refusals[change.key] = _Refusal(change, reason, times, retry_at_s, awaits_view)
        return before is None or before.reason != reason

    def succeeded(self, key: RouteKey) -> bool:
        """Note a success; True when it follows a refusal."""
        return self._refusals.pop(key, None) is not None

    def view_is_fresh(self) -> None:
        """Release what was waiting for that."""
        for key, refusal in self._refusals.items():
            if refusal.awaits_view:
                self._refusals[key] = replace(refusal, awaits_view=False, retry_at_s=None)

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
        """When the next retry has to be released."""
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
