"""Does what the plan says, and notes what the rules must know of it."""

import heapq
import itertools
import math
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.chaos import disk
from tests.chaos.events import Event
from tests.chaos.findings import Findings
from tests.chaos.history import (
    EC2,
    INTERVAL_S,
    REPLACEMENT_S,
    RESTART_S,
    SUPERVISOR,
    Disturbance,
    History,
    Written,
    digest,
)
from tests.chaos.plan import BAD_SPECS, FORKER
from tests.chaos.restarter import Restarter
from tests.chaos.tree import is_child
from tests.chaos.world import World

FIND_S = 0.7
"""A worker that is away at the moment of its fault is waited for so long."""
SILENCE_S = 5.0 + 1.0
"""The daemon's silence_limit, and its patience with an aborted worker."""
YOUNG_S = 2.5
"""An end so soon counts as an early one, after which the supervisor waits longer."""
STRAY_S = 2.5 * INTERVAL_S
"""Within so long a monitor that works probes each host."""


@dataclass
class Faults:
    """Owned by the main thread."""

    world: World
    restarter: Restarter
    history: History
    findings: Findings
    _later: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Any = field(default_factory=itertools.count)
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    _early: dict[str, int] = field(default_factory=dict)

    def play(self, events: Iterable[Event]) -> None:
        """Do each when it is due, and what follows from it."""
        began_s = time.monotonic()
        for event in events:
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
            FORKER: self._forker,
            "spec": self._spec,
            "ec2": self._ec2,
            "disk": self._disk,
            "host": self._host,
            "stray": self._stray,
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

    def _forker(self, event: Event) -> None:
        if (pid := self.restarter.pid_of(FORKER)) is not None:
            self._signal(pid, signal.Signals[f"SIG{event.what}"])
            self.findings.count(f"forker_{event.what}")

    def _spec(self, event: Event) -> None:
        self.findings.count(f"spec_{event.what}")
        good = self.history.specs[-1]
        if event.what in BAD_SPECS:
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
        hosts = self.world.hosts
        if event.what == "revive":
            if hosts.is_dead(event.of):
                self.findings.count("host_revive")
                hosts.revive(event.of)
                self._live(event.of, True)
            return
        if not hosts.can(event.what):
            self.findings.count("network_skipped")
            return
        self.findings.count(f"host_{event.what}")
        if not hosts.is_dead(event.of):
            self._live(event.of, False)
        hosts.fail(event.of, event.what, of_router=bool(event.number & 1))

    def _live(self, host: str, is_alive: bool) -> None:
        self.history.lives[host].append((time.monotonic(), is_alive))

    def _stray(self, event: Event) -> None:
        """A good host is as good as dead until its next connection, which ends with an error."""
        hosts = self.world.hosts
        if not hosts.can(event.what) or hosts.is_dead(event.of):
            self.findings.count("stray_skipped")
            return
        self._live(event.of, False)
        lost = hosts.stray(event.of, event.what, STRAY_S, of_router=bool(event.number & 1))
        self.findings.count(("stray_unseen", f"stray_{event.what}", "stray_late")[min(lost, 2)])
        if lost > 1:
            self._live(event.of, True)
        else:  # one lost probe is no reason for anything
            self.history.lives[event.of].pop()
