"""One host that carries many routes fails: until the last of them has moved.

With the API unthrottled, and under EC2's token bucket, of which N changes at once take
(N - 50) / 5 seconds once it is empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.bench.effort import Effort
from tests.bench.instant_ec2 import InstantEc2, Manner
from tests.bench.large import World
from tests.bench.noise import noise
from tests.bench.overhead import rig

CAPACITY, PER_S = 50.0, 5.0
"""Of the bucket of ReplaceRoute (EC2's documentation, request throttling)."""
CALL_S = 0.18
"""What EC2 takes for a change."""
SPARE_S = 120.0
HOW = (
    "from the monitor's verdict until EC2 had answered the last change; one route table, the EC2 "
    f"a stand-in that takes {CALL_S:g} s for a change; throttled: a bucket of {CAPACITY:g} tokens "
    f"and {PER_S:g} a second, full at first"
)


@dataclass(frozen=True)
class Loaded(World):
    """The first host carries all `cidrs`; each of the other ones may."""

    @cached_property
    def routes(self) -> Mapping[str, Sequence[str]]:
        return {f"172.{16 + (n >> 8)}.{n & 255}.0/24": self.addresses for n in range(self.cidrs)}


def measure(effort: Effort) -> dict[str, Any]:
    """Seconds for each number of routes, throttled and not."""
    before = noise()
    cells = [one(routes, throttled) for throttled in (False, True) for routes in effort.bursts]
    return {"how": HOW, "noise": before, "cells": cells}


def bound_s(routes: int) -> float:
    """The least time that the bucket allows."""
    return max(0.0, (routes - CAPACITY) / PER_S)


def one(routes: int, throttled: bool) -> dict[str, Any]:
    """Let the host fail once."""
    world = Loaded(routes, 1, 3)
    bucket = (CAPACITY, PER_S) if throttled else None
    ec2 = InstantEc2(world, Manner(change_s=CALL_S, bucket=bucket))
    with rig(ec2) as our:
        our.wait(our.daemon.is_ready, "ready")
        told_s = our.tell(world.addresses[:1])
        calls = our.moved(told_s, routes, bound_s(routes) + SPARE_S)
        refused = [call for call in ec2.calls() if not call.is_accepted]
    took_s = sorted(call.answered_s - told_s for call in calls)
    return {
        "routes": routes,
        "throttled": throttled,
        "bound": bound_s(routes) if throttled else None,
        "first": round(took_s[0], 3),
        "last": round(took_s[-1], 3),
        "refused_calls": len(refused),
        "samples": [round(each, 3) for each in took_s],
    }
