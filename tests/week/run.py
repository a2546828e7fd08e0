"""Plays one week in this process: `python -m tests.week.run --seed N` writes its report as JSON."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import structlog

from tests.aws.network import Network
from tests.week import defects
from tests.week.budget import Budget
from tests.week.calm import Calm
from tests.week.clock import START_S, Clock
from tests.week.daemon import Daemon
from tests.week.ec2 import PlayedEc2
from tests.week.events import TABLES, Events
from tests.week.faults import Faults
from tests.week.findings import Findings
from tests.week.hosts import Hosts
from tests.week.others import Others
from tests.week.places import LOOK_S, Places
from tests.week.requests import Requests
from tests.week.specs import Specs
from tests.week.truth import Truth
from tests.week.wire import Wire
from vpcrouter.model.messages import HealthReport, SpecReport

FIRST_EVENT_S = 60.0
HOUR_S = 3600.0
LAST_S = 600.0
"""Nothing new happens so long before the end: everything that was wrong has ended by then."""


class Week:
    """All that is played, put together."""

    def __init__(self, seed: int, hours: float, recheck_s: float, every_s: float) -> None:
        random.seed(seed)  # the daemon's own choice of hosts, and botocore's pauses
        rng = random.Random(seed)  # noqa: S311
        self.clock = clock = Clock()
        self.findings = Findings(clock)
        self.budget = Budget(clock, self.findings)
        self.calm = calm = Calm(clock)
        self.ec2 = PlayedEc2(seed).start()
        self.wire = Wire(clock, self.ec2, rng)
        self._rng, self.recheck_s, self._every_s = rng, recheck_s, every_s
        self.ends_s = START_S + hours * HOUR_S + LAST_S
        self.faults = Faults(clock, self.wire, calm, rng)

    def play(self) -> None:
        """From the first second to the last."""
        os.environ.update(self.ec2.env())
        with self.clock.in_force(), self.wire.in_place():
            self._build()
            self.daemon.run()
            self.places.check()
        self.budget.check(self.calm.events, self.recheck_s)

    def _build(self) -> None:
        clock, calm, rng = self.clock, self.calm, self._rng
        network = Network.build(self.ec2, tables=TABLES)
        truth = Truth(self.ec2.backend, network.vpc_id)
        hosts = Hosts(clock, network, calm, rng, self._tell)
        self.daemon = Daemon(clock, network.vpc_id, self.recheck_s, hosts.ask, self._died)
        specs = Specs(clock, calm, rng, lambda spec: self._tell(SpecReport(spec)))
        others = Others(clock, network, truth, calm, rng)
        world = (hosts, specs, others)
        requests = Requests(clock, truth, calm, *world, self.daemon, self.findings, self.budget)
        self.places = Places(clock, truth, calm, *world, requests, self.findings, self.recheck_s)
        hosts.build()
        others.build()
        specs.build()
        self.faults.build()
        self.wire.watch = requests.watch
        hosts.failed, hosts.moved = self.places.host_failed, requests.note_interfaces
        hosts.tell_all()
        events = Events(
            clock,
            rng,
            *world,
            self.faults,
            self.daemon,
            self.findings,
            self._every_s,
            self.ends_s - LAST_S,
        )
        clock.after(FIRST_EVENT_S, events.begin)
        clock.after(LOOK_S, self.places.look)
        clock.at(self.ends_s, self.daemon.end)

    def _tell(self, message: HealthReport | SpecReport) -> None:
        self.daemon.tell(message)

    def _died(self, why: str) -> None:
        self.findings.violation("the reconciler ended by itself", why=why)


def report(week: Week, seed: int, took_s: float) -> dict[str, Any]:
    """Figures and violations."""
    found = week.findings
    failovers_s = sorted(found.failovers_s) or [0.0]
    return {
        "seed": seed,
        "played_hours": round((week.clock.now_s - START_S) / HOUR_S, 1),
        "took_s": round(took_s, 1),
        "daemons": week.daemon.generations,
        "failover_s": {
            "routes": len(found.failovers_s),
            "median": round(statistics.median(failovers_s), 2),
            "longest": round(failovers_s[-1], 2),
        },
        "limits": week.budget.limits(week.calm.events, week.recheck_s),
        "counts": dict(sorted(found.counts.items())),
        "violations": found.violations,
    }


def log_to(file: TextIO, clock: Clock) -> None:
    """The daemon's log, with the seconds played."""

    def stamp(_logger: object, _method: str, event: Any) -> Any:
        return {"played_s": round(clock.now_s - START_S, 3), **event}

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.LogfmtRenderer(key_order=["played_s", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=structlog.WriteLoggerFactory(file),
        cache_logger_on_first_use=False,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--recheck", type=float, required=True)
    parser.add_argument("--every", type=float, required=True)
    parser.add_argument("--without", choices=sorted(defects.ALL))
    parser.add_argument("--log", type=Path, default=Path(os.devnull))
    arguments = parser.parse_args()
    began_s = time.monotonic()
    with arguments.log.open("w", encoding="utf-8") as log:
        week = Week(arguments.seed, arguments.hours, arguments.recheck, arguments.every)
        log_to(log, week.clock)
        with defects.put_in(arguments.without):
            week.play()
    found = report(week, arguments.seed, time.monotonic() - began_s)
    sys.stdout.write(json.dumps(found, indent=1, default=str) + "\n")
    return 1 if found["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
