"""ICMP errors, and answers that are none: what they must not be taken for."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from tests.net.conftest import HOSTS_SIDE, BridgedNet, Net
from tests.net.matrix_rows import ROUTER
from tests.net.matrix_run import BUSY_S
from tests.net.monitor import MonitorProcess
from tests.net.rules import Damaged, Error, Rule, Silence, Unresolved, WrongChecksum
from tests.net.testbed import Testbed
from tests.waiting import wait_until
from vpcrouter.health.detection import worst_case_detection_s
from vpcrouter.monitoring.icmp import EchoProber

START_S = 15.0
PORT = 9022
HOSTS = ("198.18.0.1", "198.18.0.2", "198.18.0.3")
DYING, _, ALIVE = HOSTS
INTERVAL_S, TIMEOUT_S = 0.3, 0.25
"""A probe times out while no other host's is due, so the next one is to the same host."""
WORST_S = worst_case_detection_s(INTERVAL_S, TIMEOUT_S, 3, 0.05)


def monitor_of(net: Net, name: str) -> MonitorProcess:
    options: dict[str, Any] = {
        f"{name}_check_interval": INTERVAL_S,
        f"{name}_check_timeout": TIMEOUT_S,
    }
    own = (
        {"tcp_check_port": PORT} if name == "tcp" else {"http_check_url": f"http://{{host}}:{PORT}"}
    )
    return MonitorProcess(name, net.near, **options, **own)


def unreachable_messages(net: Net) -> int:
    """How many ICMP messages said so to the monitor's machine, its own kernel's among them."""
    with net.inside_near():
        lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, counts = (line.split() for line in lines if line.startswith("Icmp:"))
    return int(dict(zip(names, counts, strict=True))["InDestUnreachs"])


def told_more_than(net: Net, said: int) -> bool:
    return unreachable_messages(net) > said


def assert_death_is_seen(bed: Testbed, monitor: MonitorProcess) -> None:
    """One host falls silent; that is seen in time, and believed."""
    bed.rules({DYING: Silence()})
    monitor.expect("failed", lambda r: DYING in r.failed, WORST_S + BUSY_S)
    first = len(monitor.reports)
    monitor.watch(1.0)
    assert all(DYING in report.failed for _, report in monitor.reports[first:])
    assert DYING in monitor.last.failed
    assert not monitor.ever_unhealthy(frozenset({ALIVE}))


def test_tcp_sees_a_death_after_hosts_were_rejected_once(bridged: BridgedNet) -> None:
    with Testbed(bridged, PORT) as bed, monitor_of(bridged, "tcp") as monitor:
        bed.rules(dict.fromkeys(HOSTS, Error(kind=3, code=13, source=ROUTER)), times=1)
        monitor.use(*HOSTS)
        monitor.expect("healthy", lambda r: r.healthy == set(HOSTS), START_S)
        bed.wait_until_used(0)
        assert_death_is_seen(bed, monitor)


def test_tcp_sees_a_death_after_the_gateway_did_not_resolve(bridged: BridgedNet) -> None:
    """Our own kernel says that hosts are unreachable, of probes that have waited for ARP."""
    with Testbed(bridged, PORT) as bed, monitor_of(bridged, "tcp") as monitor:
        monitor.use(*HOSTS)
        monitor.expect("healthy", lambda r: r.healthy == set(HOSTS), START_S)
        bed.rules({HOSTS_SIDE: Unresolved()})
        bed.forget_neighbour(HOSTS_SIDE)
        monitor.expect("failed", lambda r: r.failed == set(HOSTS), WORST_S + BUSY_S)
        for _ in range(2):  # it gives up after 3 s
            said = unreachable_messages(bridged)
            wait_until(partial(told_more_than, bridged, said), 10.0, "said by our kernel")
        bed.rules({HOSTS_SIDE: None})
        monitor.expect("healthy again", lambda r: r.healthy == set(HOSTS), 2 * START_S)
        del monitor.reports[:-1]
        assert_death_is_seen(bed, monitor)


@pytest.mark.parametrize("name", ["tcp", "http"])
def test_a_way_that_is_said_to_be_none_fails_the_host(bridged: BridgedNet, name: str) -> None:
    """By a router's real kernel: no route (ICMP 3/0); and 3/9 and 3/2."""
    nowhere, prohibited, no_protocol = "192.0.2.1", *HOSTS[:2]
    lost = {nowhere, prohibited, no_protocol}
    with IPRoute(netns=bridged.near) as near:
        near.route("add", dst=f"{nowhere}/32", gateway=HOSTS_SIDE)
    with Testbed(bridged, PORT) as bed, monitor_of(bridged, name) as monitor:
        bed.rules({prohibited: Error(code=9, source=ROUTER), no_protocol: Error(code=2)})
        monitor.use(*lost, ALIVE)
        monitor.expect("judged", lambda r: r.failed == lost and r.healthy == {ALIVE}, START_S)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    "rule",
    [WrongChecksum(), Damaged(12), Damaged(24), Damaged(-1)],
    ids=["wrong", "12", "24", "-1"],
)
def test_icmpecho_takes_no_reply_with_a_wrong_checksum(
    bridged: BridgedNet, rule: Rule, fast: bool
) -> None:
    with bridged.inside_near():
        prober = EchoProber(fast=fast)
    seen: set[int] = set()
    try:
        with Testbed(bridged, PORT) as bed:
            bed.rules({DYING: rule}, times=2)
            prober.set_hosts(HOSTS)
            for first in (10, 20, 30):
                assert not prober.send(HOSTS, first)
                deadline_s = time.monotonic() + START_S
                while not {first + 1, first + 2} <= seen and time.monotonic() < deadline_s:
                    seen |= {serial for serial, answered, _ in prober.collect() or () if answered}
    finally:
        prober.close()
    assert seen == {11, 12, 21, 22, 30, 31, 32}
