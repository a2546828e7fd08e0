"""A run: bursts of faults from the plan, quiet gaps between them, and what was found."""

import heapq
import itertools
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.chaos import disk
from tests.chaos.checker import Checker
from tests.chaos.findings import Findings
from tests.chaos.history import (
    EC2,
    REPLACEMENT_S,
    RESTART_S,
    SUPERVISOR,
    Disturbance,
    History,
    Written,
    digest,
)
from tests.chaos.plan import Burst, Event, Planner
from tests.chaos.restarter import Restarter
from tests.chaos.routes import Routes
from tests.chaos.specs import Api
from tests.chaos.tree import Tree, is_child
from tests.chaos.world import HOSTS, World, daemon_env, running

RIGHT_S = 10.0
GIVE_UP_S = 45.0
QUIET_S = 0.7
READY_S = 40.0
PAUSE_S = 0.05
FIND_S = 0.7
"""A worker that is away at the moment of its fault is waited for so long."""
SILENCE_S = 5.0 + 1.0
"""The daemon's silence_limit, and its patience with an aborted worker."""
YOUNG_S = 2.5
"""An end so soon counts as an early one, after which the supervisor waits longer."""


@dataclass
class Run:
    """Owned by the main thread."""

    world: World
    seed: int
    restarter: Restarter
    history: History
    findings: Findings
    checker: Checker
    burst_s: float
    _later: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Any = field(default_factory=itertools.count)
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    _early: dict[str, int] = field(default_factory=dict)
    _recoveries: list[float] = field(default_factory=list)

    def go(self, until_s: float) -> None:
        """Bursts until then; the last one is begun before it and ended after."""
        planner = Planner(random.Random(self.seed), HOSTS, self.burst_s)  # noqa: S311
        for burst in planner.bursts():
            if time.monotonic() >= until_s:
                return
            self._burst(burst)
            self._await_right(burst)
            self.checker.tree.weigh()

    # ---- faults ---------------------------------------------------------------------------

    def _burst(self, burst: Burst) -> None:
        began_s = time.monotonic()
        self.findings.count("bursts")
        self.findings.count(f"bursts_{burst.theme}")
        for event in burst.events:
            self._at(began_s + event.at_s, partial(self._do, event))
        while self._later:
            at_s = self._later[0][0]
            if (left_s := at_s - time.monotonic()) > 0:
                time.sleep(left_s)
            heapq.heappop(self._later)[2]()

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._later, (at_s, next(self._order), act))

    def _do(self, event: Event) -> None:
        doers: dict[str, Callable[[Event], None]] = {
            "worker": self._worker,
            "supervisor": self._supervisor,
            "spec": self._spec,
            "ec2": self._ec2,
            "disk": self._disk,
            "host": self._host,
        }
        doers[event.kind](event)

    def _disturb(self, who: str, for_s: float, *, blinds: bool = False) -> Disturbance:
        now_s = time.monotonic()
        each = Disturbance(who, now_s, now_s + for_s, blinds)
        self.history.disturb(each)
        return each

    def _worker(self, event: Event, tries_until_s: float | None = None) -> None:
        pid = self.restarter.pid_of(event.of)
        until_s = tries_until_s or time.monotonic() + FIND_S
        if pid is None or not is_child(pid, self.restarter.pid):
            if time.monotonic() < until_s:
                self._at(time.monotonic() + 0.02, lambda: self._worker(event, until_s))
            else:
                self.findings.count("workers_not_there")
            return
        name = event.what
        if not name.startswith("STOP"):
            self._end(event.of, pid, signal.Signals[f"SIG{name}"])
            self.findings.count(f"kill_{name}")
            return
        self.findings.count(f"kill_{name}" if name != "STOP+CONT" else name)
        stop = Disturbance(event.of, time.monotonic(), blinds=True)
        self.history.disturb(stop)
        self._signal(pid, signal.SIGSTOP)
        if name == "STOP":
            self.findings.count("kills")
            stop.until_s = stop.from_s + SILENCE_S + REPLACEMENT_S
            return
        self._at(stop.from_s + event.for_s, lambda: self._go_on(event, pid, stop))

    def _go_on(self, event: Event, pid: int, stop: Disturbance) -> None:
        if event.what == "STOP+KILL":
            self._end(event.of, pid, signal.SIGKILL)
        else:
            self._signal(pid, signal.SIGCONT)
        stop.until_s = time.monotonic()

    def _end(self, worker: str, pid: int, number: signal.Signals) -> None:
        now_s = time.monotonic()
        last_pid, last_s = self._seen.get(worker, (0, 0.0))
        is_early = pid != last_pid and now_s - last_s < YOUNG_S
        self._early[worker] = self._early.get(worker, 0) + 1 if is_early else 0
        self._seen[worker] = pid, now_s
        self._disturb(worker, REPLACEMENT_S + 0.1 * 2.0 ** self._early[worker])
        self._signal(pid, number)
        self.findings.count("kills")
        self.findings.count(f"kills_of_{worker}")

    def _signal(self, pid: int, number: signal.Signals) -> None:
        if is_child(pid, self.restarter.pid):
            os.kill(pid, number)

    def _supervisor(self, _event: Event) -> None:
        self._disturb(SUPERVISOR, RESTART_S)
        if self.restarter.kill():
            self.findings.count("supervisor_kills")

    def _spec(self, event: Event) -> None:
        self.findings.count(f"spec_{event.what}")
        good = self.history.specs[-1]
        if event.what in ("torn", "empty", "braces", "folder", "dangling"):
            good.left_s = min(good.left_s, time.monotonic())
            self.world.spoil_spec(event.what, good.routes)
            return
        routes = self.world.make_spec(event.number, good.index + 1, large=event.what == "large")
        now_s = time.monotonic()
        good.left_s = min(good.left_s, now_s)
        self.history.specs.append(Written(good.index + 1, routes, digest(routes), now_s))
        self.world.write_spec(routes, in_place=event.what == "rewrite")

    def _ec2(self, event: Event) -> None:
        self.findings.count(f"ec2_{event.what}")
        # The pause after a refusal is at most as long as the trouble before it.
        outage = self._disturb(EC2, 2 * event.for_s + 1.0)
        self.world.spoil_ec2(event.what, event.of)

        def mend() -> None:
            self.world.mend_ec2()
            outage.until_s = time.monotonic() + max(1.0, event.for_s) + 1.0

        self._at(time.monotonic() + event.for_s, mend)

    def _disk(self, event: Event) -> None:
        if self.world.no_disk:
            self.findings.count("disk_skipped")
            return
        self.findings.count("disk_full")
        from_s = time.monotonic()
        self.history.full.append((from_s, math.inf))
        disk.fill(self.world.state_dir)

        def free() -> None:
            disk.free(self.world.state_dir)
            self.history.full[-1] = from_s, time.monotonic()

        self._at(from_s + event.for_s, free)

    def _host(self, event: Event) -> None:
        self.findings.count(f"host_{event.what}")
        lives = self.history.lives[event.of]
        if event.what == "revive":
            self.world.hosts.revive(event.of)
            lives.append((time.monotonic(), True))
            return
        lives.append((time.monotonic(), False))
        (self.world.hosts.refuse if event.what == "refuse" else self.world.hosts.silence)(event.of)

    # ---- rule 5 ---------------------------------------------------------------------------

    def _await_right(self, burst: Burst) -> None:
        last_s = time.monotonic()
        wrong: list[str] = ["not looked at yet"]
        while (now_s := time.monotonic()) < last_s + GIVE_UP_S:
            wrong = self.wrong(last_s)
            if not wrong:
                break
            if now_s > last_s + RIGHT_S * self.history.stretch:
                self.findings.violation(
                    "not right again",
                    now_s,
                    once=burst.number,
                    burst=burst.number,
                    theme=burst.theme,
                    wrong=wrong[:5],
                )
            time.sleep(PAUSE_S)
        self._recoveries.append(time.monotonic() - last_s)
        self.findings.worst("right_again_s", self._recoveries[-1])
        self._watch_ends()
        _say(
            f"{self.findings.since(last_s):7.1f} s  burst {burst.number} ({burst.theme}): right "
            f"after {self._recoveries[-1]:.1f} s; {self.findings.counts['kills']} kills, "
            f"{self.findings.counts['violations']} violations"
        )
        time.sleep(QUIET_S)

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
            "daemon_starts": self.restarter.starts,
            "counts": dict(sorted(self.findings.counts.items())),
            "worst": {name: round(v, 3) for name, v in sorted(self.findings.worsts.items())},
            "right_again_s": {
                "median": round(recoveries[len(recoveries) // 2], 3),
                "max": round(recoveries[-1], 3),
            }
            if recoveries
            else {},
            "violations": self.findings.violations,
        }


def run(seed: int, seconds: float, burst_s: float) -> tuple[dict[str, Any], str]:
    """Run it; the report, and the daemon's log. Raises RuntimeError when the daemon won't start."""
    with running() as world:
        restarter = Restarter(world.ini_path, world.folder / "vpcrouterd.log", daemon_env(world))
        started_s = time.monotonic()
        history = History(started_s, {host: [] for host in HOSTS})
        findings = Findings(started_s)
        this = Run(
            world,
            seed,
            restarter,
            history,
            findings,
            _make_checker(world, history, findings, restarter),
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
        dict(world.routes),
        entries[-1].number if entries else 0,
        calls[-1].seq if calls else 0,
    )
    api = Api(world.api_port, history, findings)
    return Checker(routes, api, Tree(world.mark, restarter, findings), findings)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
