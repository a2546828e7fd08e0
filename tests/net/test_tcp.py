"""The tcp monitor where packets can be lost, which loopback does not do."""

import socket
import statistics
import time
from typing import Any

from tests.net.conftest import Net
from tests.net.monitor import MonitorProcess

START_S = 15.0
PORT = 9022
QUICK: dict[str, Any] = {
    "tcp_check_port": PORT,
    "tcp_check_interval": 0.3,
    "tcp_check_timeout": 0.2,
}
HOSTS_6 = tuple(f"fd18::{i:x}" for i in range(1, 51))
HOSTS = tuple(f"198.18.0.{i}" for i in range(1, 101))


def listen(net: Net, family: int = socket.AF_INET) -> socket.socket:
    with net.inside_far():
        return socket.create_server(("", PORT), family=family, backlog=4096)


def test_ipv6_hosts_beside_others(net: Net) -> None:
    with (
        listen(net),
        listen(net, socket.AF_INET6) as over_6,
        MonitorProcess("tcp", net.near, **QUICK) as monitor,
    ):
        monitor.use(*HOSTS_6, *HOSTS)
        monitor.expect("healthy", lambda r: r.healthy == {*HOSTS, *HOSTS_6}, START_S)
        over_6.close()
        monitor.expect("failed", lambda r: r.failed == set(HOSTS_6), 5.0)
        assert not monitor.ever_unhealthy(frozenset(HOSTS))


def test_silent_hosts_fail_in_time(net: Net) -> None:
    """At an interval of 1 s, packets dropped on their way."""
    with (
        listen(net),
        MonitorProcess("tcp", net.near, tcp_check_port=PORT, tcp_check_interval=1.0) as m,
    ):
        m.use(*HOSTS)
        m.expect("healthy", lambda r: len(r.healthy) == 100, START_S)
        m.watch(1.5)
        net.blackhole()
        died_s = time.monotonic()
        m.expect("failed", lambda r: len(r.failed) == 100, 10.0)
        took_s = [at_s - died_s for at_s in m.last.failed_since_at.values()]
        print(f"median {statistics.median(took_s):.3f} s, max {max(took_s):.3f} s")  # noqa: T201
        assert statistics.median(took_s) <= 1.6
        assert max(took_s) <= 1.9 + 0.5


def test_our_own_uplink_down_fails_nothing(net: Net) -> None:
    with listen(net), MonitorProcess("tcp", net.near, **QUICK) as monitor:
        monitor.use(*HOSTS)
        monitor.expect("healthy", lambda r: len(r.healthy) == 100, START_S)
        net.uplink("down")
        monitor.expect("unknown", lambda r: not r.healthy, 5.0)
        monitor.watch(1.5)
        net.uplink("up")
        net.add_gateway()
        monitor.expect("healthy again", lambda r: len(r.healthy) == 100, 10.0)
        assert not monitor.ever_failed()


def test_silent_hosts_cost_no_other_its_turn(net: Net) -> None:
    """More of them than there may be connections pending."""
    live = tuple(f"10.77.2.{i}" for i in range(1, 41))
    silent = tuple(f"198.18.{i >> 8}.{i & 255}" for i in range(1, 2001))
    net.address("add", *live)
    net.blackhole()
    with listen(net), MonitorProcess("tcp", net.near, descriptors=512, **QUICK) as monitor:
        monitor.use(*live)
        monitor.expect("healthy", lambda r: r.healthy == set(live), START_S)
        monitor.use(*live, *silent)
        # Chance decides which of them find room three times in a row.
        monitor.expect("judged", lambda r: len(r.failed) > 20, 3 * START_S)
        monitor.watch(4.0)
        assert not monitor.ever_unhealthy(frozenset(live))


def test_answers_that_never_came_are_told_of(net: Net) -> None:
    """By the kernel's counters, were the monitor ever to take something else for an answer."""
    far_away = "198.18.0.9"
    with listen(net), MonitorProcess("tests.net.credulous", net.near, **QUICK) as monitor:
        monitor.use(*HOSTS[:3])
        monitor.expect("healthy", lambda r: len(r.healthy) == 3, START_S)
        monitor.watch(3.0)
        assert not monitor.last.doubt
        net.answer_as_router(far_away, "unreachable")
        net.answer_as_router(HOSTS[0], "blackhole")
        monitor.use(*HOSTS[:3], far_away)
        monitor.expect("in doubt", lambda r: "the kernel received" in r.doubt, START_S)
