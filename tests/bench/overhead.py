"""Our own overhead, from a monitor's verdict to the request: `python -m tests.bench.overhead`."""

import argparse
import contextlib
import json
import os
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from examples.demo.daemon import Daemon, settings, write_ini
from tests.bench.instant_ec2 import Call, InstantEc2, Manner
from tests.bench.large import VPC, World
from vpcrouter.plan import Policy, plan
from vpcrouter.planner import Planner

ROOT = Path(__file__).parents[2]
SMALL = World(3, 3, 6)
LARGE = World(1_000, 50, 2_000)
MOVES = (1, 50, 250, 1_000)
BUCKET = (50.0, 5.0)
CHANGE_S = 0.18
"""What EC2 takes for a change: 0.16 to 0.22 s in published logs."""
OFTEN_S, AT_REST_S = (0.3, 1.3), (3.5, 4.5)
"""Between failovers: changes of a large VPC are still being read back, or have been."""
LIMIT_S = 60.0
PAUSE_S = 0.05
Figures = dict[str, Any]


def measure(runs: int) -> dict[str, Figures]:
    """All figures of this module by name, times in seconds; `runs` failovers at each size."""
    return {
        "plan": planning(),
        "transition_small": transitions(SMALL, runs),
        "transition_large": transitions(LARGE, runs, pause_s=AT_REST_S),
        "transition_large_while_reading": transitions(LARGE, runs),
        "start_large": start(LARGE),
        "moves": {
            f"{count}, {name}": moves(count, bucket)
            for count in MOVES
            for name, bucket in (("unthrottled", None), ("bucket of 50 + 5/s", BUCKET))
        },
    }


def planning(world: World = LARGE, times: int = 9) -> Figures:
    """The plan in full with nothing to do and with everything, and that for one failed host."""
    spec, health, view, policy = world.spec, world.health, world.view, Policy()
    bare = replace(view, tables=tuple(replace(table, routes={}) for table in view.tables))

    def first(_cidr: str, hosts: Sequence[str]) -> str:
        return hosts[0]

    planner = Planner(policy, first)
    planner.plan(spec, health, view)
    failing = [world.without(host) for host in world.addresses[::2][:times]]
    each = iter(failing)
    return {
        "of": str(world),
        "nothing_to_do": summed_up(timed(lambda: plan(spec, health, view, policy, first), times)),
        "all_missing": summed_up(timed(lambda: plan(spec, health, bare, policy, first), times)),
        "one_failed_in_full": summed_up(
            timed(lambda: plan(spec, failing[0], view, policy, first), times)
        ),
        "one_failed": summed_up(timed(lambda: planner.plan(spec, next(each), view), times)),
    }


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
        deadline_s = time.monotonic() + limit_s
        while not is_so():
            self.daemon.check()
            if time.monotonic() > deadline_s:
                raise self.daemon.error(f"{what}: not in {limit_s:g} s")
            time.sleep(PAUSE_S)

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


def is_ready(daemon: Daemon) -> bool:
    return daemon.ask("/health")[0] == 200


def transitions(world: World, runs: int, pause_s: tuple[float, float] = OFTEN_S) -> Figures:
    """From a host's failure, as its monitor judges it, to the arrival of the first request.

    And until the last request of the host's one CIDR arrived. The EC2 answers at once; changes
    are read back and all routes rechecked meanwhile, as they come.
    """
    ec2 = InstantEc2(world)
    first_s: list[float] = []
    last_s: list[float] = []
    with rig(ec2) as our:
        our.wait(lambda: is_ready(our.daemon), "ready")
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
    return {"of": str(world), "first": summed_up(first_s), "last": summed_up(last_s)}


def start(world: World) -> Figures:
    """From EC2's last answer to the first request, where one CIDR is missing in every table."""
    ec2 = InstantEc2(world, Manner(without=1))
    started_s = time.monotonic()
    with rig(ec2) as our:
        calls = our.moved(started_s, world.tables)
        told = [call for call in ec2.calls() if call.arrived_s < calls[0].arrived_s]
        answered_s = max(c.answered_s for c in told if c.action.startswith("Describe"))
        asked_s = min(c.arrived_s for c in told if c.action.startswith("Describe"))
        return {
            "of": str(world),
            "start_to_first_describe": round(asked_s - started_s, 4),
            "first_describe_to_last_answer": round(answered_s - asked_s, 4),
            "last_answer_to_first_request": round(calls[0].arrived_s - answered_s, 4),
        }


def moves(count: int, bucket: tuple[float, float] | None) -> Figures:
    """From the failure of the one host that carries so many routes until the last is moved.

    Every change takes EC2 `CHANGE_S`; `bound` is what the bucket allows at best.
    """
    world = World(count, 1, 2)
    bound_s = max(0.0, count - bucket[0]) / bucket[1] if bucket else 0.0
    ec2 = InstantEc2(world, Manner(change_s=CHANGE_S, bucket=bucket))
    with rig(ec2) as our:
        our.wait(lambda: is_ready(our.daemon), "ready")
        time.sleep(AT_REST_S[0])
        told_s = our.tell([world.addresses[0]])
        calls = our.moved(told_s, count, LIMIT_S + 1.5 * bound_s)
        tried = [c for c in ec2.calls() if c.action == "ReplaceRoute" and c.arrived_s >= told_s]
        return {
            "seconds": round(max(call.answered_s for call in calls) - told_s, 3),
            "bound": bound_s,
            "refused_calls": sum(not call.is_accepted for call in tried),
        }


def timed(act: Callable[[], Any], times: int) -> list[float]:
    found = []
    for _ in range(times):
        began_s = time.perf_counter()
        act()
        found.append(time.perf_counter() - began_s)
    return found


def summed_up(seconds: Sequence[float]) -> dict[str, float]:
    in_order = sorted(seconds)
    return {
        "runs": len(in_order),
        "min": round(in_order[0], 5),
        "median": round(statistics.median(in_order), 5),
        "p99": round(in_order[min(len(in_order) - 1, int(0.99 * len(in_order)))], 5),
        "max": round(in_order[-1], 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    arguments = parser.parse_args()
    sys.stdout.write(json.dumps(measure(arguments.runs), indent=1) + "\n")
    sys.stdout.write(f"load average {os.getloadavg()[0]:.1f}\n")


if __name__ == "__main__":
    main()
