"""What only AWS itself, or a network outside, puts into EC2; tests ask for it by `/_control/`.

Each answers what the control is answered.  What it raises (LookupError, ValueError) says what is
wrong with what it was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from itertools import islice
from typing import Any

from moto.ec2.models import ec2_backends

from .account import ACCOUNT
from .history import HISTORY
from .interfaces import NetworkInterface, give_to_service
from .route_tables import AdvertisedRoute, RouteTable, table_of


def account(**changes: float) -> dict[str, Any]:
    """Set quotas and how long changes take; see `account.Account`."""
    ACCOUNT.change(**changes)
    return {}


def owner(resource_id: str, account_id: str) -> dict[str, Any]:
    """Have a VPC, an instance or an interface be another account's; see `sharing`."""
    for region in _regions():
        instances = {each.id: each for each in region.all_instances()}
        if resource_id in {**region.vpcs, **region.enis, **instances}:
            ACCOUNT.owners[resource_id] = account_id
            if resource_id in instances:
                instances[resource_id].owner_id = account_id
            return {}
    raise LookupError(resource_id)


def service(interface_id: str, **service: str) -> dict[str, Any]:
    """Have an interface be a service's; see `interfaces.give_to_service`."""
    for region in _regions():
        if interface_id in region.enis:
            give_to_service(region.enis[interface_id], **service)
            HISTORY.record()
            return {}
    raise LookupError(interface_id)


def learned_routes(gateway_id: str, cidrs: list[str]) -> dict[str, Any]:
    """Have a virtual private gateway know these CIDRs and no others, as by BGP."""
    for region in _regions():
        if gateway := region.vpn_gateways.get(gateway_id):
            gateway.learned = [str(ip_network(cidr)) for cidr in cidrs]
            HISTORY.record()
            return {}
    raise LookupError(gateway_id)


def advertised_routes(table_id: str, routes: list[dict[str, Any]]) -> dict[str, Any]:
    """Have a table hold these routes of VPC Route Server and no others.

    A route has a `cidr`, an `interface_id` and perhaps a `state`, else that of its interface.
    """
    table = table_of(table_id)
    table.advertised = [_advertised(table, **route) for route in routes]
    HISTORY.record()
    return {}


def _advertised(
    table: RouteTable, cidr: str, interface_id: str, state: str | None = None
) -> AdvertisedRoute:
    if state not in (None, "active", "blackhole", "filtered"):
        raise ValueError(f"a route's state is not {state!r}")
    interface = table.ec2_backend.enis[interface_id]
    return AdvertisedRoute(table, cidr, interface, state)  # type: ignore[abstract]


def instance_status(instance_id: str, **shown: Any) -> dict[str, Any]:
    """Have DescribeInstanceStatus show these of an instance, and nothing else.

    `system`, `instance` and `ebs` are statuses of checks, `events` its scheduled events.
    """
    if unknown := shown.keys() - {"system", "instance", "ebs", "events"}:
        raise ValueError(f"a status has no {', '.join(unknown)}")
    for region in _regions():
        for instance in region.all_instances():
            if instance.id == instance_id:
                instance.shown = shown
                return {}
    raise LookupError(instance_id)


def interfaces(subnet_id: str, count: int, **service: Any) -> dict[str, Any]:
    """Make so many interfaces of a service in a subnet, at its first free addresses.

    As fast as moto's models allow: 20,000 in about half a second.  For `service` see
    `interfaces.give_to_service`.
    """
    region, subnet = _subnet_of(subnet_id)
    made = []
    for address in islice(region.free_addresses(subnet), count):
        interface = NetworkInterface(region, subnet, address)  # type: ignore[abstract]
        give_to_service(interface, **service)
        made.append(interface)
    if len(made) < count:
        raise ValueError(f"{subnet.cidr_block} has no {count} free addresses")
    region.enis.update({interface.id: interface for interface in made})
    return {"interface_ids": [interface.id for interface in made]}


def _subnet_of(subnet_id: str) -> tuple[Any, Any]:
    for region in _regions():
        for subnets in region.subnets.values():
            if subnet_id in subnets:
                return region, subnets[subnet_id]
    raise LookupError(subnet_id)


def _regions() -> Iterator[Any]:
    """Every region of every account in use."""
    for _account, _region, backend in ec2_backends.iter_backends():
        yield backend
