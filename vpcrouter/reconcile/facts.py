"""Small, immutable data that the steps pass to each other. Times are monotonic seconds."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from vpcrouter.model.host_state import Health
from vpcrouter.model.spec import RouteSpec
from vpcrouter.routing.change import Change
from vpcrouter.routing.plan import Plan
from vpcrouter.routing.verify import Expectation


class Wanted(NamedTuple):
    """From the inbox: the wanted state, and the health of its hosts."""

    spec: RouteSpec | None = None
    health: Health = Health()
    isolated: str | None = None
    """Why no route may be changed: all monitors that probe are isolated."""


class News(NamedTuple):
    """From the inbox: what a turn's messages mean for the other steps."""

    hosts: tuple[str, ...] | None = None
    """All hosts of a new route spec; None if there is no new one."""
    must_plan: bool = False


class Observation(NamedTuple):
    """From observing: the result of a read."""

    at_s: float
    has_view: bool = False
    """A view to plan from was just read."""
    is_new: bool = False
    """The view differs from the last one."""
    seen: tuple[Expectation, ...] = ()
    """Accepted changes that the read shows for the first time."""
    is_settled: bool = False
    """No part of the view that a rejected change put in doubt is still to be read."""
    is_unreadable: bool = False
    """The VPC could not be read."""
    size: int = 0
    """The number of interfaces and routes, if the whole VPC was read."""


class Decision(NamedTuple):
    """From deciding: the changes to make, and those withheld and why."""

    plan: Plan
    withheld: tuple[str, ...] = ()
    made_at: float = 0.0
    waiting: str = ""
    """What the reconciler waits for before it can decide; empty if it need not wait."""

    def sentence(self, outlook: str = "") -> str:
        """What was decided, and how long it takes; composed once the changes have started."""
        said = (self.waiting or self.plan.sentence(), outlook, *self.withheld)
        return "; ".join(filter(None, said))


class ChangeOutcome(NamedTuple):
    """From applying: the result of a change."""

    change: Change
    ended_s: float
    is_accepted: bool = False
    is_throttled: bool = False
    """The route has to be planned again."""
    stale_code: str = ""
    """EC2's error code, if it means that a part of the view is stale and has to be read again."""
    read_by: float = math.inf
    """By when the whole VPC has to be read because of this change."""


class Progress(NamedTuple):
    """From applying: changes made, changes pending, and why some are rejected."""

    recent: tuple[tuple[Change, Mapping[str, float]], ...]
    """The latest changes, with the times of their stages."""
    pending: int
    expected_s: float
    """Estimated upper bound for starting all pending changes."""
    refusals: str
    outlook: str
    """How long it takes as of the last plan; empty if that is short."""
