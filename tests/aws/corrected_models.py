"""moto's EC2 models, corrected to what EC2 does.

Each class subclasses the moto class of the same name; moto finds some attributes by the class's
name, so the names must stay.  Each correction is introduced by a comment naming EC2's behaviour.
`corrections.install` puts them in place.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Any, ClassVar

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models import elastic_network_interfaces as moto_interfaces
from moto.ec2.models import instances as moto_instances
from moto.ec2.models import route_tables as moto_routes

from .history import HISTORY


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

    def retarget(self, interface: moto_interfaces.NetworkInterface) -> None:
        """Point at `interface` and at nothing else."""
        self.gateway = self.instance = self.nat_gateway = self.egress_only_igw = None
        self.transit_gateway = self.vpc_pcx = self.carrier_gateway = None
        self.vpc_endpoint_id = None
        self.interface = interface


class PropagatedRoute(Route):
    """A route that a virtual private gateway propagates: no call of a user's can change it."""

    def __init__(self, table: RouteTable, cidr: str) -> None:
        super().__init__(table, cidr, None, gateway=table.ec2_backend.create_vpn_gateway())
        # Static and propagated routes of one destination live side by side in EC2.
        self.id = f"{self.id}~propagated"

    @property
    def origin(self) -> str:
        return "EnableVgwRoutePropagation"


class RouteTable(moto_routes.RouteTable):
    """A route table whose shown routes may lag, and which knows EC2's route filters."""

    _FILTERS: ClassVar = {
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

    # EC2 filters by route state, origin, instance, IPv6 destination and prefix list too.
    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        attribute = self._FILTERS.get(filter_name)
        if attribute is None:
            return super().get_filter_value(filter_name, method_name)
        return [value for r in self.routes if (value := getattr(r, attribute)) is not None]


class NetworkInterface(moto_interfaces.NetworkInterface):
    """An interface that is found by each of its addresses."""

    @property
    def addresses(self) -> list[str]:
        return [item["PrivateIpAddress"] for item in self.private_ip_addresses]

    # EC2's address filters match secondary addresses as well.
    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        if filter_name in ("addresses.private-ip-address", "private-ip-address"):
            return self.addresses
        return super().get_filter_value(filter_name, method_name)


class Instance(moto_instances.Instance):
    """An instance that gives up its interfaces when it is terminated, and can be unwell."""

    # EC2 checks running instances, and schedules events for them; set by `set_status`.
    shown: Mapping[str, Any] = MappingProxyType({})

    def _check(self, name: str) -> dict[str, Any]:
        if not self.is_running():
            return {"Status": "not-applicable"}
        return {"Status": self.shown.get(name, "ok")}

    @property
    def system_status(self) -> dict[str, Any]:
        return self._check("system")

    @property
    def instance_status(self) -> dict[str, Any]:
        return self._check("instance")

    @property
    def attached_ebs_status(self) -> dict[str, Any]:
        return self._check("ebs")

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(self.shown.get("events", ()))

    # EC2 deletes an interface made at launch with the instance unless told otherwise, and
    # refuses an address that is in use or outside the subnet.
    def prep_nics(
        self,
        nic_spec: list[dict[str, Any]],
        private_ip: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        specs = nic_spec or [{"DeviceIndex": 0}]
        for spec in specs:
            if not spec.get("NetworkInterfaceId"):
                spec.setdefault("DeleteOnTermination", True)
        if private_ip and self._subnet_id:
            self.ec2_backend.refuse_address(private_ip, self.ec2_backend.get_subnet(self.subnet_id))
        super().prep_nics(specs, private_ip, *args, **kwargs)

    # EC2: a terminated instance has no interfaces; those not to be deleted stay, detached.
    def terminate(self) -> moto_instances.InstanceState:
        previous = super().terminate()
        for interface in list(self.nics.values()):
            self.detach_eni(interface)
        return previous

    # EC2: with its interfaces, a terminated instance loses addresses, subnet and VPC.
    @property
    def private_ip(self) -> str | None:
        return self.nics[0].private_ip_address if 0 in self.nics else None

    @property
    def private_ip_address(self) -> str | None:
        return self.private_ip

    @property
    def private_dns_name(self) -> str:
        return super().private_dns_name if self.private_ip else ""

    @property
    def public_ip(self) -> str | None:
        return self.nics[0].public_ip if 0 in self.nics else None

    @property
    def public_ip_address(self) -> str | None:
        return self.public_ip

    @property
    def subnet_id(self) -> str | None:
        return None if self.state == "terminated" else super().subnet_id

    # EC2: the instance's source/dest check is its primary interface's.
    @property
    def source_dest_check(self) -> bool:
        primary = getattr(self, "nics", {}).get(0)
        return bool(primary.source_dest_check) if primary else True

    @source_dest_check.setter
    def source_dest_check(self, value: bool) -> None:
        if primary := getattr(self, "nics", {}).get(0):
            primary.source_dest_check = value

    @property
    def interface_ids(self) -> list[str]:
        return [interface.id for interface in self.nics.values()]

    @property
    def interface_addresses(self) -> list[str]:
        return [
            item["PrivateIpAddress"] for n in self.nics.values() for item in n.private_ip_addresses
        ]


# EC2 finds instances by their interfaces' ids and addresses.
INSTANCE_FILTERS = {
    "network-interface.addresses.private-ip-address": "interface_addresses",
    "network-interface.network-interface-id": "interface_ids",
}


class Ec2Backend(EC2Backend):
    """One region of one account."""

    # moto derives the module of its URLs from the backend's module.
    __module__ = EC2Backend.__module__

    def holder_of(self, address: str, vpc_id: str) -> NetworkInterface | None:
        """The interface in the VPC that has `address`."""
        for interface in self.enis.values():
            if interface.vpc_id == vpc_id and address in interface.addresses:  # type: ignore[attr-defined]
                return interface  # type: ignore[return-value]
        return None

    def refuse_address(self, address: str, subnet: Any) -> None:
        """Raise if a new interface in `subnet` can't have `address`."""
        if ip_address(address) not in ip_network(subnet.cidr_block):
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Address {address} does not fall within the subnet's address range",
            )
        if self.holder_of(address, subnet.vpc_id):
            raise EC2ClientError("InvalidIPAddress.InUse", f"Address {address} is in use.")

    # EC2 refuses an interface with an address that another one in the VPC has.
    def create_network_interface(
        self, subnet: Any, private_ip_address: Any, *args: Any, **kwargs: Any
    ) -> moto_interfaces.NetworkInterface:
        if isinstance(private_ip_address, str):
            network = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
            self.refuse_address(private_ip_address, network)
        return super().create_network_interface(subnet, private_ip_address, *args, **kwargs)

    # EC2 is eventually consistent: a describe may show old interfaces.
    def get_all_network_interfaces(
        self, *args: Any, **kwargs: Any
    ) -> list[moto_interfaces.NetworkInterface]:
        with HISTORY.old_interfaces(self):
            return super().get_all_network_interfaces(*args, **kwargs)


def filter_matches(resource: Any, name: str, patterns: list[str] | None) -> bool:
    """EC2: a filter matches if any of the resource's values matches any of the patterns."""
    value = resource.get_filter_value(name)
    if value is None or patterns is None:
        return False
    values: Iterable[Any] = [value] if isinstance(value, str | bool | int) else value
    texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
    return any(fnmatch.fnmatchcase(text, pattern) for text in texts for pattern in patterns)


def all_tables() -> Iterator[RouteTable]:
    """Every route table of every account and region in use."""
    for _account, _region, backend in ec2_backends.iter_backends():
        yield from backend.route_tables.values()  # type: ignore[attr-defined]


def propagate(table_id: str, cidr: str) -> str:
    """Plant a propagated route; answer its gateway's id.

    Raises:
        LookupError: there is no such table.
        ValueError: `cidr` is no network.
    """
    for table in all_tables():
        if table.id == table_id:
            route = PropagatedRoute(table, str(ip_network(cidr)))  # type: ignore[abstract]
            table._routes[route.id] = route
            return str(route.gateway_id)
    raise LookupError(table_id)


def set_status(instance_id: str, **shown: Any) -> None:
    """Have DescribeInstanceStatus show these of an instance, and nothing else.

    `system`, `instance` and `ebs` are statuses of checks, `events` its scheduled events.

    Raises:
        LookupError: there is no such instance.
        ValueError: something else is named.
    """
    if unknown := shown.keys() - {"system", "instance", "ebs", "events"}:
        raise ValueError(f"a status has no {', '.join(unknown)}")
    for _account, _region, backend in ec2_backends.iter_backends():
        for instance in backend.all_instances():  # type: ignore[attr-defined]
            if instance.id == instance_id:
                instance.shown = shown
                return
    raise LookupError(instance_id)
