"""Some hours of `make week` with three seeds, and one without a rule of the daemon's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.week.__main__ import play

SHORT = ("--hours=0.4", "--recheck=60", "--every=100")
"""As many events as in seven hours of a week, and more of them at once."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_forbidden_is_done_and_the_tables_are_right(seed: int) -> None:
    report = play(seed, SHORT)
    assert report["violations"] == [], report
    counts = report["counts"]
    assert counts["quiet checks"] >= 2
    assert counts["changed routes"] >= 54
    assert sum(count for name, count in counts.items() if name.startswith("event: ")) >= 10


def _rules_broken(without: str) -> set[str]:
    found: dict[str, Any] = play(1, ("--hours=0.02", "--recheck=60", "--every=100", without))
    return {str(each["rule"]) for each in found["violations"]}


def test_a_daemon_without_a_rule_is_found_out() -> None:
    assert _rules_broken("--without=edge tables") == {"a gateway's table touched"}
