"""What a run finds: violations, counts, worst times; any thread may add to it."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MOST_LISTED = 100


@dataclass
class Findings:
    """Times are given by the monotonic clock and listed from the run's start."""

    started_s: float
    violations: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    worsts: dict[str, float] = field(default_factory=dict)
    _said: set[tuple[str, object]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def violation(self, rule: str, at_s: float, once: object = None, **facts: Any) -> None:
        """Note that `rule` was broken; with `once`, only the first time for that."""
        with self._lock:
            if once is not None:
                if (rule, once) in self._said:
                    return
                self._said.add((rule, once))
            self.counts["violations"] += 1
            if len(self.violations) < MOST_LISTED:
                rounded = {
                    name: round(value, 3) if isinstance(value, float) else value
                    for name, value in facts.items()
                }
                self.violations.append({"at_s": self.since(at_s), "rule": rule, **rounded})

    def since(self, at_s: float) -> float:
        return round(at_s - self.started_s, 3)

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def worst(self, what: str, value: float) -> None:
        with self._lock:
            self.worsts[what] = max(value, self.worsts.get(what, 0.0))
