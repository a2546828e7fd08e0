"""Our own overhead: from a monitor's verdict to the request, of a start, and of the plan."""

import contextlib
import gc
import json
import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from examples.demo.daemon import Daemon, settings, write_ini
from tests.bench.effort import Effort
from tests.bench.figures import summed_up
from tests.bench.instant_ec2 import Call, InstantEc2, Manner
from tests.bench.large import VPC, World
from vpcrouter.linux import memory
from vpcrouter.routing.incremental import Planner
from vpcrouter.routing.plan import Policy, plan

ROOT = Path(__file__).parents[2]
SMALL = World(3, 3, 6)
LARGE = World(1_000, 50, 2_000)
OFTEN_S, AT_REST_S = (0.3, 1.3), (3.5, 4.5)
"""Between failovers: changes of a large VPC are still being read back, or have been."""
PLANS = 9
LIMIT_S = 60.0
PAUSE_S = 0.05
TO_FIRST_S = {"median": 0.005, "p99": 0.02}
PLAN_S = {"max": 0.25}
PLAN_OF_ONE_S = {"max": 0.02}
START_S = {"max": 2.0}
HOW = (
    "a monitor that is told what to say, and a stand-in for EC2 that answers at once, which notes "
    "when each request arrived; changes are read back and routes rechecked meanwhile, as they come"
)
Row = dict[str, Any]


def measure(effort: Effort) -> dict[str, Any]:
    """Rows, times in seconds."""
    large = World(100, 10, 200) if effort.is_short else LARGE
    return {
        "how": HOW,
        "rows": [
            *transitions(SMALL, effort.runs, OFTEN_S, "at rest"),
            *transitions(large, effort.large_runs, AT_REST_S, "at rest"),
            *transitions(large, effort.large_runs, OFTEN_S, "while it is being read"),
            *planning(large),
            *start(large, effort.starts),
        ],
    }


def planning(world: World) -> list[Row]:
    """The plan in full with nothing to do and with everything, and that for one failed host.

    Garbage is looked for as rarely as in the reconciler.
    """
    spec, health, view, policy = world.spec, world.health, world.view, Policy()
    bare = replace(view, tables=tuple(replace(table, routes={}) for table in view.tables))

    def first(_cidr: str, hosts: Sequence[str]) -> str:
        return hosts[0]

    planner = Planner(policy, first)
    planner.plan(spec, health, view)
    failing = iter([world.without(host) for host in world.addresses[::2][:PLANS]])

    def row(what: str, act: Callable[[], Any], goal: dict[str, float]) -> Row:
        return summary(f"plan, {what}", world, timed(act), goal)

    thresholds = gc.get_threshold()
    memory.search_rarely(view.size)
    rows = [
        row("nothing to do", lambda: plan(spec, health, view, policy, first), PLAN_S),
        row("every route missing", lambda: plan(spec, health, bare, policy, first), PLAN_S),
        row("one host failed", lambda: planner.plan(spec, next(failing), view), PLAN_OF_ONE_S),
    ]
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    return rows


class Rig:
    """A daemon on an instant EC2, with the monitor that is told."""

    def __init__(self, folder: Path, ec2: InstantEc2, daemon: Daemon) -> None:
        self.ec2 = ec2
        self.daemon = daemon
        self._monitor = folder / "told.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "bench.sock"))
        self._socket.settimeout(LIMIT_S)

    def tell(self, failed: Sequence[str]) -> float:
        """Have these hosts failed, and no others; the monotonic time of the verdict."""
        self._socket.sendto(json.dumps(list(failed)).encode(), str(self._monitor))
        return float(self._socket.recv(100))

    def wait(self, is_so: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> None:
        self.daemon.wait(is_so, what, limit_s, PAUSE_S)

    def moved(self, since_s: float, count: int, limit_s: float = LIMIT_S) -> list[Call]:
        """Wait for so many accepted changes."""
        self.wait(
            lambda: len(self.ec2.changes_since(since_s)) >= count, f"{count} changes", limit_s
        )
        return self.ec2.changes_since(since_s)


@contextlib.contextmanager
def rig(ec2: InstantEc2, recheck_s: float = 30.0) -> Iterator[Rig]:
    """The daemon is started, and not waited for."""
    with tempfile.TemporaryDirectory(prefix="vpcrouter-bench-") as name, ec2:
        folder = Path(name)
        (folder / "spec.json").write_text(json.dumps(ec2.world.routes), encoding="utf-8")
        sections = settings(folder, VPC, folder / "spec.json", 0)
        del sections["tcp"]
        sections["vpcrouter"] |= {
            "health": "tests.bench.told",
            "route_recheck_interval": recheck_s,
            "flap_count": 0,  # the same few hosts fail again and again
        }
        sections["told"] = {"told_socket": folder / "told.sock"}
        daemon = Daemon(folder, {**ec2.env, "PYTHONPATH": str(ROOT)})
        write_ini(daemon.ini_path, sections)
        with daemon:
            yield Rig(folder, ec2, daemon)


def transitions(world: World, runs: int, pause_s: tuple[float, float], when: str) -> list[Row]:
    """From a host's failure, as its monitor judges it, to the first request's arrival.

    And to that of the last of the host's one CIDR.
    """
    ec2 = InstantEc2(world)
    first_s: list[float] = []
    last_s: list[float] = []
    with rig(ec2) as our:
        our.wait(our.daemon.is_ready, "ready")
        host_of = {eni: host for host, eni in world.interfaces.items()}
        used = {cidr: hosts[0] for cidr, hosts in world.routes.items()}
        for _ in range(runs):
            time.sleep(random.uniform(*pause_s))  # noqa: S311
            victim = random.choice(list(used.values()))  # noqa: S311
            count = sum(host == victim for host in used.values())
            told_s = our.tell([victim])
            calls = our.moved(told_s, count * world.tables)
            first_s.append(calls[0].arrived_s - told_s)
            last_s.append(calls[-1].arrived_s - told_s)
            used |= {call.cidr: host_of[call.interface] for call in calls}
            our.tell([])
    return [
        summary(f"verdict to first request, {when}", world, first_s, TO_FIRST_S),
        summary(f"verdict to last request, {when}", world, last_s),
    ]


def start(world: World, times: int) -> list[Row]:
    """From EC2's last answer to the first request, where one CIDR is missing in every table."""
    seconds = [_start(world) for _ in range(times)]
    return [summary("start: EC2's last answer to first request", world, seconds, START_S)]


def _start(world: World) -> float:
    ec2 = InstantEc2(world, Manner(without=1))
    started_s = time.monotonic()
    with rig(ec2) as our:
        calls = our.moved(started_s, world.tables)
        first_s = min(call.arrived_s for call in calls)
        return first_s - max(
            call.answered_s
            for call in ec2.calls()
            if call.arrived_s < first_s and call.action.startswith("Describe")
        )


def timed(act: Callable[[], Any]) -> list[float]:
    found = []
    for _ in range(PLANS):
        began_s = time.perf_counter()
        act()
        found.append(time.perf_counter() - began_s)
    return found


def summary(
    what: str, world: World, seconds: Sequence[float], goal: dict[str, float] | None = None
) -> Row:
    found = summed_up(seconds, digits=5)
    return {
        "what": what,
        "of": str(world),
        "runs": len(seconds),
        **found,
        "goal": goal or {},
        "met": all(found[key] <= limit for key, limit in (goal or {}).items()),
        "samples": [round(each, 5) for each in seconds],
    }
