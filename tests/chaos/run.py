"""A run: bursts of faults from the plan, quiet gaps between them, and what was found."""

import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.checker import Checker
from tests.chaos.events import Burst
from tests.chaos.faults import Faults
from tests.chaos.findings import Findings
from tests.chaos.history import SUPERVISOR, Disturbance, History, Written, digest
from tests.chaos.host_plan import HostPlan
from tests.chaos.plan import Planner
from tests.chaos.restarter import Restarter
from tests.chaos.routes import Routes
from tests.chaos.specs import Api
from tests.chaos.tree import Tree
from tests.chaos.world import World, daemon_env, running

RIGHT_S = 10.0
GIVE_UP_S = 45.0
QUIET_S = 0.7
READY_S = 40.0
PAUSE_S = 0.05


@dataclass
class Run:
    """Owned by the main thread."""

    world: World
    seed: int
    restarter: Restarter
    history: History
    findings: Findings
    checker: Checker
    faults: Faults
    burst_s: float
    _recoveries: list[float] = field(default_factory=list)

    def go(self, until_s: float) -> None:
        """Bursts until then; the last one is begun before it and ended after."""
        rng = random.Random(self.seed)  # noqa: S311
        hosts = HostPlan(rng, self.world.addresses, frozenset(self.world.routed))
        planner = Planner(rng, hosts, self.burst_s, random.Random(f"{self.seed} forker"))  # noqa: S311
        for burst in planner.bursts():
            if time.monotonic() >= until_s:
                return
            self.findings.count("bursts")
            self.findings.count(f"bursts_{burst.theme}")
            self.faults.play(burst.events)
            self._await_right(burst)
            self.checker.tree.weigh()

    # ---- rule 5 ---------------------------------------------------------------------------

    def _await_right(self, burst: Burst) -> None:
        last_s = time.monotonic()
        wrong: list[str] = ["not looked at yet"]
        while (now_s := time.monotonic()) < last_s + GIVE_UP_S:
            wrong = self.wrong(last_s)
            if not wrong:
                break
            if now_s > last_s + RIGHT_S * self.history.stretch:
                self._complain(burst, wrong)
            time.sleep(PAUSE_S)
        if wrong:
            self._complain(burst, wrong)
        self._recoveries.append(time.monotonic() - last_s)
        self.findings.worst("right_again_s", self._recoveries[-1])
        self._watch_ends()
        _say(
            f"{self.findings.since(last_s):7.1f} s  burst {burst.number} ({burst.theme}): right "
            f"after {self._recoveries[-1]:.1f} s; {self.findings.counts['kills']} kills, "
            f"{self.findings.counts['violations']} violations"
        )
        time.sleep(QUIET_S)

    def _complain(self, burst: Burst, wrong: list[str]) -> None:
        self.findings.violation(
            "not right again",
            time.monotonic(),
            once=burst.number,
            burst=burst.number,
            theme=burst.theme,
            wrong=wrong[:5],
        )

    def wrong(self, since_s: float) -> list[str]:
        """What is not yet as it should be, of what was looked at after `since_s`."""
        checker = self.checker
        if min(checker.looked_s, checker.in_force[1]) < since_s:
            return ["not looked at yet"]
        spec = self.history.specs[-1]
        found = checker.routes.wrong(spec, time.monotonic())
        if not checker.tree.is_complete():
            found.append(f"the processes are {checker.tree.workers}")
        if checker.in_force[0] != spec.index:
            found.append(f"spec {checker.in_force[0]} is in force, not {spec.index}")
        if not found:
            is_healthy, answer = checker.api.is_healthy()
            if not is_healthy:
                found.append(f"/health says {answer and answer.get('reasons')}")
        return found

    def _watch_ends(self) -> None:
        while self.restarter.ends:
            at_s, status = self.restarter.ends.pop(0)
            self.findings.violation("the daemon ended by itself", at_s, status=status)

    def report(self) -> dict[str, Any]:
        recoveries = sorted(self._recoveries)
        return {
            "seed": self.seed,
            "seconds": round(time.monotonic() - self.history.started_s, 1),
            "disk": self.world.no_disk or "a tmpfs of our own",
            "network": self.world.describe_network(),
            "daemon_starts": self.restarter.starts,
            "counts": dict(sorted(self.findings.counts.items())),
            "icmp_errors": self.world.icmp_errors(),
            "worst": {name: round(v, 3) for name, v in sorted(self.findings.worsts.items())},
            "right_again_s": {
                "median": round(recoveries[len(recoveries) // 2], 3),
                "max": round(recoveries[-1], 3),
            }
            if recoveries
            else {},
            "violations": self.findings.violations,
        }


def run(seed: int, seconds: float, burst_s: float, no_network: str) -> tuple[dict[str, Any], str]:
    """Run it; the report, and the daemon's log. Raises RuntimeError when the daemon won't start.

    `no_network` says why this process is in no network of its own.
    """
    with running(no_network) as world:
        restarter = Restarter(world.ini_path, world.folder / "vpcrouterd.log", daemon_env(world))
        started_s = time.monotonic()
        history = History(started_s, {host: [] for host in world.addresses})
        findings = Findings(started_s)
        this = Run(
            world,
            seed,
            restarter,
            history,
            findings,
            _make_checker(world, history, findings, restarter),
            Faults(world, restarter, history, findings),
            burst_s,
        )
        routes = world.make_spec(seed, 0, large=False)
        history.specs.append(Written(0, routes, digest(routes), started_s))
        world.write_spec(routes, in_place=False)
        history.disturbances.append(Disturbance(SUPERVISOR, started_s, started_s + READY_S))
        restarter.start()
        this.checker.start()
        try:
            _await_ready(this)
            history.disturbances[0].until_s = time.monotonic()
            history.disturbances[0].is_over = True
            this.go(time.monotonic() + seconds)
        finally:
            this.checker.stop()
            if not restarter.stop():
                findings.violation("SIGTERM does not end the daemon", time.monotonic())
        return this.report(), restarter.log_path.read_text(errors="replace")


def _await_ready(this: Run) -> None:
    while wrong := this.wrong(this.history.started_s):
        if time.monotonic() > this.history.started_s + READY_S:
            log = this.restarter.log_path.read_text(errors="replace")
            raise RuntimeError(f"the daemon does not get ready: {wrong}\n{log[-4000:]}")
        time.sleep(PAUSE_S)
    this.checker.tree.weigh()


def _make_checker(
    world: World, history: History, findings: Findings, restarter: Restarter
) -> Checker:
    host_of = {eni: host for host, eni in world.network.eni_of.items()}
    calls = world.ec2.calls()
    entries = world.ec2.journal(0)
    routes = Routes(
        world.ec2,
        history,
        findings,
        host_of,
        world.foreign,
        f"{world.prefix}.",
        dict(world.routes),
        entries[-1].number if entries else 0,
        calls[-1].seq if calls else 0,
    )
    api = Api(world.api_port, history, findings)
    return Checker(routes, api, Tree(world.mark, restarter, findings), findings)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
