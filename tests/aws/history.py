"""What the route tables looked like: for describes that show an old state."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from moto.ec2.models import ec2_backends

# What DescribeRouteTables shows of a route.
ROUTE_ATTRIBUTES = (
    "carrier_gateway_id",
    "destination_cidr_block",
    "destination_ipv6_cidr_block",
    "destination_prefix_list_id",
    "egress_only_internet_gateway_id",
    "gateway_id",
    "instance_id",
    "instance_owner_id",
    "ip_address",
    "nat_gateway_id",
    "network_interface_id",
    "origin",
    "state",
    "transit_gateway_id",
    "vpc_peering_connection_id",
)


class RouteHistory:
    """What the route tables looked like, for as long as reads are asked to lag behind.

    Guarded by the caller: the WSGI layer serialises every call into moto.
    """

    def __init__(self) -> None:
        self.stale_s = 0.0
        self._seen: deque[tuple[float, dict[str, list[SimpleNamespace]]]] = deque()

    def lag(self, stale_s: float) -> None:
        """Make reads lag by `stale_s` seconds; history starts now, 0 ends it."""
        self.stale_s = stale_s
        if stale_s <= 0:
            self._seen.clear()
        elif not self._seen:
            self.record()

    def record(self) -> None:
        """Note the present state; to be called after everything that may have changed it."""
        if self.stale_s <= 0:
            return
        now = time.monotonic()
        self._seen.append((now, {t.id: [_frozen(r) for r in t.live_routes] for t in _tables()}))
        while len(self._seen) > 1 and self._seen[1][0] <= now - self.stale_s:
            self._seen.popleft()

    def routes(self, table: Any) -> list[Any]:
        """The table's routes `stale_s` ago; of a younger table, the present ones."""
        shown: list[Any] = table.live_routes
        if self.stale_s > 0:
            horizon = time.monotonic() - self.stale_s
            for index, (at, tables) in enumerate(self._seen):
                if index == 0 or at <= horizon:
                    shown = tables.get(table.id, table.live_routes)
        return shown


HISTORY = RouteHistory()


def _frozen(route: Any) -> SimpleNamespace:
    return SimpleNamespace(**{name: getattr(route, name, None) for name in ROUTE_ATTRIBUTES})


def _tables() -> Iterator[Any]:
    """Every route table of every account and region in use."""
    for _account, _region, backend in ec2_backends.iter_backends():
        found: Any = backend
        yield from found.route_tables.values()
