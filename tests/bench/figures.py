"""What a figure is, and how it is summed up."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One run, in seconds; `ec2_s` is the part of it that the last call spent in EC2."""

    seconds: float
    ec2_s: float


Samples = dict[str, list[Sample]]
"""By the name of the figure."""


class NotPossibleError(Exception):
    """A figure can't be measured here; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the report. `goal` and `original` have some of min, median, max."""

    name: str
    title: str
    how: str
    measure: Callable[[int], Samples]
    goal: dict[str, float]
    original: dict[str, float | None]

    def report(self, samples: Sequence[Sample]) -> dict[str, Any]:
        summary = summed_up([sample.seconds for sample in samples])
        return {
            "title": self.title,
            "runs": len(samples),
            **summary,
            "goal": self.goal,
            "met": all(summary[key] <= limit for key, limit in self.goal.items()),
            "original": self.original,
            "ec2": summed_up([sample.ec2_s for sample in samples]),
            "how": self.how,
            "samples": [round(sample.seconds, 4) for sample in samples],
        }

    def skipped(self, reason: str) -> dict[str, Any]:
        return {
            "title": self.title,
            "runs": 0,
            "skipped": reason,
            "goal": self.goal,
            "original": self.original,
            "how": self.how,
        }


def summed_up(seconds: Sequence[float], digits: int = 4) -> dict[str, float]:
    return {
        "min": round(min(seconds), digits),
        "median": round(statistics.median(seconds), digits),
        "p99": round(rank(seconds, 0.99), digits),
        "max": round(max(seconds), digits),
    }


def rank(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
