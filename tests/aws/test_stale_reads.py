"""Reads that lag behind."""

from __future__ import annotations

import time

import pytest

from tests.waiting import wait_until

from .asserting import CIDR, A, B, route_to
from .network import Network

pytestmark = pytest.mark.timeout(60)


def test_route_state_can_lag_behind(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.ec2.settings(stale_s=0.6)
    net.replace_route(table, CIDR, B)
    replaced = time.monotonic()
    net.stop(B)
    assert route_to(net, table)["NetworkInterfaceId"] == net.eni_of[A]
    assert route_to(net, table)["State"] == "active"
    wait_until(
        lambda: route_to(net, table)["NetworkInterfaceId"] == net.eni_of[B], 5, "a replaced route"
    )
    assert time.monotonic() - replaced >= 0.5
    wait_until(lambda: route_to(net, table)["State"] == "blackhole", 5, "a blackhole")


def test_reads_stop_lagging_when_told(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.ec2.settings(stale_s=60)
    net.delete_route(table, CIDR)
    assert net.routes(CIDR)[table] == A
    net.ec2.settings(stale_s=0)
    assert net.routes(CIDR)[table] is None
