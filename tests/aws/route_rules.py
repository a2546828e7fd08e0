"""Which routes a table may hold; each rule with the AWS page it is from."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.route_tables import Route

from .interfaces import networks_of
from .route_tables import RouteTable

Network = IPv4Network | IPv6Network

# "Subnet route tables", rules and considerations: reserved for the services of AWS.
RESERVED = (IPv4Network("169.254.168.0/22"), IPv6Network("fd00:ec2::/32"))
UNSUPPORTED_TARGET = (
    "Route target is not supported. This route only supports interface and instance targets."
)


def invalid(message: str) -> EC2ClientError:
    return EC2ClientError("InvalidParameterValue", message)


def local_routes(table: RouteTable) -> dict[Network, Route]:
    """The routes that came with the table: one for each CIDR of the VPC."""
    routes = [route for route in table._routes.values() if route.local]
    return {_network_of(route): route for route in routes}


def subnet_networks(backend: Any, vpc_id: str) -> set[Network]:
    """The IPv4 and IPv6 CIDRs of the VPC's subnets."""
    subnets = (subnet for zone in backend.subnets.values() for subnet in zone.values())
    return {each for s in subnets if s.vpc_id == vpc_id for each in networks_of(s)}


def check_route(table: RouteTable, destination: str, target: str) -> None:
    """Raise unless the table may have a route to `destination` by a target of this kind.

    `target` is the name of a call's parameter.
    """
    if table.gateway_ids:
        check_gateway_route(table, destination, target)
    if destination.startswith("pl-"):
        return
    network = ip_network(destination)
    if any(_within(network, reserved) for reserved in RESERVED):
        raise invalid(f"The destination CIDR block {destination} is reserved.")
    local = local_routes(table)
    if network in local:
        _check_local_target(table, destination, target)
    elif target == "LocalTarget":
        raise invalid(f"The route {destination} in {table.id} is not a local route.")
    elif any(_within(network, each) for each in local):
        _check_more_specific(table, network, target)


def _check_local_target(table: RouteTable, destination: str, target: str) -> None:
    # "Replace or restore the target for a local route".
    if target not in (
        *("NetworkInterfaceId", "InstanceId", "NatGatewayId", "VpcEndpointId", "LocalTarget"),
    ):
        raise invalid(f"cannot replace local route {destination} in route table {table.id}")


def _check_more_specific(table: RouteTable, network: Network, target: str) -> None:
    # "Subnet route tables": a route more specific than the local route must match the entire CIDR
    # of a subnet; its target must be a NAT gateway, an interface or a GWLB endpoint.
    if network not in subnet_networks(table.ec2_backend, table.vpc_id):
        raise invalid(
            f"The destination CIDR block {network} is equal to or more specific than one of this "
            "VPC's CIDR blocks. This route can target only an interface or an instance, and must "
            "match the CIDR block of a subnet."
        )
    if target not in ("NetworkInterfaceId", "InstanceId", "NatGatewayId", "VpcEndpointId"):
        raise invalid(UNSUPPORTED_TARGET)


def check_gateway_route(table: RouteTable, destination: str, target: str) -> None:
    """Raise unless a gateway route table may have this route ("Gateway route tables")."""
    if destination.startswith("pl-"):
        raise invalid(
            f"Route table {table.id} of a gateway can't have a prefix list as destination"
        )
    if target not in ("NetworkInterfaceId", "InstanceId", "VpcEndpointId", "LocalTarget"):
        raise invalid(UNSUPPORTED_TARGET)
    network = ip_network(destination)
    allowed = {*local_routes(table), *subnet_networks(table.ec2_backend, table.vpc_id)}
    if network not in allowed:
        raise invalid(
            f"The destination CIDR block {network} is not the CIDR block of this VPC or of one of "
            f"its subnets, and route table {table.id} is associated with a gateway."
        )


def check_gateway_association(table: RouteTable) -> None:
    """Raise unless the table may be associated with a gateway ("Gateway route tables")."""
    # "Route table concepts": a gateway route table can't be the main route table.
    if table.main_association_id is not None:
        raise invalid(f"The main route table {table.id} can't be associated with a gateway.")
    if table.propagating:
        raise invalid(f"Route propagation is enabled for route table {table.id}.")
    for route in table.live_routes:
        destination = route.destination_prefix_list_id or str(_network_of(route))
        check_gateway_route(table, destination, _target_of(route))


def _target_of(route: Route) -> str:
    """The parameter that would have named the route's target."""
    if route.network_interface_id:
        return "NetworkInterfaceId"
    if route.vpc_endpoint_id:
        return "VpcEndpointId"
    return "LocalTarget" if route.gateway_id == "local" else "GatewayId"


def _network_of(route: Route) -> Network:
    return ip_network(str(route.destination_cidr_block or route.destination_ipv6_cidr_block))


def _within(network: Network, other: Network) -> bool:
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]
