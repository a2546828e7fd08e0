"""What was done and when, by the monotonic clock, and what the rules say follows from it.

Written by the run, read by the checker. All bounds of the rules are here. They hold on a busy
machine; on one that is overrun they are stretched, see `tests.chaos.crowd`.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.chaos.plan import MONITOR, NEEDED, RECONCILER, WATCHER
from vpcrouter.health.detection import worst_case_detection_s
from vpcrouter.monitoring.timing import Timing

INTERVAL_S = 0.2
SUPERVISOR, EC2 = "supervisor", "ec2"
_TIMING = Timing(INTERVAL_S, 0.8 * INTERVAL_S, 0.05)

DETECTION_S = 2 * worst_case_detection_s(INTERVAL_S, _TIMING.timeout_s, 3, _TIMING.fastinter_s)
"""The monitor judges nothing of a round in which it was late itself: twice the worst case."""
APPLY_S = 1.5
"""From a judgement to the last of its changes done: up to 60 calls, eight at once."""
ALLOWED_S = DETECTION_S + APPLY_S
REPLACEMENT_S = 4.0
"""From a worker's end to its successor's first deeds, beside the supervisor's own delay."""
RESTART_S = 7.0
"""From the supervisor's end to the first deeds of all new workers."""
RECOVERY_S = 10 * INTERVAL_S + DETECTION_S
"""A host that came back surely counts as healthy after so long of an undisturbed monitor."""
SPEC_S = 1.5
"""A spec that stands so long before an undisturbed watcher is in force."""
LAG_S = 1.5
"""A change may go back to what was known so long before."""
RECENT_S, RECENT_SPECS = 60.0, 20
"""What is older has no part in any rule, and would only make the checker slow."""

Spec = Mapping[str, tuple[str, ...]]


def digest(routes: Mapping[str, Iterable[str]]) -> str:
    """The same for the same spec, however it is written."""
    return json.dumps({cidr: list(hosts) for cidr, hosts in sorted(routes.items())})


@dataclass(slots=True)
class Disturbance:
    """Something that `who` suffers; `until_s` includes what it needs to get over it.

    `blinds`: it goes on from what it knew before.
    """

    who: str
    from_s: float
    until_s: float = math.inf
    blinds: bool = False
    is_over: bool = False
    """All was seen to be right at `until_s`, on however busy a machine."""


@dataclass(slots=True)
class Written:
    """A good spec, and how long its file stood."""

    index: int
    routes: Spec
    digest: str
    written_s: float
    left_s: float = math.inf
    shown_s: float = math.inf
    """When the API first showed it."""


@dataclass
class History:
    """Appended to by one thread, read by others."""

    started_s: float
    lives: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)
    disturbances: list[Disturbance] = field(default_factory=list)
    specs: list[Written] = field(default_factory=list)
    full: list[tuple[float, float]] = field(default_factory=list)
    """From when until when the disk was full."""
    stretch: float = 1.0
    """How many times longer than the bounds say things may take at present."""

    # ---- hosts ----------------------------------------------------------------------------

    def dead_since(self, host: str, at_s: float) -> float | None:
        """Since when the host has been dead at `at_s`; None when it is alive."""
        since_s, is_alive = self._life(host, at_s)
        return None if is_alive else since_s

    def _life(self, host: str, at_s: float) -> tuple[float, bool]:
        past = [change for change in self.lives.get(host, ()) if change[0] <= at_s]
        return past[-1] if past else (self.started_s, host in self.lives)

    def sure_from(self, host: str, at_s: float) -> float:
        """From when on the host, alive at `at_s`, surely counts as healthy; else never."""
        since_s, is_alive = self._life(host, at_s)
        if not is_alive:
            return math.inf
        if since_s <= self.started_s:
            return since_s
        sure_s = since_s + RECOVERY_S * self.stretch
        for each in self.disturbances:
            is_its = each.who in (MONITOR, SUPERVISOR) and each.from_s < sure_s
            if is_its and since_s < (end_s := self._end_s(each)):
                sure_s = max(sure_s, end_s + RECOVERY_S * self.stretch)
        return sure_s

    # ---- disturbances ---------------------------------------------------------------------

    def disturb(self, each: Disturbance) -> None:
        """Note it, and forget what is long over."""
        oldest_s = each.from_s - RECENT_S
        self.disturbances = [d for d in self.disturbances if d.until_s > oldest_s]
        self.disturbances.append(each)

    def _end_s(self, each: Disturbance) -> float:
        if each.is_over:
            return each.until_s
        return each.from_s + (each.until_s - each.from_s) * self.stretch

    def busy_until(self, at_s: float, who: Iterable[str] = (*NEEDED, SUPERVISOR, EC2)) -> float:
        """When what was done to any of `who` before `at_s` is over, or was."""
        untils = (self._end_s(d) for d in self.disturbances if d.who in who and d.from_s <= at_s)
        return max(untils, default=self.started_s)

    def known_from(self, at_s: float) -> float:
        """The oldest moment whose state a change asked for at `at_s` may go back to."""
        lag_s = LAG_S * self.stretch
        from_s = at_s - lag_s
        blinded = (d for d in self.disturbances if d.blinds and d.who in (*NEEDED, SUPERVISOR))
        for each in sorted(blinded, key=lambda d: -d.from_s):
            if each.from_s < at_s and self._end_s(each) + lag_s > from_s:
                from_s = min(from_s, each.from_s - lag_s)
        return from_s

    # ---- specs ----------------------------------------------------------------------------

    def in_force_s(self, spec: Written) -> float:
        """From when on the spec, or a newer one, is surely in force; infinite if it needn't be."""
        from_s, reading_s = spec.written_s, SPEC_S * self.stretch
        for each in self.disturbances:
            if each.who in (WATCHER, SUPERVISOR) and each.from_s < from_s + reading_s:
                from_s = max(from_s, self._end_s(each))
        stood_s = from_s + reading_s
        return min(spec.shown_s, stood_s if stood_s <= spec.left_s else math.inf)

    def possible_specs(self, from_s: float, at_s: float) -> list[Written]:
        """The good specs that may have been in force at some time from `from_s` to `at_s`."""
        written = [spec for spec in self.specs[-RECENT_SPECS:] if spec.written_s <= at_s]
        sure = [
            spec.index
            for spec in written
            if self.in_force_s(spec) <= from_s and not self.may_be_forgotten(spec, at_s)
        ]
        return [spec for spec in written if spec.index >= max(sure, default=0)]

    def may_be_forgotten(self, spec: Written, at_s: float) -> bool:
        """Whether the disk was full when the spec came and until the supervisor was killed."""
        kills = [d.from_s for d in self.disturbances if d.who == SUPERVISOR and d.from_s <= at_s]
        return any(
            from_s <= self.in_force_s(spec) and spec.written_s < killed_s <= until_s
            for from_s, until_s in self.full
            for killed_s in kills
        )

    def reconciler_lag_s(self, at_s: float) -> float:
        """`known_from`, and the reconciler's own absence."""
        lag_s = LAG_S * self.stretch
        from_s = self.known_from(at_s)
        for each in sorted(self.disturbances, key=lambda d: -d.from_s):
            if each.who in (RECONCILER, SUPERVISOR) and each.from_s < at_s:
                if self._end_s(each) < from_s:
                    continue
                from_s = min(from_s, each.from_s - lag_s)
        return from_s
