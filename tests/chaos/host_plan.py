"""What befalls the hosts and the network before them: part of the plan."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.events import Event
from tests.chaos.hosts import LISTENER_FAULTS
from tests.chaos.paths import ROUTE_FAULTS

ICMP_FAULTS = (
    *(f"3/{code}" for code in (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 13)),
    "11/0",
    "12/0",
)
"""ICMP errors, type/code, that end a connection that begins: of those that Linux takes for the
same, the most usual ones."""
KINDS = (*LISTENER_FAULTS, "drop", "drop", "arp", "route", "icmp", "icmp", "icmp", "arp", "arp")
"""What is drawn from; "route" and "icmp" are then drawn again."""
MOST_DEAD = 5
MOST_TOGETHER = 3
FALLING_S, RISING_S = 2.0, 5.0
"""For so long after its death or its return the daemon may think otherwise of a host."""
FALLING_SHARE = 0.4
"""Of the hosts that the daemon calls good, so many at most die at once: with more than half of
them silent it would rightly say that it is isolated, and move nothing."""


@dataclass
class HostPlan:
    """Knows which hosts are dead by then. `routed` are those behind the router."""

    rng: random.Random
    hosts: tuple[str, ...]
    routed: frozenset[str]
    began_s: float = 0.0
    """When the burst begins, in the time of all bursts without the gaps."""
    dead: list[str] = field(default_factory=list)
    _changed: dict[str, float] = field(default_factory=dict)

    def some(self, moments: list[float]) -> list[Event]:
        """Some die, some come back; the dead stay dead through the gap."""
        events: list[Event] = []
        for at_s in sorted(moments):
            drawn = self.rng.random()
            if self.dead and (len(self.dead) >= MOST_DEAD or drawn < 0.35):
                events.append(self._revive(at_s))
            elif self.dead and drawn < 0.5:
                events.append(self._fault(at_s, self.rng.choice(self.dead)))
            elif drawn < 0.65:
                events += self._behind_the_router(at_s)
            else:
                events += self._die(at_s)
        return events

    def network(self, moments: list[float]) -> list[Event]:
        """Errors and silence take turns, at good hosts and at dead ones.

        The last good host to die falls silent, after all these errors.
        """
        events: list[Event] = []
        first, *between, last = sorted(moments)
        steps: tuple[Callable[[float], list[Event]], ...] = (
            self._reject_one,
            self._silence_one,
            self._stray,
            self._behind_the_router,
        )
        events += self._reject_one(first)
        for at_s in between:
            events += self.rng.choice(steps)(at_s)
        return [*events, *self._stray(last), *self._make_room(last), *self._die(last, "drop")]

    def _reject_one(self, at_s: float) -> list[Event]:
        what = self.rng.choice(ICMP_FAULTS)
        if self.dead and self.rng.random() < 0.3:
            return [self._fault(at_s, self.rng.choice(self.dead), what)]
        return [*self._make_room(at_s), *self._die(at_s, what)]

    def _silence_one(self, at_s: float) -> list[Event]:
        if self.dead and self.rng.random() < 0.3:
            return [self._fault(at_s, self.rng.choice(self.dead), "drop")]
        return [*self._make_room(at_s), *self._die(at_s, "drop")]

    def _stray(self, at_s: float) -> list[Event]:
        """One error for one connection to a host that is good before and after."""
        host = self.rng.choice(self._alive())
        what = self.rng.choice(ICMP_FAULTS)
        return [Event(at_s, "stray", what, host, number=self.rng.getrandbits(32))]

    def _behind_the_router(self, at_s: float) -> list[Event]:
        """The same befalls a few at once."""
        able = [host for host in self._alive() if host in self.routed]
        what = self.rng.choice(("drop", *ROUTE_FAULTS, *ICMP_FAULTS, "arp", "arp"))
        count = min(self.rng.randint(1, MOST_TOGETHER), self._spare(at_s), len(able))
        hosts = self.rng.sample(able, count)
        return [event for host in hosts for event in self._end(at_s, host, what)]

    def _make_room(self, at_s: float) -> list[Event]:
        return [self._revive(at_s)] if len(self.dead) >= MOST_DEAD else []

    def _revive(self, at_s: float) -> Event:
        host = self.dead.pop(self.rng.randrange(len(self.dead)))
        self._changed[host] = self.began_s + at_s
        return Event(at_s, "host", "revive", host)

    def _die(self, at_s: float, what: str = "") -> list[Event]:
        return self._end(at_s, self.rng.choice(self._alive()), what) if self._spare(at_s) else []

    def _end(self, at_s: float, host: str, what: str) -> list[Event]:
        self.dead.append(host)
        self._changed[host] = self.began_s + at_s
        return [self._fault(at_s, host, what)]

    def _spare(self, at_s: float) -> int:
        """How many more may die now."""
        now_s = self.began_s + at_s
        since_s = {host: now_s - self._changed.get(host, -RISING_S) for host in self.hosts}
        falling = sum(since_s[host] < FALLING_S for host in self.dead)
        rising = sum(since_s[host] < RISING_S for host in self._alive())
        good = len(self.hosts) - rising - (len(self.dead) - falling)
        return max(0, min(MOST_DEAD - len(self.dead), int(FALLING_SHARE * good) - falling))

    def _fault(self, at_s: float, host: str, what: str = "") -> Event:
        """`what` befalls the host, or any fault that it can have."""
        what = what or self.rng.choice(KINDS)
        if what == "icmp":
            what = self.rng.choice(ICMP_FAULTS)
        elif what == "route":
            what = self.rng.choice(ROUTE_FAULTS) if host in self.routed else "drop"
        return Event(at_s, "host", what, host, number=self.rng.getrandbits(32))

    def _alive(self) -> list[str]:
        return [host for host in self.hosts if host not in self.dead]
