"""Worker deaths leak nothing: /proc before many of them is compared with /proc after them.

`make soak` lets a thousand die.
"""

import json
import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.aws.network import Network
from tests.needs import ROOT, needs
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import Daemon, Hosts, descendants
from tests.process.routes import wait_target
from tests.waiting import wait_until

DEATHS = int(os.environ.get("VPCROUTER_DEATHS", "20"))
WARM_UP = 10
MORE_MEMORY_KB = 2048
"""What the allocator keeps: over a thousand deaths, 2 KiB for each would be too many."""
ROUND_S = 30.0


@dataclass(frozen=True)
class Held:
    """What a supervisor holds."""

    descriptors: int
    threads: int
    processes: int
    memory_kb: int


def held(pid: int) -> Held:
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return Held(
        descriptors=len(list((proc / "fd").iterdir())),
        threads=int(status["Threads"]),
        processes=len(descendants(pid)),
        memory_kb=int(status["VmRSS"].split()[0]),
    )


def die(daemon: Daemon, deaths: int) -> None:
    """Kill all workers at once, again and again, each time once all are running."""
    for _ in range(0, deaths, len(daemon.worker_pids())):
        before = daemon.worker_pids()
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        wait_until(partial(_are_new, daemon, before), ROUND_S, daemon.log)


def _are_new(daemon: Daemon, old: dict[str, int]) -> bool:
    try:
        status, body = daemon.get("/")
    except ConnectionError:  # the api was killed while it answered
        return False
    return status == 200 and all(
        worker["state"] == "RUNNING" and worker["pid"] != old[name]
        for name, worker in json.loads(body)["workers"].items()
    )


@needs(ROOT)  # the supervisor's descriptors are hidden from its user
@pytest.mark.timeout(120 + DEATHS * 3)
def test_deaths_leak_nothing(net: Network, hosts: Hosts, start_daemon: StartDaemon) -> None:
    daemon = start_daemon()
    first = wait_target(net, set(HOSTS))
    daemon.wait_running()
    die(daemon, WARM_UP)
    before = held(daemon.pid)
    die(daemon, DEATHS)
    after = held(daemon.pid)
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads
    assert after.processes == before.processes
    assert after.memory_kb - before.memory_kb < MORE_MEMORY_KB
    hosts.kill(first)
    wait_target(net, set(HOSTS) - {first})
