"""The states of hosts, merged from the reports of all monitors."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from operator import and_
from typing import NamedTuple

from vpcrouter.model.messages import HealthReport


class State(StrEnum):
    """The four states of a host. An unknown state is never a reason to change a route."""

    HEALTHY = "healthy"
    QUESTIONABLE = "questionable"
    FAILED = "failed"
    UNKNOWN = "unknown"


class CheckResult(NamedTuple):
    """The hosts of one check that are not healthy."""

    failed: frozenset[str] = frozenset()
    questionable: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()

    @classmethod
    def of(cls, states: Mapping[str, State]) -> "CheckResult":
        """From the state of each host."""
        return cls(
            *(
                frozenset(host for host, its in states.items() if its is state)
                for state in (State.FAILED, State.QUESTIONABLE, State.UNKNOWN)
            )
        )


@dataclass(frozen=True, slots=True)
class Health:
    """The merged result of all monitors. A host in none of the sets is unknown.

    `failed_since` has the monotonic time at which a monitor first judged each failed host
    failed, where it reported one. `presumed` are the unknown hosts that at least one monitor
    reports healthy and none reports otherwise: they may take over a failed host's routes, and
    nothing else. `damped` hosts, whatever their state, failed so often recently that any other
    host is preferred.
    """

    healthy: frozenset[str] = frozenset()
    questionable: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    failed_since: Mapping[str, float] = field(default_factory=dict)
    presumed: frozenset[str] = frozenset()
    damped: frozenset[str] = frozenset()

    def state(self, host: str) -> State:
        if host in self.failed:
            return State.FAILED
        if host in self.questionable:
            return State.QUESTIONABLE
        return State.HEALTHY if host in self.healthy else State.UNKNOWN


def merge(
    reports: Iterable[HealthReport], hosts: Iterable[str], monitors: Collection[str]
) -> Health:
    """The effective health of `hosts`; `monitors` names all monitors in use.

    Failed if any report says so; else questionable if any does; else healthy if every monitor
    judged it healthy; otherwise, as with no monitor at all, unknown.
    """
    wanted = hosts if isinstance(hosts, frozenset) else frozenset(hosts)
    failed: set[str] = set()
    questionable: set[str] = set()
    since: dict[str, float] = {}
    healthy_of: dict[str, frozenset[str]] = {}
    for report in reports:
        failed |= report.failed
        questionable |= report.questionable
        # A report on exactly these hosts needs no filtering.
        is_of_these = report.judged is wanted
        healthy_of[report.monitor] = report.healthy if is_of_these else wanted & report.healthy
        for host in report.failed & wanted & report.failed_since_at.keys():
            at_s = report.failed_since_at[host]
            since[host] = min(at_s, since.get(host, at_s))
    nobody: frozenset[str] = frozenset()
    said = [healthy_of.get(monitor, nobody) for monitor in monitors]
    healthy = reduce(and_, said) if said else nobody
    presumed = nobody
    if any(len(each) != len(healthy) for each in said):  # rarely
        presumed = nobody.union(*said) - healthy
    bad = failed | questionable
    return Health(
        _without(healthy, bad),
        (wanted & questionable) - failed,
        wanted & failed,
        since,
        _without(presumed, bad),
    )


def _without(hosts: frozenset[str], bad: Collection[str]) -> frozenset[str]:
    """Avoids copying sets of thousands of hosts where nothing changes."""
    return hosts if hosts.isdisjoint(bad) else hosts.difference(bad)
