"""How many calls a week may take."""

from __future__ import annotations

from tests.week.findings import Findings


def check(findings: Findings, played_s: float, recheck_s: float) -> None:
    """To be written."""
