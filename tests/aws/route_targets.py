"""The destination and the target that a call names, checked and looked up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from moto.ec2 import exceptions
from moto.ec2.exceptions import EC2ClientError

from .route_tables import is_attached

DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
TARGETS = (
    "CarrierGatewayId",
    "CoreNetworkArn",
    "EgressOnlyInternetGatewayId",
    "GatewayId",
    "InstanceId",
    "LocalGatewayId",
    "LocalTarget",
    "NatGatewayId",
    "NetworkInterfaceId",
    "TransitGatewayId",
    "VpcEndpointId",
    "VpcPeeringConnectionId",
)
# Kinds of target that moto keeps in a dictionary: what a route calls it, where moto has it, and
# the error of an unknown one.
KEPT = {
    "CarrierGatewayId": (
        *("carrier_gateway", "carrier_gateways", "InvalidCarrierGatewayID.NotFound"),
    ),
    "EgressOnlyInternetGatewayId": (
        *("egress_only_igw", "egress_only_internet_gateways", "InvalidGatewayID.NotFound"),
    ),
    "NatGatewayId": ("nat_gateway", "nat_gateways", "InvalidNatGatewayID.NotFound"),
    "TransitGatewayId": (
        *("transit_gateway", "transit_gateways", "InvalidTransitGatewayID.NotFound"),
    ),
    "VpcPeeringConnectionId": (*("vpc_pcx", "vpc_pcxs", "InvalidVpcPeeringConnectionID.NotFound"),),
}
PREFIX_LENGTH = re.compile(r"/\d{1,3}$")


def canonical(name: str, value: str) -> str:
    """The destination `value` of parameter `name` as EC2 stores it, or InvalidParameterValue."""
    if name == "DestinationPrefixListId":
        return value
    kind = IPv6Network if name == "DestinationIpv6CidrBlock" else IPv4Network
    try:
        # Stricter than ipaddress, which takes netmasks, and addresses without a length.
        return str(kind(value if PREFIX_LENGTH.search(value) else "", strict=False))
    except ValueError:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({value}) for parameter {_lower_first(name)} is invalid. "
            "This is not a valid CIDR block.",
        ) from None


def the_one_of(names: tuple[str, ...], params: Mapping[str, Any]) -> str:
    """The name of the one parameter of these that is given."""
    given = [name for name in names if params.get(name)]
    if not given:
        raise exceptions.MissingParameterError(_any_of(names))
    if len(given) > 1:
        raise exceptions.InvalidParameterCombination(
            f"The parameters {_any_of(tuple(given))} cannot be used together"
        )
    return given[0]


def gateway_of(backend: Any, gateway_id: str, table: Any) -> Any:
    """The internet or virtual private gateway, which must be attached to the table's VPC."""
    gateway = backend.internet_gateways.get(gateway_id) or backend.vpn_gateways.get(gateway_id)
    if gateway is None:
        raise EC2ClientError(
            "InvalidGatewayID.NotFound", f"The gateway ID '{gateway_id}' does not exist"
        )
    if not is_attached(gateway, table.vpc_id):
        raise EC2ClientError(
            "InvalidParameterValue",
            f"route table {table.id} and network gateway {gateway_id} belong to different networks",
        )
    return gateway


def target_of(backend: Any, table: Any, name: str, value: str) -> dict[str, Any]:
    """What `Route.point_at` is to be given for this parameter of a call."""
    match name:
        case "LocalTarget":
            return {}
        case "NetworkInterfaceId":
            return {"interface": _of_vpc(backend.get_network_interface(value), table)}
        case "InstanceId":
            return {"interface": _of_vpc(_only_interface(backend, value), table)}
        case "GatewayId" if not value.startswith("vpce-"):
            return {"gateway": gateway_of(backend, value, table)}
        case "VpcEndpointId" | "GatewayId":
            return {"vpc_endpoint_id": _endpoint(backend, value)}
        case _ if name in KEPT:
            attribute, collection, code = KEPT[name]
            found = getattr(backend, collection).get(value)
            if found is None:
                raise EC2ClientError(code, f"The ID '{value}' does not exist")
            return {attribute: found}
    raise EC2ClientError("InvalidParameterValue", f"There is no {name} {value} here")


def _endpoint(backend: Any, endpoint_id: str) -> str:
    # API Reference, CreateRoute: "Supported for Gateway Load Balancer endpoints only".
    endpoint = backend.vpc_end_points.get(endpoint_id)
    if endpoint is None:
        raise EC2ClientError(
            "InvalidVpcEndpointId.NotFound", f"The Vpc Endpoint Id '{endpoint_id}' does not exist"
        )
    if endpoint.vpc_endpoint_type != "GatewayLoadBalancer":
        raise exceptions.RouteNotSupportedError(endpoint_id)
    return endpoint_id


def _of_vpc(interface: Any, table: Any) -> Any:
    if interface.vpc_id != table.vpc_id:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"route table {table.id} and interface {interface.id} belong to different networks",
        )
    return interface


def _only_interface(backend: Any, instance_id: str) -> Any:
    # EC2 turns an instance into its interface, which must be its only one.
    interfaces = list(backend.get_instance(instance_id).nics.values())
    if len(interfaces) != 1:
        fault = "There are multiple" if interfaces else "There are no"
        raise EC2ClientError(
            "InvalidInstanceID",
            f"{fault} interfaces attached to instance '{instance_id}'. "
            "Please specify an interface ID for the operation instead.",
        )
    return interfaces[0]


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


def _any_of(names: tuple[str, ...]) -> str:
    return " or ".join(_lower_first(name) for name in names)
