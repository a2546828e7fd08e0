"""moto's route tables and routes, corrected to EC2's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

from moto.ec2.models import ec2_backends
from moto.ec2.models import instances as moto_instances
from moto.ec2.models import route_tables as moto_routes

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
    "nat_gateway_id",
    "network_interface_id",
    "origin",
    "state",
    "transit_gateway_id",
    "vpc_peering_connection_id",
)
TARGET_ATTRIBUTES = (
    "gateway",
    "instance",
    "nat_gateway",
    "egress_only_igw",
    "transit_gateway",
    "interface",
    "vpc_pcx",
    "carrier_gateway",
    "vpc_endpoint_id",
)


class Route(moto_routes.Route):
    """A route whose target and state follow its interface."""

    # EC2 shows a route's interface, its instance and that instance's owner, however it was made.
    @property
    def _carrier(self) -> moto_instances.Instance | None:
        return self.interface.instance if self.interface else None

    @property
    def instance_id(self) -> str | None:
        return self._carrier.id if self._carrier else None

    @property
    def instance_owner_id(self) -> str | None:
        return self._carrier.owner_id if self._carrier else None

    # EC2 shows `blackhole` when the interface is gone or detached, or its instance does not run.
    @property
    def state(self) -> str:
        if self.interface is None:
            return "active"
        if self.interface.id not in self.interface.ec2_backend.enis or self._carrier is None:
            return "blackhole"
        return "active" if self._carrier.is_running() else "blackhole"

    # EC2: the target of the local route can be replaced, and given back (User Guide, "Replace or
    # restore the target for a local route").
    @property
    def gateway_id(self) -> str | None:
        if any(getattr(self, name) for name in TARGET_ATTRIBUTES if name != "gateway"):
            return self.vpc_endpoint_id
        return "local" if self.local else super().gateway_id

    def point_at(self, **target: Any) -> None:
        """Point at this target and at nothing else; a local route without one is local again."""
        for name in TARGET_ATTRIBUTES:
            setattr(self, name, target.get(name))


class PropagatedRoute(Route):
    """A route that a virtual private gateway propagates: no call of a user's can change it."""

    def __init__(self, table: RouteTable, cidr: str) -> None:
        super().__init__(table, cidr, None, gateway=table.ec2_backend.create_vpn_gateway())
        # Static and propagated routes of one destination live side by side in EC2.
        self.id = f"{self.id}~propagated"

    @property
    def origin(self) -> str:
        return "EnableVgwRoutePropagation"


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
        self._seen.append((now, {t.id: [_frozen(r) for r in t.live_routes] for t in all_tables()}))
        while len(self._seen) > 1 and self._seen[1][0] <= now - self.stale_s:
            self._seen.popleft()

    def routes(self, table: RouteTable) -> list[Any]:
        """The table's routes `stale_s` ago; of a younger table, the present ones."""
        shown: list[Any] = table.live_routes
        if self.stale_s > 0:
            horizon = time.monotonic() - self.stale_s
            for index, (at, tables) in enumerate(self._seen):
                if index == 0 or at <= horizon:
                    shown = tables.get(table.id, table.live_routes)
        return shown


HISTORY = RouteHistory()


def _frozen(route: moto_routes.Route) -> SimpleNamespace:
    return SimpleNamespace(**{name: getattr(route, name, None) for name in ROUTE_ATTRIBUTES})


class RouteTable(moto_routes.RouteTable):
    """A route table whose shown routes may lag, and which knows EC2's filters."""

    _ROUTE_FILTERS: ClassVar = {
        "route.destination-cidr-block": "destination_cidr_block",
        "route.destination-ipv6-cidr-block": "destination_ipv6_cidr_block",
        "route.destination-prefix-list-id": "destination_prefix_list_id",
        "route.gateway-id": "gateway_id",
        "route.instance-id": "instance_id",
        "route.origin": "origin",
        "route.state": "state",
    }

    @property
    def live_routes(self) -> list[moto_routes.Route]:
        return list(self._routes.values())

    # EC2 is eventually consistent: a describe may show old routes.
    @property
    def routes(self) -> list[Any]:
        return HISTORY.routes(self)

    # EC2 shows the gateway, of either kind, that a gateway route table is associated with.
    @property
    def associations(self) -> list[dict[str, Any]]:
        shown = super().associations
        for item in shown:
            target = self._associations.get(item["RouteTableAssociationId"], "")
            if target.startswith("vgw-"):
                item["GatewayId"] = target
        return shown

    @property
    def gateway_ids(self) -> list[str]:
        return [to for to in self._associations.values() if not to.startswith("subnet-")]

    @property
    def subnet_ids(self) -> list[str]:
        return [to for to in self._associations.values() if to.startswith("subnet-")]

    # EC2 filters by route state, origin, instance, IPv6 destination, prefix list, and by the
    # gateways of associations too.
    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name == "association.gateway-id":
            return self.gateway_ids
        if filter_name == "association.subnet-id":
            return self.subnet_ids
        attribute = self._ROUTE_FILTERS.get(filter_name)
        if attribute is None:
            return super().get_filter_value(filter_name, method_name)
        return [value for r in self.routes if (value := getattr(r, attribute)) is not None]


def all_tables() -> Iterator[RouteTable]:
    """Every route table of every account and region in use."""
    for _account, _region, backend in ec2_backends.iter_backends():
        yield from backend.route_tables.values()  # type: ignore[attr-defined]


def table_of(table_id: str) -> RouteTable:
    """The table with this id.

    Raises:
        LookupError: there is none.
    """
    for table in all_tables():
        if table.id == table_id:
            return table
    raise LookupError(table_id)
