"""How long nothing has happened, and whether EC2 answers as it should."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.week.clock import Clock


@dataclass
class Calm:
    """Everything that happens to the daemon's world is noted here."""

    clock: Clock
    events: int = 0
    _disturbed_s: dict[str, float] = field(default_factory=dict)
    """When each cause disturbed last: a host, or anything else."""
    _ended_s: dict[str, float] = field(default_factory=dict)
    """When each kind of fault ended last."""
    _faults: dict[str, int] = field(default_factory=dict)

    def disturb(self, cause: str = "") -> None:
        self._disturbed_s[cause] = self.clock.now_s
        self.events += 1

    def fault_begins(self, kind: str) -> None:
        self.disturb()
        self._faults[kind] = self._faults.get(kind, 0) + 1

    def fault_ends(self, kind: str) -> None:
        self.disturb()
        self._faults[kind] -= 1
        self._ended_s[kind] = self.clock.now_s

    def has(self, kind: str) -> bool:
        return self._faults.get(kind, 0) > 0

    @property
    def faults(self) -> list[str]:
        """The kinds in force."""
        return [kind for kind, number in self._faults.items() if number]

    @property
    def quiet_s(self) -> float:
        """For how long nothing has happened; 0 while a fault is in force."""
        return 0.0 if self.faults else self.clock.now_s - max(self._disturbed_s.values())

    def faulty_until(self, *kinds: str) -> float:
        """Until when EC2 or the network had a fault, of these kinds if any are named."""
        if any(not kinds or kind in kinds for kind in self.faults):
            return self.clock.now_s
        ended_s = (at_s for kind, at_s in self._ended_s.items() if not kinds or kind in kinds)
        return max(ended_s, default=0.0)

    def is_quiet_but_for(self, cause: str, for_s: float) -> bool:
        """Whether for so long nothing has happened beside what has this cause."""
        others = (at_s for each, at_s in self._disturbed_s.items() if each != cause)
        return not self.faults and max(others, default=0.0) < self.clock.now_s - for_s
