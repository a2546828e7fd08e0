"""The local routes of a VPC, and those more specific than they are.

Sources: VPC User Guide, "Subnet route tables" (rules and considerations) and "Replace or restore
the target for a local route".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .asserting import CIDR, A, refused, route_to, routes_of
from .network import Network

pytestmark = pytest.mark.timeout(60)

LOCAL = "127.0.0.0/16"


def restore(net: Network, table: str, cidr: str) -> None:
    net.client.replace_route(RouteTableId=table, DestinationCidrBlock=cidr, LocalTarget=True)


def test_a_local_route_is_neither_deleted_nor_made_again(net: Network, table: str) -> None:
    for target in (A, None):
        if target:
            net.replace_route(table, LOCAL, target)
        refused("InvalidParameterValue", net.delete_route, table_id=table, cidr=LOCAL)
        refused("RouteAlreadyExists", net.create_route, table_id=table, cidr=LOCAL, target=A)
        restore(net, table, LOCAL)
    assert route_to(net, table, LOCAL)["GatewayId"] == "local"


def test_the_target_of_a_local_route_is_replaced_and_given_back(net: Network, table: str) -> None:
    untouched = route_to(net, table, LOCAL)
    net.replace_route(table, LOCAL, A)
    route = route_to(net, table, LOCAL)
    assert route["NetworkInterfaceId"] == net.eni_of[A]
    assert route["Origin"] == "CreateRouteTable"
    assert "GatewayId" not in route
    restore(net, table, LOCAL)
    assert route_to(net, table, LOCAL) == untouched


# ---- targets of local routes and of more specific ones ------------------------------------


def nat_gateway(net: Network) -> str:
    made = net.client.create_nat_gateway(SubnetId=net.subnet_of(A), ConnectivityType="private")
    return str(made["NatGateway"]["NatGatewayId"])


def endpoint(net: Network) -> str:
    made = net.client.create_vpc_endpoint(
        VpcEndpointType="GatewayLoadBalancer",
        VpcId=net.vpc_id,
        ServiceName="com.amazonaws.vpce.us-east-1.vpce-svc-0123456789abcdef0",
        SubnetIds=[net.subnet_of(A)],
    )
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def target(net: Network, kind: str) -> dict[str, Any]:
    """The parameter and the value of a target of this kind."""
    made: dict[str, Callable[[], str]] = {
        "InstanceId": lambda: net.instance_of[A],
        "NetworkInterfaceId": lambda: net.eni_of[A],
        "NatGatewayId": lambda: nat_gateway(net),
        "VpcEndpointId": lambda: endpoint(net),
        "GatewayId": net.add_gateway,
        "TransitGatewayId": lambda: net.client.create_transit_gateway()["TransitGateway"][
            "TransitGatewayId"
        ],
    }
    return {kind: made[kind]()}


SHOWN = {"VpcEndpointId": "GatewayId"}
GOOD = ["InstanceId", "NetworkInterfaceId", "NatGatewayId", "VpcEndpointId"]
BAD = ["GatewayId", "TransitGatewayId"]


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("cidr", [LOCAL, "127.0.2.0/24"])
def test_a_local_route_and_a_subnets_may_have_it_as_target(
    net: Network, table: str, kind: str, cidr: str
) -> None:
    given = target(net, kind)
    call = net.client.replace_route if cidr == LOCAL else net.client.create_route
    call(RouteTableId=table, DestinationCidrBlock=cidr, **given)
    assert route_to(net, table, cidr)[SHOWN.get(kind, kind)] == given[kind]


@pytest.mark.parametrize("kind", BAD)
def test_a_local_route_and_a_subnets_may_not_have_it_as_target(
    net: Network, table: str, kind: str
) -> None:
    given = target(net, kind)
    net.create_route(table, "127.0.2.0/24", A)
    for cidr in (LOCAL, "127.0.2.0/24"):
        refused(
            "InvalidParameterValue",
            net.client.replace_route,
            RouteTableId=table,
            DestinationCidrBlock=cidr,
            **given,
        )
    refused(
        "InvalidParameterValue",
        net.client.create_route,
        RouteTableId=table,
        DestinationCidrBlock="127.0.1.0/24",
        **given,
    )


@pytest.mark.parametrize("cidr", ["127.0.2.0/25", "127.0.2.0/23", "127.0.200.0/24", "127.0.1.9/32"])
def test_a_route_more_specific_than_local_is_a_whole_subnets(
    net: Network, table: str, cidr: str
) -> None:
    refused("InvalidParameterValue", net.create_route, table_id=table, cidr=cidr, target=A)


def test_a_route_less_specific_than_local_is_like_any_other(net: Network, table: str) -> None:
    gateway = net.add_gateway()
    net.client.create_route(
        RouteTableId=table, DestinationCidrBlock="127.0.0.0/8", GatewayId=gateway
    )
    assert route_to(net, table, "127.0.0.0/8")["GatewayId"] == gateway


def test_only_a_local_route_is_given_back(net: Network, table: str) -> None:
    net.create_route(table, "127.0.2.0/24", A)
    net.create_route(table, CIDR, A)
    for cidr in (CIDR, "127.0.2.0/24"):
        refused("InvalidParameterValue", restore, net=net, table=table, cidr=cidr)
    assert route_to(net, table)["NetworkInterfaceId"] == net.eni_of[A]


def test_each_cidr_of_the_vpc_has_a_local_route(net: Network, table: str) -> None:
    more = "127.1.0.0/16"
    net.client.associate_vpc_cidr_block(VpcId=net.vpc_id, CidrBlock=more)
    net.client.associate_vpc_cidr_block(VpcId=net.vpc_id, AmazonProvidedIpv6CidrBlock=True)
    assert route_to(net, table, more)["GatewayId"] == "local"
    refused("InvalidParameterValue", net.delete_route, table_id=table, cidr=more)
    refused(
        "InvalidParameterValue", net.create_route, table_id=table, cidr="127.1.1.0/24", target=A
    )
    [v6] = [r for r in routes_of(net, table) if "DestinationIpv6CidrBlock" in r]
    assert (v6["GatewayId"], v6["Origin"]) == ("local", "CreateRouteTable")
    key: dict[str, Any] = {
        "RouteTableId": table,
        "DestinationIpv6CidrBlock": v6["DestinationIpv6CidrBlock"],
    }
    refused("InvalidParameterValue", net.client.delete_route, **key)
    net.client.replace_route(**key, NetworkInterfaceId=net.eni_of[A])
    net.client.replace_route(**key, LocalTarget=True)
    assert v6 in routes_of(net, table)


# ---- ranges that AWS keeps for itself -----------------------------------------------------


@pytest.mark.parametrize(
    ("cidr", "taken"),
    [
        ("169.254.168.0/22", False),
        ("169.254.169.254/32", False),
        ("169.254.0.0/16", True),
        ("fd00:ec2::/32", False),
        ("fd00:ec2::254/128", False),
        ("fd00::/8", True),
    ],
)
def test_ranges_of_aws_are_no_destinations(
    net: Network, table: str, cidr: str, taken: bool
) -> None:
    name = "DestinationIpv6CidrBlock" if ":" in cidr else "DestinationCidrBlock"
    params: dict[str, Any] = {
        "RouteTableId": table,
        name: cidr,
        "NetworkInterfaceId": net.eni_of[A],
    }
    if taken:
        net.client.create_route(**params)
        assert cidr in [r.get(name) for r in routes_of(net, table)]
    else:
        refused("InvalidParameterValue", net.client.create_route, **params)
