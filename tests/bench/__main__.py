"""Measures failover, spec changes and start, and compares them with their goals."""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from examples.demo.daemon import DaemonError
from examples.demo.world import forget_aws_settings
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=_runs, default=20, help="of each figure (default: 20)")
    parser.add_argument("--only", action="append", choices=NAMES, help="may be given repeatedly")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="FILE")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a goal is missed")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    forget_aws_settings()
    try:
        reports = _measure(arguments.only or NAMES, arguments.runs)
    except DaemonError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    _write(arguments.json, reports)
    _show(reports)
    _say(f"\nwritten to {arguments.json}")
    missed = [name for name, report in reports.items() if not report.get("met", True)]
    return 1 if arguments.check and missed else 0


def _runs(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 200:
        raise argparse.ArgumentTypeError("must be from 1 to 200")
    return number


def _measure(names: Sequence[str], runs: int) -> dict[str, dict[str, Any]]:
    """The reports of the figures named; what one measurement tells of two is measured once."""
    reports: dict[str, dict[str, Any]] = {}
    measured: dict[Any, Any] = {}
    for figure in (figure for figure in FIGURES if figure.name in names):
        if figure.measure not in measured:
            _say(f"{figure.title}: {runs} runs ...")
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


def _write(path: Path, reports: dict[str, dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "unit": "seconds",
        "figures": reports,
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _show(reports: dict[str, dict[str, Any]]) -> None:
    rows = [("seconds", "runs", "min", "median", "max", "goal", "", "original", "in EC2")]
    for report in reports.values():
        if "skipped" in report:
            rows.append((report["title"], "-", "-", "-", "-", "", report["skipped"], "", ""))
            continue
        rows.append(
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
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    _say("")
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        _say("  ".join(cells).rstrip())


def _original(figures: dict[str, float | None]) -> str:
    values = figures.values()
    if not values:
        return ""
    if None in values:
        return "never noticed"
    return " / ".join(f"{value:.2f}" for value in values)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
