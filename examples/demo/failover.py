"""Kills a host and follows its routes, as seen by EC2 and as reported by the daemon."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from examples.demo.stop import Stop
from examples.demo.tables import Tables
from examples.demo.world import SPEC, World

MOVED_LIMIT_S = 10.0
TOLD_LIMIT_S = 5.0
STAGES = ("detected", "decided", "accepted", "seen")

Key = tuple[str, str]
"""CIDR and route table."""


@dataclass
class Failover:
    """Times are seconds since the host was killed."""

    host: str
    pid: int
    routes: frozenset[Key]
    """The routes that pointed at the host."""
    moved: dict[Key, tuple[float, str]] = field(default_factory=dict)
    """When EC2 showed that a route had moved, and where it points now."""
    stages: dict[Key, Mapping[str, float]] = field(default_factory=dict)
    """The stages of each change, as reported by the daemon."""

    @property
    def faults(self) -> list[str]:
        """What went wrong; empty after a successful failover."""
        found: list[str] = []
        for cidr, table in sorted(self.routes):
            where = f"{cidr} in {table}"
            _, now = self.moved.get((cidr, table), (0.0, self.host))
            if now == self.host:
                found.append(f"{where} still points at {self.host}")
                continue
            if now not in SPEC[cidr]:
                found.append(f"{where} points at {now}, which the route spec does not name")
            missing = set(STAGES) - self.stages.get((cidr, table), {}).keys()
            if missing:
                found.append(f"{where}: the API reports no time for {', '.join(missing)}")
        return found


def cause(world: World, stop: Stop, cidr: str) -> Failover:
    """Kill the host that `cidr` points at, and watch, for a limited time."""
    before = world.look()
    host = next(iter(before[cidr].values()))
    routes = frozenset(
        (cidr, table) for cidr, at in before.items() for table, to in at.items() if to == host
    )
    failover = Failover(host, world.hosts[host].pid, routes)
    wall_s = time.time() - time.monotonic()
    died_s = world.hosts[host].kill()

    def has_moved() -> bool:
        world.daemon.check()
        _note_moves(failover, world.look(), time.monotonic() - died_s)
        return failover.moved.keys() == routes

    def has_told() -> bool:
        _, info = world.daemon.ask("/route_info")
        _note_stages(failover, info, died_s + wall_s)
        return failover.stages.keys() == routes

    stop.poll(has_moved, MOVED_LIMIT_S)
    stop.poll(has_told, TOLD_LIMIT_S, every_s=0.1)
    after = world.look()
    for key, (at_s, _) in failover.moved.items():
        failover.moved[key] = at_s, after.get(key[0], {}).get(key[1], failover.host)
    return failover


def _note_moves(failover: Failover, now: Tables, since_s: float) -> None:
    for cidr, table in failover.routes - failover.moved.keys():
        to = now.get(cidr, {}).get(table)
        if to is not None and to != failover.host:
            failover.moved[cidr, table] = since_s, to


def _note_stages(failover: Failover, info: Any, died_at: float) -> None:
    for change in info["recent_changes"] if info else ():
        key = change["cidr"], change["table"]
        if key in failover.routes and change["from"] == failover.host:
            at = {stage: time_s - died_at for stage, time_s in change["at"].items()}
            if at.keys() >= set(STAGES):
                failover.stages[key] = at
