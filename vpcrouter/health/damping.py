"""Damping of flapping hosts: hold-down times that grow. Pure: time is an argument.

Similar to route-flap damping (RFC 2439), but with counts instead of a decaying penalty, so that
one sentence explains what the daemon does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vpcrouter.backoff import backoff_s
from vpcrouter.model.messages import DampingReport, Flaps

FIRST_SHARE = 0.1
LONGEST_WINDOWS = 6.0


@dataclass(frozen=True, slots=True)
class DampingPolicy:
    """A host that fails `count` times within `window_s` seconds is damped; 0 disables damping.

    The first hold-down lasts a tenth of the window. It doubles with each further failure until
    the host has had no failure for a whole window after a hold-down; it is at most six windows.
    """

    count: int = 5
    window_s: float = 600.0

    def damped_for_s(self, level: int) -> float:
        """The hold-down of a host damped for the `level`-th time in a row."""
        return backoff_s(level, FIRST_SHARE * self.window_s, LONGEST_WINDOWS * self.window_s)


class Damping:
    """Counts the failures of each host. Times are monotonic seconds."""

    def __init__(self, policy: DampingPolicy) -> None:
        self._policy = policy
        self._flaps: dict[str, Flaps] = {}

    def go_on_from(self, report: DampingReport) -> None:
        """Take over the state of the previous generation."""
        self._flaps = {**report.flaps}

    def keep(self, hosts: Iterable[str]) -> None:
        """Forget all but these hosts."""
        for host in self._flaps.keys() - set(hosts):
            del self._flaps[host]

    def failed(self, host: str, at_s: float) -> bool:
        """Count a failure; whether it damps the host. A repeated report does not count."""
        flaps = self._flaps.get(host, Flaps())
        if not self._policy.count or (flaps.failed_s and at_s <= flaps.failed_s[-1]):
            return False
        recent = tuple(each for each in flaps.failed_s if each > at_s - self._policy.window_s)
        recent = (*recent, at_s)[-self._policy.count :]
        is_known = flaps.level > 0 and at_s <= flaps.until_s + self._policy.window_s
        if not is_known and len(recent) < self._policy.count:
            self._flaps[host] = Flaps(recent)
            return False
        level = flaps.level + 1 if is_known else 1
        self._flaps[host] = Flaps(recent, level, at_s + self._policy.damped_for_s(level))
        return True

    def damped(self, now_s: float) -> frozenset[str]:
        """The hosts that are damped now."""
        return damped_hosts(self._flaps, now_s)

    def next_end_s(self, now_s: float) -> float:
        """When the next hold-down ends; infinity if no host is damped."""
        ends_s = (each.until_s for each in self._flaps.values() if each.until_s > now_s)
        return min(ends_s, default=float("inf"))

    def until_s(self, host: str) -> float:
        return self._flaps[host].until_s

    def report(self) -> DampingReport:
        return DampingReport(dict(self._flaps))


def damped_hosts(flaps: Mapping[str, Flaps], now_s: float) -> frozenset[str]:
    """The hosts in `flaps` that are damped at `now_s`."""
    return frozenset(host for host, each in flaps.items() if each.until_s > now_s)
