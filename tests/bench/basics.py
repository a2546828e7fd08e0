"""Failover at the defaults, changed specs and start, against moto, beside vpc-router 1.8's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.bench import changes, failovers
from tests.bench.figures import Figure, NotPossibleError

CHANGED = "until the last of three tables was changed, by the embedded EC2's call log"
DEFAULTS = "interval 1 s, otherwise the defaults"
SPEC_CHANGE = (
    "a CIDR gets another host, one that was not probed before; from just before the {} "
) + CHANGED
FIGURES = (
    Figure(
        name="refused",
        title="failover, TCP refused",
        how=f"the host's process is killed; from just before that {CHANGED}; {DEFAULTS}",
        measure=failovers.refused,
        goal={"median": 0.9, "max": 1.6},
        original={"min": 0.28, "median": 1.17, "max": 1.98},
    ),
    Figure(
        name="silent",
        title="failover, ICMP silent",
        how=f"the host's address is taken away in another network namespace; from just before "
        f"that {CHANGED}; {DEFAULTS}",
        measure=failovers.silent,
        goal={"median": 1.6},
        original={"min": 1.38, "median": 2.01, "max": 2.83},
    ),
    Figure(
        name="in_place",
        title="spec, rewritten in place",
        how=SPEC_CHANGE.format("file is opened for writing"),
        measure=changes.in_place,
        goal={"max": 0.3},
        original={"min": 0.78, "median": 1.14, "max": 1.58},
    ),
    Figure(
        name="replaced",
        title="spec, renamed over",
        how=SPEC_CHANGE.format("rename"),
        measure=changes.replaced,
        goal={"max": 0.3},
        original={"min": None, "median": None, "max": None},
    ),
    Figure(
        name="swapped",
        title="spec, ConfigMap's ..data swapped",
        how=SPEC_CHANGE.format("rename of the link"),
        measure=changes.swapped,
        goal={"max": 0.3},
        original={"min": None, "median": None, "max": None},
    ),
    Figure(
        name="start",
        title="start to first route",
        how="from just before vpcrouterd is started, without state and without routes, until "
        "the first of nine routes was created, by the embedded EC2's call log",
        measure=changes.start,
        goal={},
        original={},
    ),
    Figure(
        name="start_all",
        title="start to all routes",
        how="as start, until the last of the nine",
        measure=changes.start,
        goal={},
        original={"min": 2.27, "median": 2.37, "max": 2.42},
    ),
)
NAMES = tuple(figure.name for figure in FIGURES)
RUNS = 20
"""More would tell no more."""


def measure(
    names: Sequence[str], runs: int, say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """The reports of the figures named; what one measurement tells of two is measured once.

    `say` tells what is being done.
    """
    reports: dict[str, dict[str, Any]] = {}
    measured: dict[Any, Any] = {}
    for figure in (figure for figure in FIGURES if figure.name in names):
        if figure.measure not in measured:
            say(f"{figure.title}: {runs} runs ...")
            try:
                measured[figure.measure] = figure.measure(runs)
            except NotPossibleError as error:
                measured[figure.measure] = error
        result = measured[figure.measure]
        if isinstance(result, NotPossibleError):
            reports[figure.name] = figure.skipped(str(result))
        else:
            reports[figure.name] = figure.report(result[figure.name])
    return reports


def rows(reports: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A table, its head first."""
    found: list[tuple[str, ...]] = [
        ("seconds", "runs", "min", "median", "max", "goal", "", "original", "in EC2")
    ]
    for report in reports.values():
        if "skipped" in report:
            found.append((report["title"], "-", "-", "-", "-", "", report["skipped"], "", ""))
            continue
        found.append(
            (
                report["title"],
                str(report["runs"]),
                *(f"{report[key]:.2f}" for key in ("min", "median", "max")),
                ", ".join(f"{key} {limit:g}" for key, limit in report["goal"].items()),
                ("met" if report["met"] else "MISSED") if report["goal"] else "",
                _original(report["original"]),
                f"{report['ec2']['median']:.3f}",
            )
        )
    return found


def _original(figures: Mapping[str, float | None]) -> str:
    values = figures.values()
    if not values:
        return ""
    if None in values:
        return "never noticed"
    return " / ".join(f"{value:.2f}" for value in values)
