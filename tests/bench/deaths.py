"""Failover at the limit: a host's death until every route of its CIDR has moved.

With many hosts, deaths follow each other in pools of hosts that one CIDR each may use, at random
moments and a little apart; no host has to recover. With two, each death waits until the last
one's victim has recovered; where that takes ten seconds, the kinds of death are measured at once,
each with a daemon, hosts and processes of its own.
"""

import multiprocessing
import random
import re
import signal
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from types import FrameType
from typing import Any, NoReturn

from tests.bench.crowd import PORT, TABLES, Crowd, Scene, scene
from tests.bench.effort import Effort
from tests.bench.figures import NotPossibleError, summed_up
from tests.bench.noise import noise
from vpcrouter.health.detection import worst_case_detection_s

POOLS = 4
APART_S = 0.7
REST_S = 1.0
SLOW_S = 0.5
ENDING = (signal.SIGINT, signal.SIGTERM)
GOAL_HOSTS = 5_000
GOAL_P99_S = 0.45
GOAL_ABOVE_S = 0.05
FALL = 3
MOVED = re.compile(r'event="route replaced" .*table=(\S+) was=(\S+) .*took_ms=([\d.]+)')
"""The last is from the monitor's verdict until EC2 had accepted."""
HOW = (
    "from just before the host's death (its packets dropped in another network namespace, or its "
    "listening socket closed) until a stand-in for EC2 that answers at once had answered the last "
    f"of {TABLES} tables' ReplaceRoute; deaths at random moments; one kind of death after another, "
    "but with 2 hosts at 1 s all at once"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to die, and the monitor that is to notice."""

    name: str
    monitor: str
    prefix: str
    is_silent: bool


KINDS = (
    Kind("ICMP silent", "icmpecho", "icmp_check", is_silent=True),
    Kind("TCP refused", "tcp", "tcp_check", is_silent=False),
    Kind("TCP silent", "tcp", "tcp_check", is_silent=True),
)


def measure(effort: Effort) -> dict[str, Any]:
    """Failovers of each kind, at each interval and number of hosts. Times in seconds."""
    cells: list[dict[str, Any]] = []
    for hosts, interval_s in effort.failovers:
        kinds = KINDS[: 1 if effort.is_short else None]
        is_mostly_waiting = hosts == 2 and interval_s >= SLOW_S
        measured = _at_once if is_mostly_waiting else map
        row = repeat(interval_s), repeat(hosts), repeat(effort.runs)
        cells += measured(cell, kinds, *row)
    return {"how": HOW, "cells": cells}


def _at_once(
    function: Callable[..., dict[str, Any]], *arguments: Iterable[Any]
) -> list[dict[str, Any]]:
    """As `map` does, with a process for each."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(KINDS), spawn, _heed_one_signal) as pool:
        try:
            return list(pool.map(function, *arguments))
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _heed_one_signal() -> None:
    """Whoever ends this process, or its group, ends it once: it has to clean up."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)
        signal.default_int_handler(number, frame)

    for each in ENDING:
        signal.signal(each, end)


def cell(kind: Kind, interval_s: float, hosts: int, runs: int) -> dict[str, Any]:
    """One kind of death, `runs` times. Raises NotPossibleError."""
    pool = 2 if hosts == 2 else -(-runs // POOLS) + 1
    world = Crowd(1 if hosts == 2 else POOLS, TABLES, hosts, pool)
    if hosts < world.cidrs * pool:
        raise NotPossibleError(f"{hosts} hosts are too few for {runs} runs")
    options: dict[str, Any] = {f"{kind.prefix}_interval": interval_s}
    if kind.monitor == "tcp":
        options["tcp_check_port"] = PORT
    before = noise()
    with scene(world, {kind.monitor: options}, accepting=kind.monitor == "tcp") as our:
        time.sleep(REST_S)
        said = our.daemon.log_path.stat().st_size
        act = _duel if hosts == 2 else _one_after_the_other
        killed: set[str] = set()
        samples = list(act(our, kind, interval_s, runs, killed))
        falsely = (our.failed() or set()) - killed
        after_s = _after_verdict_s(our, said)
    return {
        "kind": kind.name,
        "interval_s": interval_s,
        "fall": FALL,
        "hosts": hosts,
        "runs": runs,
        **bounds(kind, interval_s),
        **summed_up(samples),
        "after_verdict": summed_up(after_s),
        "falsely_failed": len(falsely),
        "samples": [round(sample, 4) for sample in samples],
        "noise": before,
        **_verdict(kind, interval_s, hosts, samples),
    }


def renewed(old: dict[str, Any], new: dict[str, Any], at: str) -> dict[str, Any]:
    """What was measured with some of its rows measured again, in a run that began `at`."""
    cells = {_row(cell): cell for cell in old.get("cells", ())}
    cells |= {_row(cell): {**cell, "at": at} for cell in new["cells"]}
    return {**new, "cells": list(cells.values())}


def _row(cell: dict[str, Any]) -> tuple[Any, ...]:
    return cell["interval_s"], cell["hosts"], cell["kind"]


def _after_verdict_s(our: Scene, start: int) -> list[float]:
    """From each verdict to each of its moves, as the log tells from `start` on."""
    with our.daemon.log_path.open("rb") as file:
        file.seek(start)
        text = file.read().decode()
    took_ms: dict[tuple[str, str], str] = {}
    for table, was, ms in MOVED.findall(text):
        took_ms.setdefault((table, was), ms)
    return [float(ms) / 1e3 for ms in took_ms.values()]


def bounds(kind: Kind, interval_s: float) -> dict[str, Any]:
    """Detection by theory: FALL probes an interval apart, the last one's time-out; and with
    `fastinter`, the worst that our settings allow."""
    timeout_s = min(0.4, 0.8 * interval_s) if kind.is_silent else 0.0
    fastinter_s = max(0.05, interval_s / 10)
    least, most = (FALL - 1) * interval_s + timeout_s, FALL * interval_s + timeout_s
    worst_s = worst_case_detection_s(interval_s, timeout_s, FALL, fastinter_s)
    return {
        "theory": {"min": round(least, 4), "max": round(most, 4)},
        "worst_case": round(worst_s, 4),
    }


def _verdict(kind: Kind, interval_s: float, hosts: int, samples: list[float]) -> dict[str, Any]:
    if hosts < GOAL_HOSTS or interval_s > 0.1:
        return {"goal": {}}
    most = bounds(kind, interval_s)["theory"]["max"] + GOAL_ABOVE_S
    goal = {"p99": GOAL_P99_S, "max": round(most, 4)}
    summary = summed_up(samples)
    return {"goal": goal, "met": all(summary[key] <= limit for key, limit in goal.items())}


def _kill(our: Scene, kind: Kind, victim: str) -> float:
    return our.hosts.fall_silent(victim) if kind.is_silent else our.hosts.refuse(victim)


def _one_after_the_other(
    our: Scene, kind: Kind, _interval_s: float, runs: int, killed: set[str]
) -> Iterable[float]:
    cidrs = list(our.world.pools)
    deaths: list[tuple[str, str, float]] = []
    for run in range(runs):
        time.sleep(random.uniform(0.7, 1.3) * APART_S)  # noqa: S311
        cidr = cidrs[run % POOLS]
        victim = _next_victim(our, cidr, killed)
        killed.add(victim)
        deaths.append((cidr, victim, _kill(our, kind, victim)))
    return [_took_s(our, cidr, victim, died_s) for cidr, victim, died_s in deaths]


def _next_victim(our: Scene, cidr: str, killed: set[str]) -> str:
    our.wait(lambda: our.target(cidr) not in (None, *killed), f"{cidr} at a host that lives")
    target = our.target(cidr)
    assert target is not None
    return target


def _took_s(our: Scene, cidr: str, victim: str, died_s: float) -> float:
    """Until every table had left `victim`."""

    def left() -> dict[str, float]:
        first: dict[str, float] = {}
        for call in our.ec2.changes_since(died_s):
            if call.cidr == cidr and call.interface != our.world.interfaces[victim]:
                first.setdefault(call.table, call.answered_s)
        return first

    our.wait(lambda: len(left()) == TABLES, f"{cidr} moved away from {victim}")
    return max(left().values()) - died_s


def _duel(
    our: Scene, kind: Kind, interval_s: float, runs: int, killed: set[str]
) -> Iterable[float]:
    (cidr,) = our.world.pools
    for _ in range(runs):
        our.wait(lambda: our.failed() == set(), "both healthy", pause_s=0.1)
        time.sleep(0.2 + random.uniform(0, interval_s))  # noqa: S311
        victim = our.target(cidr)
        assert victim is not None
        killed.add(victim)
        yield _took_s(our, cidr, victim, _kill(our, kind, victim))
        our.hosts.revive(victim)
