"""The route spec, and how it changes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.week.calm import Calm
from tests.week.clock import Clock
from tests.week.hosts import HOSTS
from vpcrouter.model.spec import RouteSpec, parse_spec

CIDRS = tuple(f"10.{number}.0.0/16" for number in range(1, 25))
FIRST = 18
FEWEST = 15
MISTAKEN = 3
"""So few CIDRs a spec has that somebody has torn: to follow it would delete most routes."""


@dataclass
class Specs:
    """The spec in force. `tell` sends it to the daemon."""

    clock: Clock
    calm: Calm
    rng: random.Random
    tell: Callable[[RouteSpec], None]
    spec: RouteSpec = field(init=False)
    latest: list[tuple[float, RouteSpec]] = field(default_factory=list)
    """The specs of late, with the time that each came into force."""
    is_mistaken: bool = False

    def build(self) -> None:
        self._put({cidr: self._some_hosts() for cidr in CIDRS[:FIRST]})

    def possible(self, within_s: float) -> list[RouteSpec]:
        """Those that were in force at some time within so many seconds."""
        since_s = self.clock.now_s - within_s
        ended = [at_s for at_s, _ in self.latest[1:]] + [self.clock.now_s]
        return [
            spec for (_, spec), end_s in zip(self.latest, ended, strict=True) if end_s >= since_s
        ]

    def rewrite(self) -> None:
        """Change all hosts: more changes than EC2 takes at once."""
        if not self.is_mistaken:
            self._put({cidr: self._some_hosts() for cidr in self.spec.routes})

    def change(self) -> None:
        """Add CIDRs, remove some, or change hosts."""
        if self.is_mistaken:
            return
        routes = dict(self.spec.routes)
        for _ in range(self.rng.randint(1, 6)):
            cidr = self.rng.choice(CIDRS)
            if cidr in routes and len(routes) > FEWEST and self.rng.random() < 0.5:
                del routes[cidr]
            else:
                routes[cidr] = self._some_hosts()
        self._put(routes)

    def mistake(self, for_s: float) -> None:
        """The spec loses nearly all of its CIDRs, until somebody notices."""
        if self.is_mistaken:
            return
        whole, self.is_mistaken = dict(self.spec.routes), True
        self._put({cidr: whole[cidr] for cidr in sorted(whole)[:MISTAKEN]})
        self.clock.after(for_s, lambda: self._mend(whole))

    def _mend(self, whole: dict[str, tuple[str, ...]]) -> None:
        self.is_mistaken = False
        self._put(whole)

    def _put(self, routes: dict[str, tuple[str, ...]]) -> None:
        self.calm.disturb()
        self.spec = parse_spec(routes)
        self.latest = [*self.latest, (self.clock.now_s, self.spec)][-20:]
        self.tell(self.spec)

    def _some_hosts(self) -> tuple[str, ...]:
        return tuple(self.rng.sample(HOSTS, self.rng.randint(2, 4)))
