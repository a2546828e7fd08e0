"""Breaks everything around the daemon and in it, checks it from outside: `make chaos`."""

import argparse
import json
import random
import signal
import sys
from pathlib import Path

from tests.chaos import namespaces
from tests.chaos.paths import Paths
from tests.chaos.plan import LENGTH_S
from tests.chaos.run import run


def _enter() -> None:
    namespaces.enter()
    Paths()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, printed")
    parser.add_argument("--seconds", type=float, default=300.0, help="default: 300")
    parser.add_argument("--burst", type=float, default=LENGTH_S, help="of faults, in seconds")
    parser.add_argument(
        "--log",
        type=Path,
        help="where to leave the daemon's log; default: build/, after a violation",
    )
    parser.add_argument("--json", type=Path, help="where to leave the report, too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = random.SystemRandom().getrandbits(32) if arguments.seed is None else arguments.seed
    sys.stderr.write(f"seed {seed}: repeat with --seed {seed}\n")
    if no_network := namespaces.why_not(_enter):
        sys.stderr.write(f"no network namespace, so no faults of the network: {no_network}\n")
    else:
        namespaces.enter()
    try:
        report, log = run(seed, arguments.seconds, arguments.burst, no_network)
    except KeyboardInterrupt:
        return 130
    log_path = arguments.log
    if log_path is None and report["violations"]:
        log_path = Path(f"build/chaos-{seed}.log")
        log_path.parent.mkdir(exist_ok=True)
        sys.stderr.write(f"the daemon's log is in {log_path}\n")
    if log_path is not None:
        log_path.write_text(log, encoding="utf-8")
    text = json.dumps(report, indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 1 if report["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
