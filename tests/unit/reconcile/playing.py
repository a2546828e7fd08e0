"""What tests give to the steps: calls that end when they are told to, and a log to be read."""

import time
from collections.abc import Callable
from typing import Any

from tests.unit.building import CIDR, OTHER, A, B
from vpcrouter.aws.background import BackgroundCalls, Done
from vpcrouter.errors import Ec2Error
from vpcrouter.logs import setup as logs
from vpcrouter.routing.change import Action, Change, Urgency

ROOM = 4
TO_B = Change(Urgency.FAILED, "rtb-1", CIDR, Action.REPLACE, "eni-b", B, "eni-a", A)
MISSING = TO_B._replace(urgency=Urgency.MISSING, action=Action.CREATE, cidr=OTHER)


class PlayedCalls(BackgroundCalls[Change | str]):
    """Makes no call, and keeps those to be made, of which there are few at once."""

    def __init__(self) -> None:
        super().__init__(ROOM)
        self.made: dict[Change | str, Callable[[], Any]] = {}
        """The last call of each kind."""

    def start(self, what: Change | str, function: Callable[[], Any]) -> None:
        assert what not in self.under_way
        self.under_way[what] = time.monotonic()
        self.made[what] = function

    def end(
        self,
        what: Change | str,
        at_s: float,
        result: Any = None,
        code: str = "",
        took_s: float = 0.0,
    ) -> Done[Change | str]:
        """End a call: with EC2's refusal if there is a `code`."""
        del self.under_way[what]
        return done(what, at_s, result, code, took_s)


def done(
    what: Change | str, at_s: float, result: Any = None, code: str = "", took_s: float = 0.0
) -> Done[Change | str]:
    return Done(what, result, Ec2Error("Call", code, "no") if code else None, at_s, took_s)


class Lines(logs.Later):
    """What a step has logged."""

    def __init__(self) -> None:
        super().__init__(logs.get("vpcrouter.test"))

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self._lines]

    def facts(self, event: str) -> dict[str, Any]:
        """Those of the last such line."""
        return next(facts for _, each, facts in reversed(self._lines) if each == event)
