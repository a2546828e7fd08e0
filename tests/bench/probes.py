"""CPU time a probe costs: our monitors beside fping, icmplib and multiping, in turn.

The network is a veth pair, so the time includes the kernel's work on both sides of it.
"""

import importlib.util
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import namespaces
from tests.bench.crowd import PORT, Crowd, Hosts
from tests.bench.effort import Effort
from tests.bench.noise import Cpu, noise
from tests.net.monitor import MonitorProcess

SERIES = 3
INTERVAL_S = 1.0
READY_S = 30.0
SLOW = {"icmplib": 1_000}
"""So many hosts for what takes a socket each."""
GOAL_HOSTS = 10_000
GOAL_ICMP_US = 16.0
GOAL_OF_FPING = 0.8
GOAL_TCP_US = 70.0
FPING = re.compile(r"= (\d+)/(\d+)/")
HOW = (
    "CPU time of the process (user and system) for each probe that the hosts' side counted; each "
    f"prober in turn, {SERIES} times, and the median of these; {INTERVAL_S:g} s a round"
)
Series = tuple[float, int, int]
"""CPU seconds, probes, answers."""


def measure(effort: Effort) -> dict[str, Any]:
    """CPU microseconds a probe, probes a core and second, and the share that was answered.

    Raises NotPossibleError where namespaces can't be made.
    """
    world = Crowd(0, 0, effort.probed_hosts)
    before = noise()
    with (
        tempfile.TemporaryDirectory(prefix="vpcrouter-bench-") as folder,
        namespaces.pair(()) as far,
    ):
        files = {size: Path(folder) / f"hosts-{size}" for size in {*SLOW.values(), world.hosts}}
        for size, path in files.items():
            path.write_text("\n".join(world.addresses[:size]) + "\n", encoding="ascii")
        hosts = Hosts(far, (), accepting=False)
        hosts.accept_for_all()
        try:
            probers = dict(_probers(world, far, files, effort.rounds))
            taken: dict[str, list[Series]] = {name: [] for name in probers}
            for _ in range(SERIES):
                for name, probe in probers.items():
                    taken[name].append(probe())
        finally:
            hosts.close()
    found = {name: _summary(series) for name, series in taken.items()}
    return {
        "how": HOW,
        "hosts": world.hosts,
        "noise": before,
        "probers": found,
        **_missing(),
        **(_verdict(found) if world.hosts >= GOAL_HOSTS else {"goal": {}}),
    }


def _probers(
    world: Crowd, far: namespaces.FarSide, files: dict[int, Path], rounds: int
) -> Iterable[tuple[str, Callable[[], Series]]]:
    echoes = partial(far.received, "Icmp", "InEchos")
    yield "icmpecho", partial(_ours, "icmpecho", world, echoes, rounds)
    if shutil.which("fping"):
        yield "fping", partial(_fping, files[world.hosts], world.hosts, rounds)
    for name in ("icmplib", "multiping"):
        if importlib.util.find_spec(name):
            count = min(SLOW.get(name, world.hosts), world.hosts)
            yield name, partial(_rival, name, files[count], rounds, echoes)
    opened = partial(namespaces.counted, "Tcp", "ActiveOpens")
    yield "tcp", partial(_ours, "tcp", world, opened, rounds)


def _ours(monitor: str, world: Crowd, count: Callable[[], int], rounds: int) -> Series:
    """A real monitor's process, in the middle of its work."""
    options: dict[str, Any] = {f"{monitor.removesuffix('echo')}_check_interval": INTERVAL_S}
    if monitor == "tcp":
        options["tcp_check_port"] = PORT
    with MonitorProcess(monitor, **options) as ours:
        ours.use(*world.addresses)
        ours.expect("healthy", lambda r: len(r.healthy) == world.hosts, READY_S)
        assert ours.process.pid is not None
        ours.watch(2 * INTERVAL_S)
        cpu, before = Cpu(ours.process.pid), count()
        ours.watch(rounds * INTERVAL_S)
        taken_s, probes = cpu.seconds, count() - before
        lost = len(ours.last.failed)
        return taken_s, probes, probes if not lost else 0


def _fping(path: Path, hosts: int, rounds: int) -> Series:
    """Each host once an interval, spread over it."""
    apart_ms = 0.9 * INTERVAL_S * 1e3 / hosts
    period = ["-p", str(round(INTERVAL_S * 1e3)), "-i", f"{apart_ms:.3f}", "-t", "500"]
    command = ["fping", "-q", "-c", str(rounds), *period, "-f", str(path)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counts = [(int(sent), int(back)) for sent, back in FPING.findall(done.stderr)]
    taken_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return taken_s, sum(sent for sent, _ in counts), sum(back for _, back in counts)


def _rival(name: str, path: Path, rounds: int, count: Callable[[], int]) -> Series:
    before = count()
    command = [sys.executable, str(Path(__file__).with_name("rival.py")), name, str(path)]
    done = subprocess.run([*command, str(rounds)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    time.sleep(0.1)
    return told["cpu_s"], count() - before, told["answers"]


def _summary(series: list[Series]) -> dict[str, Any]:
    each_us = [1e6 * cpu_s / max(1, probes) for cpu_s, probes, _ in series]
    middle_us = statistics.median(each_us)
    return {
        "cpu_us": round(middle_us, 2),
        "a_core_and_s": round(1e6 / middle_us) if middle_us else None,
        "answered": round(sum(s[2] for s in series) / max(1, sum(s[1] for s in series)), 4),
        "probes": sum(probes for _, probes, _ in series),
        "samples_us": [round(each, 2) for each in each_us],
    }


def _missing() -> dict[str, Any]:
    absent = [name for name in ("icmplib", "multiping") if not importlib.util.find_spec(name)]
    return {"not_here": [*absent, *([] if shutil.which("fping") else ["fping"])]}


def _verdict(found: dict[str, Any]) -> dict[str, Any]:
    goal = {"icmpecho": GOAL_ICMP_US, "tcp": GOAL_TCP_US}
    if "fping" in found:
        of_fping = GOAL_OF_FPING * found["fping"]["cpu_us"]
        goal["icmpecho"] = round(min(GOAL_ICMP_US, of_fping), 2)
    met = all(found[name]["cpu_us"] <= limit for name, limit in goal.items())
    return {"goal": goal, "met": met}
