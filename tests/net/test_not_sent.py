"""What our own kernel refuses to send says nothing of a host: it becomes unknown, never failed."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs
from tests.net.conftest import BridgedNet, Net
from tests.net.matrix_run import BUSY_S
from tests.net.monitor import MonitorProcess
from tests.net.rules import Silence
from tests.net.testbed import Testbed
from vpcrouter.health.detection import worst_case_detection_s
from vpcrouter.monitoring.connect import RESET_AT_CLOSE

START_S = 15.0
PORT = 9022
HOST, OTHER = "198.18.0.1", "198.18.0.2"
INTERVAL_S, TIMEOUT_S = 0.3, 0.2
WORST_S = worst_case_detection_s(INTERVAL_S, TIMEOUT_S, 3, 0.05)
PORTS = range(40_000, 40_016)
"""More than there are probes under way to one host."""


def monitor_of(net: Net, name: str, **options: Any) -> MonitorProcess:
    prefix = "icmp" if name == "icmpecho" else name
    times = {"check_interval": INTERVAL_S, "check_timeout": TIMEOUT_S}
    options |= {f"{prefix}_{option}": value for option, value in times.items()}
    return MonitorProcess(name, net.near, **options)


@contextlib.contextmanager
def no_port_left(net: Net) -> Iterator[None]:
    """Connections from all ports that probes are made from, to one host."""
    with contextlib.ExitStack() as stack, net.inside_near():
        for _ in PORTS:
            sock = stack.enter_context(socket.create_connection((HOST, PORT), START_S))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)  # no TIME_WAIT
        with pytest.raises(OSError, match="Cannot assign requested address"):
            socket.create_connection((HOST, PORT), START_S)
        yield


def test_tcp_without_a_free_port(bridged: BridgedNet) -> None:
    """EADDRNOTAVAIL, for one host."""
    with bridged.inside_near():
        ports = f"{PORTS[0]} {PORTS[-1]}"
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(ports)
    with Testbed(bridged, PORT) as bed, monitor_of(bridged, "tcp", tcp_check_port=PORT) as monitor:
        with no_port_left(bridged):
            monitor.use(HOST, OTHER)
            monitor.expect("healthy", lambda r: OTHER in r.healthy, START_S)
            monitor.watch(4 * INTERVAL_S)
            assert monitor.last.healthy == {OTHER}
            assert not monitor.last.failed
        monitor.expect("healthy", lambda r: r.healthy == {HOST, OTHER}, START_S)
        assert not monitor.ever_failed()
        bed.rules({HOST: Silence()})
        monitor.expect("failed", lambda r: r.failed == {HOST}, WORST_S + BUSY_S)
        assert not monitor.ever_unhealthy(frozenset({OTHER}))


@needs("nft")
def test_icmpecho_that_our_own_firewall_forbids(bridged: BridgedNet) -> None:
    """EPERM. What it drops of tcp's, the kernel does not tell."""

    def nft(command: str) -> None:
        with bridged.inside_near():
            subprocess.run(["nft", command], check=True)

    with Testbed(bridged, PORT) as bed, monitor_of(bridged, "icmpecho") as monitor:
        monitor.use(HOST, OTHER)
        monitor.expect("healthy", lambda r: r.healthy == {HOST, OTHER}, START_S)
        nft("add table ip t; add chain ip t o { type filter hook output priority 0; }")
        nft(f"add rule ip t o ip daddr {HOST} icmp type echo-request drop")
        monitor.expect("unknown", lambda r: r.healthy == {OTHER}, WORST_S + BUSY_S)
        monitor.watch(4 * INTERVAL_S)
        assert monitor.last.healthy == {OTHER}
        nft("delete table ip t")
        monitor.expect("healthy", lambda r: r.healthy == {HOST, OTHER}, START_S)
        assert not monitor.ever_failed()
        bed.rules({HOST: Silence()})
        monitor.expect("failed", lambda r: r.failed == {HOST}, WORST_S + BUSY_S)
        assert not monitor.ever_unhealthy(frozenset({OTHER}))
