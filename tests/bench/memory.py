"""Memory of the whole daemon: the proportional set size of each of its processes."""

import re
import time
from pathlib import Path
from typing import Any

from examples.demo.daemon import Daemon
from tests.bench.crowd import PORT, TABLES, Crowd, scene
from tests.bench.effort import Effort
from tests.bench.noise import noise

HOSTS = 1_000
REST_S = 10.0
GOAL_MIB = 250.0
MORE_MIB = 5.0
"""So much the allocator may keep of what an hour of work has needed at times."""
HOW = (
    f"smaps_rollup's Pss of every process of a daemon with {HOSTS:,} hosts, {TABLES} tables and "
    f"the monitors icmpecho and tcp at 1 s, {REST_S:g} s after it was ready, and again "
)
Sizes = dict[str, float]


def measure(effort: Effort) -> dict[str, Any]:
    """MiB by process, and in all. Raises NotPossibleError where namespaces can't be made."""
    before = noise()
    monitors = {
        "icmpecho": {"icmp_check_interval": 1},
        "tcp": {"tcp_check_interval": 1, "tcp_check_port": PORT},
    }
    with scene(Crowd(4, TABLES, HOSTS, 100), monitors, accepting=True) as our:
        time.sleep(REST_S)
        first = sizes(our.daemon)
        time.sleep(effort.memory_s)
        later = sizes(our.daemon)
    total = round(sum(first.values()), 1)
    more = round(sum(later.values()) - total, 1)
    return {
        "how": f"{HOW}{effort.memory_s:,.0f} s later",
        "noise": before,
        "mib": dict(sorted(first.items(), key=lambda item: -item[1])),
        "later_mib": later,
        "total": total,
        "more": more,
        "goal": {"total": GOAL_MIB, "more": MORE_MIB},
        "met": total <= GOAL_MIB and more <= MORE_MIB,
    }


def sizes(daemon: Daemon) -> Sizes:
    """MiB by worker."""
    _, root = daemon.ask("/")
    name_of = {worker["pid"]: name for name, worker in root["workers"].items()}
    name_of[daemon.pid] = "supervisor"
    found: Sizes = {}
    for pid in descendants(daemon.pid):
        name = name_of.get(pid, "others")
        found[name] = round(found.get(name, 0.0) + pss_mib(pid), 1)
    return found


def descendants(pid: int) -> list[int]:
    """`pid` and all that it has started, directly or not."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def pss_mib(pid: int) -> float:
    """The process's memory, what it shares with others divided among them."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
