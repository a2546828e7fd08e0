"""Plays weeks, one for each seed, and says what was found: `make week`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from tests.aws.client import ROOT

HOURS, RECHECK_S, EVERY_S = 168.0, 30.0, 1200.0
"""Of a week; so are 20,160 rereadings, and about 700 events."""


def play(seed: int, options: Iterable[str]) -> dict[str, Any]:
    """The report of one week, which has a process of its own, and of which all is repeatable."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.week.run", "--seed", str(seed), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        report: dict[str, Any] = json.loads(process.stdout)
    except ValueError:
        return {"seed": seed, "counts": {}, "violations": [{"rule": "the week itself failed"}]}
    return report


def total(reports: list[dict[str, Any]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report["counts"])
    return dict(sorted(counts.items()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make week", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one only")
    parser.add_argument("--seeds", type=int, default=20, help="play seeds 1 to N; default: 20")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="weeks at a time")
    parser.add_argument("--hours", type=float, default=HOURS, help=f"default: {HOURS:g}")
    parser.add_argument(
        "--recheck", type=float, default=RECHECK_S, help=f"route_recheck_interval: {RECHECK_S:g}"
    )
    parser.add_argument(
        "--every", type=float, default=EVERY_S, help=f"seconds between events: {EVERY_S:g}"
    )
    parser.add_argument("--without", help="leave out a rule of the daemon; see defects.py")
    parser.add_argument("--log", help="with --seed: where to leave the daemon's log")
    arguments = parser.parse_args()
    options = [f"--{name}={getattr(arguments, name)}" for name in ("hours", "recheck", "every")]
    options += [f"--without={arguments.without}"] if arguments.without else []
    options += [f"--log={arguments.log}"] if arguments.log else []
    seeds = range(1, arguments.seeds + 1) if arguments.seed is None else [arguments.seed]
    reports = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for report in pool.map(partial(play, options=options), seeds):
            reports.append(report)
            found = f"{len(report['violations'])} violations"
            sys.stderr.write(f"seed {report['seed']}: {found}, {report.get('took_s')} s\n")
    summary = {"seeds": len(reports), "total": total(reports)}
    shown = reports if len(reports) == 1 else [*reports, summary]
    sys.stdout.write(json.dumps(shown, indent=1) + "\n")
    return 1 if any(report["violations"] for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
