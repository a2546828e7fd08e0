"""Failover: a host's death until every table has been changed.

A CIDR has one host more than there are runs, and each run kills the one that it points at. So
one daemon serves all runs, no host has to recover, and all runs begin alike: the daemon at rest,
every other host healthy since its start.
"""

import os
import time
from collections.abc import Callable

from examples.demo import hosts as host_processes
from tests.bench import namespaces
from tests.bench.figures import NotPossibleError, Sample, Samples
from tests.bench.rig import CIDR, Rig, addresses, random_phase, rig


def refused(runs: int) -> Samples:
    """The host's process is killed: connections to its port are refused."""
    hosts = addresses(runs + 1, "127.0")
    with rig(hosts) as our, host_processes.running(hosts) as (port, processes):
        our.write_spec({CIDR: hosts})
        our.configure(port)
        with our.running():
            return {"refused": [_one(our, lambda host: processes[host].kill()) for _ in hosts[1:]]}


def silent(runs: int) -> Samples:
    """The host's address is taken away behind a veth pair: echo requests are not answered."""
    if os.geteuid() != 0:
        raise NotPossibleError("needs root, for network namespaces")
    hosts = addresses(runs + 1, "198.18")
    with namespaces.pair(hosts) as far, rig(hosts, "198.18.0.0/16") as our:
        our.write_spec({CIDR: hosts})
        our.configure(0, {"icmpecho": {"icmp_check_interval": 1}})
        with our.running():
            return {"silent": [_one(our, far.silence) for _ in hosts[1:]]}


def _one(our: Rig, kill: Callable[[str], float]) -> Sample:
    """`kill` takes a host and returns the monotonic time just before its death."""
    random_phase()
    victim = our.target()
    since = our.mark()
    died_s = kill(victim)
    our.daemon.check()
    assert died_s <= time.monotonic()
    return our.moved(since, died_s, victim)
