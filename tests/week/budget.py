"""How many calls the daemon may make: at once, and in all.

EC2 refuses what is beyond its token buckets (`tests/aws/buckets.py`), whoever takes the tokens;
what counts here is that the daemon does not keep asking for more than the buckets give.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.aws.buckets import CHANGES, READS
from tests.week.clock import START_S, Clock
from tests.week.findings import Findings

PARALLEL = 16 + 4
"""So many calls may be under way when the first one is refused, and a few of its estimates."""
FASTER = 1.4
"""How far `vpcrouter.routing.pace` goes beyond the rate, to find out whether there is more."""
READS_OF_EVENT, RETRIES_OF_EVENT = 3, 30
"""So many reads and changes one event explains, on average: retries, for the most part."""
OF_CHANGES = ("CreateRoute", "ReplaceRoute", "DeleteRoute")
OF_READS = ("DescribeRouteTables", "DescribeSubnets", "DescribeNetworkInterfaces")


@dataclass
class Allowance:
    """A token bucket that is drawn on by what is asked for, granted or not."""

    capacity: float
    per_s: float
    tokens: float
    at_s: float

    def take(self, now_s: float) -> bool:
        self.tokens = min(self.capacity, self.tokens + (now_s - self.at_s) * self.per_s)
        self.tokens, self.at_s = self.tokens - 1, now_s
        return self.tokens >= 0


@dataclass
class Budget:
    """Counts what EC2 itself answered: executed or throttled."""

    clock: Clock
    findings: Findings
    _allowances: dict[str, Allowance] = field(default_factory=dict)

    def asked(self, action: str) -> None:
        """The daemon asked EC2 for a token of this action's bucket."""
        if action not in self._allowances:
            self._allowances[action] = _allowance(action, self.clock.now_s)
        if not self._allowances[action].take(self.clock.now_s):
            self._allowances[action] = _allowance(action, self.clock.now_s)
            self.findings.violation("more calls than the bucket gives", action=action)

    def limits(self, events: int, recheck_s: float) -> dict[str, int]:
        """How many calls of each kind all that has happened explains."""
        counts = self.findings.counts
        rechecks = int((self.clock.now_s - START_S) / recheck_s)
        reads = 2 * rechecks + counts["changed routes"] + READS_OF_EVENT * events
        return {
            **dict.fromkeys(OF_READS, reads),
            "changes": 2 * counts["changed routes"] + RETRIES_OF_EVENT * events,
        }

    def check(self, events: int, recheck_s: float) -> None:
        """Check the sums, at the end."""
        counts = self.findings.counts
        made = {action: counts[action] for action in OF_READS}
        made["changes"] = sum(counts[action] for action in OF_CHANGES)
        for kind, limit in self.limits(events, recheck_s).items():
            if made[kind] > limit:
                self.findings.violation("too many calls", kind=kind, made=made[kind], limit=limit)


def _allowance(action: str, now_s: float) -> Allowance:
    capacity, per_s = CHANGES if action in OF_CHANGES else READS
    return Allowance(capacity + PARALLEL, FASTER * per_s, capacity + PARALLEL, now_s)
