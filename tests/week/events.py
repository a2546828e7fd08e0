"""What happens, and when: all of it follows from the seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.week.clock import Clock
from tests.week.daemon import Daemon
from tests.week.faults import Faults
from tests.week.findings import Findings
from tests.week.hosts import HOSTS, MONITORS, MOVABLE, Hosts
from tests.week.others import Others
from tests.week.specs import Specs

MINUTE_S = 60.0
MOST_DOWN = 5
TABLES = 3
MOST_TABLES = 5
TOGETHER = 0.3
"""How often an event comes soon after the last one, instead of some time after it."""


@dataclass
class Events:
    """Draws one event after the other, on average every `every_s`."""

    clock: Clock
    rng: random.Random
    hosts: Hosts
    specs: Specs
    others: Others
    faults: Faults
    daemon: Daemon
    findings: Findings
    every_s: float
    ends_s: float
    """No event after that time."""
    _all: dict[str, tuple[float, Callable[[], None]]] = field(init=False)

    def begin(self) -> None:
        rng, hosts, others, faults = self.rng, self.hosts, self.others, self.faults
        self._all = {
            "host dies": (10, self._death),
            "zone dies": (2, self._zone_death),
            "host flaps": (3, lambda: hosts.flap(rng.choice(HOSTS), rng.randint(1, 6))),
            "hosts unknown": (3, self._loss_of_sight),
            "prober isolated": (2, self._isolation),
            "interface replaced": (3, lambda: hosts.replace_interface(rng.choice(MOVABLE))),
            "address moved": (3, hosts.move_address),
            "spec changed": (6, self.specs.change),
            "spec rewritten": (1, self.specs.rewrite),
            "spec mistaken": (1, lambda: self.specs.mistake(self._minutes(1, 20))),
            "daemon killed": (3, self._kill),
            "hybrid nodes' gateway elected": (1, others.lead),
            "kubernetes": (4, others.kubernetes),
            "terraform": (4, others.terraform),
            "route to an instance": (3, others.intrude),
            "drift": (4, others.drift),
            "vpn learns": (3, others.learn),
            "route server advertises": (3, others.advertise),
            "table added": (2, self._new_table),
            "table removed": (2, self._old_table),
            "outage": (3, lambda: faults.outage(self._minutes(0.2, 30))),
            "garbage": (3, lambda: faults.garbage(self._minutes(0.2, 10))),
            "keys refused": (0.5, lambda: faults.keys_refused(self._minutes(30, 60))),
            "not permitted": (2, self._forbidding),
            "stale reads": (5, lambda: faults.stale(self._minutes(2, 20))),
            "network": (5, lambda: faults.network(self._minutes(0.2, 10))),
            "neighbour": (4, self._neighbour),
        }
        self._next()

    def _next(self) -> None:
        is_soon = self.rng.random() < TOGETHER
        pause_s = self.rng.uniform(0, 3) if is_soon else self.rng.expovariate(1 / self.every_s)
        if self.clock.now_s + pause_s < self.ends_s:
            self.clock.after(pause_s, self._happen)

    def _happen(self) -> None:
        weights = [weight for weight, _ in self._all.values()]
        [name] = self.rng.choices(list(self._all), weights)
        self.findings.counts[f"event: {name}"] += 1
        self._all[name][1]()
        self._next()

    def _minutes(self, least: float, most: float) -> float:
        """Of a fault: short ones are more common."""
        wanted_s = MINUTE_S * least * float((most / least) ** self.rng.random())
        return max(1.0, min(wanted_s, self.ends_s - self.clock.now_s))

    def _death(self) -> None:
        if len(HOSTS) - len(self.hosts.up) < MOST_DOWN:
            self.hosts.die(self.rng.choice(self.hosts.up), self._minutes(2, 60))

    def _zone_death(self) -> None:
        zone = f"127.0.{self.rng.randint(1, 3)}."
        for host in [host for host in self.hosts.up if host.startswith(zone)]:
            self.hosts.die(host, self._minutes(2, 30))

    def _kill(self) -> None:
        """Its successor first reads the tables: a failover of that moment is not swift."""
        self.hosts.calm.disturb()
        self.daemon.die()

    def _isolation(self) -> None:
        """Meanwhile somebody adds routes that are to be deleted, though not now."""
        for_s = self._minutes(2, 10)
        self.hosts.isolate(for_s)
        self.clock.after(self.rng.uniform(0, for_s), self.others.intrude)

    def _neighbour(self) -> None:
        """Meanwhile there is more to change than the buckets give."""
        self.faults.neighbour(self._minutes(2, 20))
        self.clock.after(self.rng.uniform(10, 100), self.specs.rewrite)

    def _loss_of_sight(self) -> None:
        hosts = self.rng.sample(HOSTS, self.rng.choice((1, 2, len(HOSTS))))
        self.hosts.lose_sight(self.rng.choice(MONITORS), hosts, self._minutes(0.1, 10))

    def _new_table(self) -> None:
        if len(self.others.network.table_ids) < MOST_TABLES:
            self.others.add_table()

    def _old_table(self) -> None:
        if len(self.others.network.table_ids) > TABLES:
            self.others.remove_table()

    def _forbidding(self) -> None:
        table = self.rng.choice(self.others.network.table_ids)
        self.faults.not_permitted(table, self._minutes(1, 30))
