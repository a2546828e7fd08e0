"""What goes wrong with EC2 and on the way to it, each for a time; several may at once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tests.aws.client import DAEMON_KEY
from tests.week.calm import Calm
from tests.week.clock import Clock
from tests.week.wire import Trouble, Wire

ACTIONS = ("*", "Describe*", "*Route", "ReplaceRoute", "DescribeNetworkInterfaces")
ERRORS = ("InternalError", "Unavailable", "ServiceUnavailable")
REFUSED_KEYS = ("AuthFailure", "RequestExpired")
STALE_S = (2.0, 8.0)
"""Within what `vpcrouter.routing.verify` allows for."""
NEIGHBOUR = {"*Route": (3.0, 6.0), "Describe*": (5.0, 15.0)}
"""The calls a second that another tool of the account makes, from and to."""


@dataclass
class Faults:
    """All that is in force is told to the embedded EC2 whenever that changes."""

    clock: Clock
    wire: Wire
    calm: Calm
    rng: random.Random
    _answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    _troubles: dict[str, Trouble] = field(default_factory=dict)
    _neighbours: dict[str, dict[str, float]] = field(default_factory=dict)
    _neighbour: dict[str, float] | None = None
    _number: int = 0

    def build(self) -> None:
        self.wire.ec2.settings(bucket="ec2")

    def outage(self, for_s: float) -> None:
        """EC2 answers with errors."""
        code = self.rng.choice(ERRORS)
        self._answer("outage", for_s, action=self._action(), kind="error", code=code)

    def garbage(self, for_s: float) -> None:
        """Some of EC2's answers are none; the calls may have been executed."""
        kind = self.rng.choice(("garbage", "drop", "truncated", "error"))
        how: dict[str, Any] = {"kind": kind, "every": self.rng.randint(1, 3)}
        if kind != "truncated":
            how["after"] = self.rng.random() < 0.5
        if kind == "error" and self.rng.random() < 0.5:
            how["http_status"] = 200
        self._answer("garbage", for_s, action=self._action(), **how)

    def keys_refused(self, for_s: float) -> None:
        """The credentials have expired, and others come later."""
        code = self.rng.choice(REFUSED_KEYS)
        self._answer("keys refused", for_s, action="*", kind="error", code=code)

    def not_permitted(self, table: str, for_s: float) -> None:
        """One table may not be changed."""
        how = {"action": "*Route", "kind": "error", "code": "UnauthorizedOperation"}
        self._answer("not permitted", for_s, table=table, **how)

    def stale(self, for_s: float) -> None:
        """Every second or third read is old, so that stale ones follow fresh ones."""
        how = {"seconds": self.rng.uniform(*STALE_S), "every": self.rng.randint(2, 3)}
        self._answer("stale", for_s, action="Describe*", kind="stale", **how)

    def network(self, for_s: float) -> None:
        """Requests or answers get lost, or arrive late."""
        kind = self.rng.choice(("hang", "reset", "reset-after", "late"))
        name = self._begin("network")
        self._troubles[name] = Trouble(self._action(), kind, self.rng.uniform(0.2, 1.0))
        self._end(name, for_s)

    def neighbour(self, for_s: float) -> None:
        """Another tool of the account drinks from the same buckets."""
        name = self._begin("neighbour")
        rates = {action: self.rng.uniform(*rate) for action, rate in NEIGHBOUR.items()}
        self._neighbours[name] = rates
        self._end(name, for_s)

    def _action(self) -> str:
        return self.rng.choice(ACTIONS)

    def _answer(self, what: str, for_s: float, **fault: Any) -> None:
        name = self._begin(what)
        self._answers[name] = {"access_key": DAEMON_KEY, **fault}
        self._end(name, for_s)

    def _begin(self, what: str) -> str:
        self._number += 1
        self.calm.fault_begins(what)
        return f"{what}#{self._number}"

    def _end(self, name: str, for_s: float) -> None:
        def end() -> None:
            self._answers.pop(name, None)
            self._troubles.pop(name, None)
            self._neighbours.pop(name, None)
            self._tell()
            self.calm.fault_ends(name.partition("#")[0])

        self._tell()
        self.clock.after(for_s, end)

    def _tell(self) -> None:
        self.wire.ec2.set_faults(list(self._answers.values()))
        self.wire.troubles = list(self._troubles.values())
        neighbour = next(iter(self._neighbours.values()), None)
        if neighbour != self._neighbour:
            self._neighbour = neighbour
            self.wire.ec2.settings(neighbour=neighbour)
