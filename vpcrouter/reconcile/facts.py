"""What each step tells the others: small, and never changed. Times are monotonic seconds."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from vpcrouter.model.host_state import Health
from vpcrouter.model.spec import RouteSpec
from vpcrouter.routing.change import Change
from vpcrouter.routing.plan import Plan
from vpcrouter.routing.verify import Expectation


class Wanted(NamedTuple):
    """From the inbox: what is to be brought about, and how the hosts for it are."""

    spec: RouteSpec | None = None
    health: Health = Health()
    isolated: str | None = None
    """Why no route may be changed: all monitors that probe are isolated."""


class News(NamedTuple):
    """From the inbox: what a turn's messages mean for the others."""

    hosts: tuple[str, ...] | None = None
    """All hosts of a route spec that is new."""
    must_plan: bool = False


class Observation(NamedTuple):
    """From observing: what an ended read has shown."""

    at_s: float
    has_view: bool = False
    """There is a view to plan from, just read."""
    is_new: bool = False
    """The view is another than before."""
    seen: tuple[Expectation, ...] = ()
    """Accepted changes that it shows for the first time."""
    is_settled: bool = False
    """No part of it that a refusal has put in doubt is still to be read."""
    is_unreadable: bool = False
    """The VPC could not be read."""
    size: int = 0
    """How many interfaces and routes there are, where the whole VPC was read."""


class Decision(NamedTuple):
    """From deciding: the changes to make, and those withheld and why."""

    plan: Plan
    withheld: tuple[str, ...] = ()
    made_at: float = 0.0
    waiting: str = ""
    """What for, if there is nothing to decide from yet."""

    def sentence(self, outlook: str = "") -> str:
        """What was decided, and how long it takes; put into words once changes have begun."""
        said = (self.waiting or self.plan.sentence(), outlook, *self.withheld)
        return "; ".join(filter(None, said))


class ChangeOutcome(NamedTuple):
    """From applying: what became of a change."""

    change: Change
    ended_s: float
    is_accepted: bool = False
    is_throttled: bool = False
    """Its route, too, is planned anew from what is known by now."""
    stale_code: str = ""
    """EC2's error code for what says that a part of the view is stale, and has to be read again."""
    read_by: float = math.inf
    """When the whole VPC has to be read on its account."""


class Progress(NamedTuple):
    """From applying: what was changed, what is still to be, and why some of it is refused."""

    recent: tuple[tuple[Change, Mapping[str, float]], ...]
    """The last changes, with the times of their stages."""
    pending: int
    expected_s: float
    """How long it takes at most, by what is believed of EC2, to start all that waits."""
    refusals: str
    outlook: str
    """How long it takes as of the last plan, where that is worth saying."""
