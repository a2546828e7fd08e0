"""The states of hosts: what all monitors together say."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from operator import and_
from typing import NamedTuple

from vpcrouter.model.messages import HealthReport


class State(StrEnum):
    """The four states of a host. Nothing may be done on account of an unknown one."""

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
        """By the state of each host."""
        return cls(
            *(
                frozenset(host for host, its in states.items() if its is state)
                for state in (State.FAILED, State.QUESTIONABLE, State.UNKNOWN)
            )
        )


@dataclass(frozen=True, slots=True)
class Health:
    """What all monitors together say. A host in none of the sets is unknown.

    `failed_since` has the monotonic time of each failed host's first judgement, where the
    monitor gave one. `presumed` are the unknown hosts that some monitor calls healthy and none
    calls otherwise: good enough for a route on a failed host, and for nothing else. `damped`
    hosts, whatever their state, have failed so often of late that any other is better.
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
        # Of whoever judged just these hosts, none need be sorted out.
        is_of_these = report.judged is wanted
        healthy_of[report.monitor] = report.healthy if is_of_these else wanted & report.healthy
        for host in report.failed & wanted & report.changed_s.keys():
            at_s = report.changed_s[host]
            since[host] = min(at_s, since.get(host, at_s))
    nobody: frozenset[str] = frozenset()
    said = [healthy_of.get(monitor, nobody) for monitor in monitors]
    healthy = reduce(and_, said) if said else nobody
    presumed = nobody
    if any(len(each) != len(healthy) for each in said):  # as nearly never
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
    """Sets of thousands are not copied for nothing."""
    return hosts if hosts.isdisjoint(bad) else hosts.difference(bad)
