"""Hosts called failed that were not, in millions of probes: idle, and with every core busy."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from tests.bench import namespaces
from tests.bench.crowd import Crowd, Hosts
from tests.bench.effort import Effort
from tests.bench.noise import noise
from tests.net.monitor import MonitorProcess

HOSTS = 4_000
INTERVAL_S = 0.1
READY_S = 30.0
STEP_S = 1.0
LIMIT_OF_TIME = 5
"""So many times as long as the probes should take, they may."""
SPIN = "while True: pass"
HOW = (
    f"icmpecho with {HOSTS:,} hosts at {INTERVAL_S:g} s, which all answer, in another network "
    "namespace; counted are probes that arrived there, and hosts that any report called failed "
    "or no longer healthy; busy: an endless loop for each core"
)


def measure(effort: Effort) -> dict[str, Any]:
    """Counts. Raises NotPossibleError where namespaces can't be made."""
    return {
        "how": HOW,
        "goal": {"falsely_failed": 0},
        "idle": watched(effort.watched_probes),
        "busy": _busily(effort.watched_probes),
    }


def _busily(probes: int) -> dict[str, Any]:
    with _spinning():
        return watched(probes)


def watched(probes: int) -> dict[str, Any]:
    """Watch so many probes."""
    world = Crowd(0, 0, HOSTS)
    before = noise()
    with namespaces.pair(()) as far:
        hosts = Hosts(far, (), accepting=False)
        with (
            contextlib.closing(hosts),
            MonitorProcess("icmpecho", icmp_check_interval=INTERVAL_S) as ours,
        ):
            ours.use(*world.addresses)
            ours.expect("healthy", lambda r: len(r.healthy) == HOSTS, READY_S)
            assert ours.process.pid is not None
            policy = os.sched_getscheduler(ours.process.pid) & ~os.SCHED_RESET_ON_FORK
            first, began_s = far.received("Icmp", "InEchos"), time.monotonic()
            until_s = began_s + LIMIT_OF_TIME * probes * INTERVAL_S / HOSTS
            while (sent := far.received("Icmp", "InEchos") - first) < probes:
                ours.watch(STEP_S)
                if time.monotonic() > until_s:
                    break
            took_s = time.monotonic() - began_s
            return {
                "probes": sent,
                "a_second": round(sent / took_s),
                "falsely_failed": len(ours.ever_failed()),
                "not_healthy": len(ours.ever_unhealthy(frozenset(world.addresses))),
                "is_real_time": policy == os.SCHED_FIFO,
                "noise": before,
            }


@contextlib.contextmanager
def _spinning() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", SPIN]))
            stack.callback(process.kill)
        yield
