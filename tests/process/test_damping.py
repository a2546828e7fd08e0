"""A host that fails again and again gets no routes, unless no other is left."""

import os
import signal

import pytest

from tests.aws.network import Network
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import Daemon, Hosts
from tests.process.test_routing import wait_target
from tests.waiting import wait_until

A, *OTHERS = HOSTS
pytestmark = pytest.mark.usefixtures("net")


def wait_failed(daemon: Daemon, *expected: str) -> None:
    wait_until(lambda: daemon.json("/ips")["failed_ips"] == sorted(expected), 20, daemon.log)


def test_a_flapping_host_is_the_last_resort(
    net: Network, hosts: Hosts, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon("--flap_count", "2", "--flap_window_s", "3000")
    wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    for _ in range(2):
        hosts.kill(A)
        wait_failed(daemon, A)
        hosts.revive(A)
        wait_failed(daemon)
    daemon.wait_log("host damped: failed too often")
    assert list(daemon.json("/ips")["damped_ips"]) == [A]
    assert list(daemon.json("/health")["damped_ips"]) == [A]
    os.kill(daemon.worker_pids()["reconciler"], signal.SIGKILL)
    daemon.wait_log('worker started" subject=reconciler', count=2)
    daemon.wait_healthy()
    first = wait_target(net, set(OTHERS))
    last = (set(OTHERS) - {first}).pop()
    hosts.kill(first)
    wait_target(net, {last})
    hosts.kill(last)
    wait_target(net, {A})
    wait_failed(daemon, *OTHERS)
    hosts.revive(first)
    wait_target(net, {first})
