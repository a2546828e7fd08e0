"""What a week found: violations of the rules, and figures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.week.clock import START_S, Clock

MOST = 20
"""Of violations, so many are told in full."""


@dataclass
class Findings:
    """Owned by the main thread."""

    clock: Clock
    violations: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    failovers_s: list[float] = field(default_factory=list)
    """From a report of failure to EC2's acceptance of the route, when nothing else was wrong."""

    def violation(self, rule: str, **facts: Any) -> None:
        self.counts["violations"] += 1
        if len(self.violations) < MOST:
            at_s = round(self.clock.now_s - START_S, 2)
            self.violations.append({"rule": rule, "at_s": at_s, **facts})
