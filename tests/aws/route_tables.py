"""moto's route tables and routes, corrected to EC2's."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any, ClassVar

from moto.ec2.models import ec2_backends
from moto.ec2.models import instances as moto_instances
from moto.ec2.models import route_tables as moto_routes
from moto.ec2.models import vpn_gateway as moto_vpn_gateways

from .account import ACCOUNT
from .history import HISTORY

# Derived: the state of a route lags behind its instance's, but never runs ahead.
UP = ("running", "stopping", "shutting-down")
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

    # EC2 shows `blackhole` when the interface is gone or detached, or its instance does not run;
    # when the gateway isn't attached to the VPC (API Reference, Route), and for a deleted NAT
    # gateway ("Troubleshoot NAT gateways").
    @property
    def state(self) -> str:
        if self.nat_gateway is not None:
            return "active" if self.nat_gateway.state == "available" else "blackhole"
        if self.interface is None:
            gateway = self.gateway
            if gateway is None or gateway.id.startswith("vpce-"):
                return "active"
            return "active" if is_attached(gateway, self.route_table.vpc_id) else "blackhole"
        if self.interface.id not in self.interface.ec2_backend.enis:
            return "blackhole"
        if self._carrier is None:
            return "active" if self.interface.attachment else "blackhole"
        return "active" if self._carrier.state in UP else "blackhole"

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

    def __init__(self, table: RouteTable, cidr: str, gateway: Any) -> None:
        super().__init__(table, *families(cidr), gateway=gateway)

    @property
    def origin(self) -> str:
        return "EnableVgwRoutePropagation"


class AdvertisedRoute(Route):
    """A route that VPC Route Server put here: no call of a user's can change it."""

    def __init__(self, table: RouteTable, cidr: str, interface: Any, state: str | None) -> None:
        super().__init__(table, *families(cidr), interface=interface)
        self._state = state

    @property
    def origin(self) -> str:
        return "Advertisement"

    @property
    def state(self) -> str:
        return self._state or super().state

    # API Reference, Route: "the next hop IP address for routes propagated by VPC Route Server".
    @property
    def ip_address(self) -> str | None:
        return self.interface.private_ip_address if self.interface else None


def families(cidr: str) -> tuple[str | None, str | None]:
    """The canonical CIDR as a route's IPv4 and IPv6 destination.

    Raises:
        ValueError: it is no CIDR.
    """
    network = ip_network(cidr)
    return (str(network), None) if network.version == 4 else (None, str(network))


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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Gateways that propagate their routes into this table, and what Route Server put here.
        self.propagating: list[Any] = []
        self.advertised: list[AdvertisedRoute] = []

    # EC2: static routes, and beside them those that nobody here made, though the static route of
    # a CIDR is the one that counts ("Route priority").
    @property
    def live_routes(self) -> list[moto_routes.Route]:
        propagated = [
            PropagatedRoute(self, cidr, gateway)  # type: ignore[abstract]
            for gateway in self.propagating
            if is_attached(gateway, self.vpc_id)
            for cidr in gateway.learned
        ]
        return [*self._routes.values(), *propagated, *self.advertised]

    @property
    def owner_id(self) -> str:
        return ACCOUNT.owner_of(self.vpc_id, self.ec2_backend.account_id)

    @property
    def propagating_vgws(self) -> list[dict[str, str]]:
        return [{"GatewayId": gateway.id} for gateway in self.propagating]

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


class VpnGateway(moto_vpn_gateways.VpnGateway):
    """A virtual private gateway, and the CIDRs it has learned from the other side."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.learned: list[str] = []


def is_attached(gateway: Any, vpc_id: str) -> bool:
    """Whether an internet or virtual private gateway is attached to the VPC."""
    if gateway.id.startswith("igw-"):
        return gateway.vpc is not None and gateway.vpc.id == vpc_id
    attachment = gateway.attachments.get(vpc_id)
    return attachment is not None and attachment.state == "attached"


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
