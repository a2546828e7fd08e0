"""Measures what the project promises: failover, probes, bursts, growth, overhead, memory.

All of it takes over two hours on a machine that should have nothing else to do; with few runs,
as in CI, only a part is measured, and smaller.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from examples.demo.daemon import DaemonError
from examples.demo.world import forget_aws_settings
from tests.bench import (
    basics,
    burst,
    deaths,
    false_failures,
    growth,
    memory,
    overhead,
    page,
    probes,
    reading,
    tables,
)
from tests.bench.effort import FULL_RUNS, Effort
from tests.bench.figures import NotPossibleError
from tests.bench.noise import noise

MEASUREMENTS: Mapping[str, Callable[[Effort], dict[str, Any]]] = {
    "failover": deaths.measure,
    "probes": probes.measure,
    "burst": burst.measure,
    "false_failures": false_failures.measure,
    "growth": growth.measure,
    "reading": reading.measure,
    "overhead": overhead.measure,
    "memory": memory.measure,
}
SHORT = (*basics.NAMES, "failover", "growth")
"""What is measured in CI."""
NAMES = (*basics.NAMES, *MEASUREMENTS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--runs", type=_runs, default=FULL_RUNS, help="of each failover (%(default)s)"
    )
    parser.add_argument(
        "--only",
        type=_names,
        action="extend",
        metavar="NAME,...",
        help=f"some of {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--rows",
        type=_rows,
        default=(),
        metavar="HOSTS@S,...",
        help="some of the failovers at the limit, by hosts and interval: 5000@0.1,2@1",
    )
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="FILE")
    parser.add_argument("--write-docs", action="store_true", help=f"write {page.PAGE.name}, too")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a goal is missed")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    forget_aws_settings()
    effort = Effort(arguments.runs, arguments.rows)
    names = arguments.only or (SHORT if effort.is_short else NAMES)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"unit": "seconds", "measured": {}}
    try:
        for name, measure in _sections(names, effort):
            _say(f"{tables.KINDS[name][0]} ...")
            _measure(record, name, measure)
            arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except KeyboardInterrupt:
        _say(f"interrupted; what was measured until then is in {arguments.json}")
        return 130
    _show(record)
    _say(f"\nwritten to {arguments.json}")
    if arguments.write_docs:
        page.write(record)
        _say(f"written to {page.PAGE}")
    is_broken = any("broken" in record[name] for name in record["measured"])
    return 1 if is_broken or (arguments.check and _missed(record)) else 0


def _runs(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 200:
        raise argparse.ArgumentTypeError("must be from 1 to 200")
    return number


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in NAMES]:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]}; available: {', '.join(NAMES)}")
    return names


def _rows(text: str) -> list[tuple[int, float]]:
    pairs = [each.partition("@") for each in text.split(",")]
    rows = [(int(hosts), float(interval)) for hosts, _, interval in pairs]
    known = Effort().failovers
    if unknown := [f"{hosts}@{each_s:g}" for hosts, each_s in rows if (hosts, each_s) not in known]:
        named = ", ".join(f"{hosts}@{each_s:g}" for hosts, each_s in known)
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]}; available: {named}")
    return rows


def _sections(
    names: Sequence[str], effort: Effort
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    if basic := [name for name in basics.NAMES if name in names]:
        yield "figures", partial(basics.measure, basic, min(effort.runs, basics.RUNS), _say)
    for name, measure in MEASUREMENTS.items():
        if name in names:
            yield name, partial(measure, effort)


def _measure(record: dict[str, Any], name: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Put a section into the record, and under `measured` when and on what it was."""
    began = {"at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "noise": noise()}
    try:
        record[name] = measure()
    except NotPossibleError as error:
        record[name] = {"skipped": str(error)}
    except (DaemonError, AssertionError) as error:  # the others may be measured all the same
        _say(f"{name}: {error}")
        record[name] = {"skipped": str(error).partition("\n")[0], "broken": True}
    load, _, _ = os.getloadavg()
    record["measured"][name] = {
        **began,
        "load_at_end": round(load, 2),
        "machine": {
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
    }


def _show(record: Mapping[str, Any]) -> None:
    for name, (title, table) in tables.KINDS.items():
        if name not in record:
            continue
        section = record[name]
        shown = section.get("skipped") or tables.as_text(table(section))
        _say(f"\n{title} (load average {record['measured'][name]['noise']['load']:g})\n{shown}")


def _missed(of: Any) -> bool:
    """Whether a goal anywhere in it is missed."""
    if isinstance(of, Mapping):
        return of.get("met") is False or any(map(_missed, of.values()))
    return isinstance(of, list) and any(map(_missed, of))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
