"""What a look at a VPC costs as its interfaces grow and the route spec does not.

A look is all that is read at each recheck. The first one, at the start, also finds out whether the
VPC is a large one.
"""

import os
import time
from typing import Any
from unittest.mock import patch

from tests.bench.effort import Effort
from tests.bench.figures import rank
from tests.bench.instant_ec2 import InstantEc2, Manner
from tests.bench.large import VPC, World
from tests.bench.overhead import rig
from vpcrouter.aws.ec2 import Ec2

CIDRS, TABLES, HOSTS = 50, 3, 100
MOST_MORE, MOST_MORE_S = 0.1, 0.2
"""How much more a look and a start may cost than with the fewest interfaces."""
HOW = (
    f"a route spec of {CIDRS} CIDRs x {TABLES} tables x {HOSTS} hosts, and a stand-in for EC2 that "
    "answers at once; a look: its requests, their answers' size and the CPU time of reading, the "
    "median; start: from the daemon's start to the arrival of its first change"
)


def measure(effort: Effort) -> dict[str, Any]:
    """Rows by the number of interfaces."""
    worlds = [World(CIDRS, TABLES, HOSTS, others=size - HOSTS) for size in effort.interfaces]
    rows = [_looks(world, effort.looks) for world in worlds]
    # One after the other, so that they find the machine's load alike.
    starts_s = [[_start_s(world) for world in worlds] for _ in range(effort.starts)]
    for row, of_one in zip(rows, zip(*starts_s, strict=True), strict=True):
        row["start_s"] = round(rank(of_one, 0.5), 3)
    first = rows[0]
    for row in rows:
        limits = {key: (1 + MOST_MORE) * first[key] for key in ("requests", "kib", "cpu_ms")}
        limits["start_s"] = first["start_s"] + MOST_MORE_S
        row["goal"] = limits
        row["met"] = all(row[key] <= limit for key, limit in limits.items())
    return {"how": HOW, "rows": rows}


def _looks(world: World, count: int) -> dict[str, Any]:
    """Requests, KiB and CPU time of the first look, and of each of the next `count`."""
    hosts = frozenset(world.addresses)
    with InstantEc2(world) as server, patch.dict(os.environ, server.env):
        ec2 = Ec2(None, VPC, lambda: None)
        cpu_ms = []
        for _ in range(count + 1):
            began_s = time.thread_time()
            view = ec2.observe(lambda: hosts)
            cpu_ms.append(1e3 * (time.thread_time() - began_s))
            if len(cpu_ms) == 1:
                first = len(server.calls())
        assert all(map(view.carrier, hosts))
        later = server.calls()[first:]
    return {
        "interfaces": world.hosts + world.others,
        "first_requests": first,
        "first_cpu_ms": round(cpu_ms[0], 1),
        "requests": len(later) / count,
        "kib": round(sum(call.size for call in later) / count / 1024, 1),
        "cpu_ms": round(rank(cpu_ms[1:], 0.5), 1),
    }


def _start_s(world: World) -> float:
    ec2 = InstantEc2(world, Manner(without=1))
    with rig(ec2) as our:
        started_s = time.monotonic()
        return our.moved(0.0, world.tables)[0].arrived_s - started_s
