"""What is done to the daemon, and when: all of it follows from the seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.chaos.events import Burst, Event
from tests.chaos.host_plan import HostPlan

WATCHER, MONITOR, RECONCILER = "configfile", "tcp", "reconciler"
NEEDED = (RECONCILER, MONITOR)
"""Without these nothing fails over."""
BYSTANDERS = (WATCHER, "api", "control")
FORKER = "forker"
"""It helps to start workers; without it nothing is disturbed."""
WORKERS = (*NEEDED, *BYSTANDERS)
ENDS = ("KILL", "KILL", "TERM", "ABRT", "STOP+KILL")
"""How a worker is ended; also STOP+CONT, which spares it, and STOP, which it is left in."""
GOOD_SPECS = ("replace", "rewrite")
BAD_SPECS = ("torn", "empty", "braces", "folder", "dangling")
EC2_FAULTS = (
    "error",
    "refuse",
    "hang",
    "throttle",
    "drop",
    "drop-after",
    "garbage",
    "garbage-after",
    "delay",
)
EC2_ACTIONS = ("*", "*Route", "Describe*", "ReplaceRoute")
THEMES = (
    "bystanders",
    "bystanders",
    "needed",
    "needed",
    "ec2",
    "ec2",
    "large",
    "memory",
    "network",
    "network",
    "network",
    "everything",
    "everything",
)
SUPERVISOR_EVERY = 5
"""Of so many bursts one kills the supervisor."""
LENGTH_S = 4.0


@dataclass
class Planner:
    """Makes one burst after the other."""

    rng: random.Random
    host_plan: HostPlan
    length_s: float = LENGTH_S
    forker_rng: random.Random = field(default_factory=random.Random)
    """Its own, so that a seed's other faults are the same as without these."""

    def bursts(self) -> Iterator[Burst]:
        """Endless."""
        number = 0
        while True:
            number += 1
            theme = self.rng.choice(THEMES)
            self.host_plan.began_s = number * self.length_s
            events = self._events(theme, number) + self._forker()
            yield Burst(number, theme, tuple(sorted(events, key=lambda event: event.at_s)))

    def _events(self, theme: str, number: int) -> list[Event]:
        if theme == "network":
            return self.host_plan.network(self._moments(5, 9)) + self._kills(BYSTANDERS, 12)
        events = self.host_plan.some(self._moments(1, 4))
        if theme == "bystanders":
            events += self._kills(BYSTANDERS, 16) + self._specs()
        elif theme == "needed":
            events += self._kills(NEEDED, 8) + self._kills(BYSTANDERS, 8)
        elif theme == "ec2":
            events += self._kills(WORKERS, 14) + self._ec2() + self._specs()
        elif theme == "memory":
            events += self._kills(BYSTANDERS[1:], 14) + self._memory()
        elif theme == "large":
            events += self._kills(WORKERS, 16, first_s=0.1) + self._large()
        else:
            events += self._kills(WORKERS, 16) + self._ec2() + self._specs() + self._disk()
            if number % SUPERVISOR_EVERY == 0 or self.rng.random() < 1 / SUPERVISOR_EVERY:
                events.append(Event(self._moment(), "supervisor", "KILL"))
        return events

    def _moment(self, first_s: float = 0.0) -> float:
        return round(self.rng.uniform(first_s, self.length_s), 3)

    def _moments(self, fewest: int, most: int) -> list[float]:
        return [self._moment() for _ in range(self.rng.randint(fewest, most))]

    def _kills(self, workers: tuple[str, ...], count: int, first_s: float = 0.0) -> list[Event]:
        events = [
            Event(
                self._moment(first_s),
                "worker",
                self.rng.choice(ENDS),
                self.rng.choice(workers),
                round(self.rng.uniform(0.05, 0.5), 3),
            )
            for _ in range(count)
        ]
        if self.rng.random() < 0.5:
            for_s = round(self.rng.uniform(0.2, 3.0), 3)
            events.append(
                Event(self._moment(), "worker", "STOP+CONT", self.rng.choice(workers), for_s)
            )
        if self.rng.random() < 0.2:
            events.append(Event(self._moment(), "worker", "STOP", self.rng.choice(workers)))
        return events

    def _forker(self) -> list[Event]:
        rng = self.forker_rng
        return [
            Event(round(rng.uniform(0, self.length_s), 3), FORKER, rng.choice(("KILL", "STOP")))
            for _ in range(rng.randint(0, 2))
        ]

    def _specs(self) -> list[Event]:
        """Good and bad ones; the last is good."""
        events = []
        for at_s in sorted(self._moment() for _ in range(self.rng.randint(1, 4))):
            what = self.rng.choice((*GOOD_SPECS, *BAD_SPECS))
            events.append(Event(at_s, "spec", what, number=self.rng.getrandbits(32)))
        what = self.rng.choice(GOOD_SPECS)
        events.append(Event(self.length_s, "spec", what, number=self.rng.getrandbits(32)))
        return events

    def _large(self) -> list[Event]:
        """Large specs one after the other, so that large messages are under way at the kills."""
        events = [
            Event(at_s, "spec", "large", number=self.rng.getrandbits(32))
            for at_s in sorted((0.0, self._moment(), self._moment()))
        ]
        number = self.rng.getrandbits(32)
        return [*events, Event(self.length_s, "spec", "replace", number=number)]

    def _memory(self) -> list[Event]:
        """A good spec, then a bad one, and nobody left who has seen the good one."""
        good, bad = self.rng.choice(GOOD_SPECS), self.rng.choice(BAD_SPECS)
        events = [
            Event(0.3, "spec", good, number=self.rng.getrandbits(32)),
            Event(0.45 * self.length_s, "spec", bad),
            Event(1.5 * self.length_s, "spec", good, number=self.rng.getrandbits(32)),
        ]
        if self.rng.random() < 0.6:
            events.append(Event(0.5 * self.length_s, "supervisor", "KILL"))
        else:
            events.append(Event(0.5 * self.length_s, "worker", "KILL", WATCHER))
        full_s = self.rng.choice((0.0, 0.3 * self.length_s, self.length_s))
        if full_s:
            events.append(Event(0.1, "disk", "fill", for_s=full_s))
        return events

    def _ec2(self) -> list[Event]:
        return [
            Event(
                self._moment(),
                "ec2",
                self.rng.choice(EC2_FAULTS),
                self.rng.choice(EC2_ACTIONS),
                round(self.rng.uniform(0.3, 2.5), 3),
            )
        ]

    def _disk(self) -> list[Event]:
        if self.rng.random() < 0.5:
            return []
        return [Event(self._moment(), "disk", "fill", for_s=round(self.rng.uniform(0.5, 3.0), 3))]
