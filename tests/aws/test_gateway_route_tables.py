"""Route tables of internet and virtual private gateways.

Source: VPC User Guide, "Gateway route tables" (rules and considerations).
"""

from __future__ import annotations

from typing import Any

import pytest

from .asserting import CIDR, A, B, refused, route_to
from .network import Network

pytestmark = pytest.mark.timeout(60)

LOCAL = "127.0.0.0/16"
SUBNET = "127.0.2.0/24"
KINDS = ["internet", "vpn"]


def new_table(net: Network) -> str:
    return net.client.create_route_table(VpcId=net.vpc_id)["RouteTable"]["RouteTableId"]


def associations(net: Network, table: str) -> list[dict[str, Any]]:
    [found] = net.client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return [dict(each) for each in found["Associations"]]


@pytest.fixture(params=KINDS)
def edge(net: Network, request: pytest.FixtureRequest) -> str:
    return net.edge_table(kind=request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gateway_is_associated_shown_found_and_disassociated(net: Network, kind: str) -> None:
    gateway, table = net.add_gateway(kind), new_table(net)
    made = net.client.associate_route_table(RouteTableId=table, GatewayId=gateway)
    assert associations(net, table) == [
        {
            "Main": False,
            "RouteTableAssociationId": made["AssociationId"],
            "RouteTableId": table,
            "GatewayId": gateway,
            "AssociationState": {"State": "associated"},
        }
    ]

    def found(name: str) -> list[str]:
        answer = net.client.describe_route_tables(Filters=[{"Name": name, "Values": [gateway]}])
        return [each["RouteTableId"] for each in answer["RouteTables"]]

    assert found("association.gateway-id") == [table]
    assert found("association.subnet-id") == []
    net.client.disassociate_route_table(AssociationId=made["AssociationId"])
    assert associations(net, table) == []


def test_an_association_has_one_subnet_or_gateway(net: Network) -> None:
    gateway, table = net.add_gateway(), new_table(net)
    call = net.client.associate_route_table
    refused("MissingParameter", call, RouteTableId=table)
    both = {"SubnetId": net.subnet_of(A), "GatewayId": gateway}
    refused("InvalidParameterCombination", call, RouteTableId=table, **both)


def test_a_gateway_has_one_table(net: Network) -> None:
    gateway = net.add_gateway()
    call = net.client.associate_route_table
    call(RouteTableId=new_table(net), GatewayId=gateway)
    table = new_table(net)
    refused("Resource.AlreadyAssociated", call, RouteTableId=table, GatewayId=gateway)


def test_only_a_gateway_of_the_vpc_is_associated(net: Network) -> None:
    loose = net.client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    table, call = new_table(net), net.client.associate_route_table
    refused("InvalidParameterValue", call, RouteTableId=table, GatewayId=loose)
    unknown = "igw-0123456789abcdef0"
    refused("InvalidGatewayID.NotFound", call, RouteTableId=table, GatewayId=unknown)
    assert associations(net, table) == []


def test_the_main_table_is_no_gateways(net: Network, table: str) -> None:
    gateway = net.add_gateway()
    refused(
        "InvalidParameterValue",
        net.client.associate_route_table,
        RouteTableId=table,
        GatewayId=gateway,
    )
    [main] = associations(net, table)
    call = net.client.replace_route_table_association
    main_id = main["RouteTableAssociationId"]
    edge = net.edge_table()
    refused("InvalidParameterValue", call, AssociationId=main_id, RouteTableId=edge)
    call(AssociationId=main_id, RouteTableId=new_table(net))
    assert associations(net, table) == []


def test_the_main_association_is_replaced_only(net: Network, table: str) -> None:
    [main] = associations(net, table)
    message = refused(
        "InvalidParameterValue",
        net.client.disassociate_route_table,
        AssociationId=main["RouteTableAssociationId"],
    )
    assert message.startswith("cannot disassociate the main route table association")


@pytest.mark.parametrize("cidr", [CIDR, "127.0.2.0/25"])
def test_a_table_with_other_routes_is_no_gateways(net: Network, cidr: str) -> None:
    table, gateway = new_table(net), net.add_gateway()
    if cidr == CIDR:
        net.create_route(table, cidr, A)
    else:
        net.client.create_route(
            RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
        )
    call = net.client.associate_route_table
    refused("InvalidParameterValue", call, RouteTableId=table, GatewayId=gateway)
    edge = net.edge_table(kind="vpn")
    [association] = associations(net, edge)
    refused(
        "InvalidParameterValue",
        net.client.replace_route_table_association,
        AssociationId=association["RouteTableAssociationId"],
        RouteTableId=table,
    )


def test_the_vpc_and_its_subnets_are_sent_to_an_interface(net: Network, edge: str) -> None:
    net.create_route(edge, SUBNET, A)
    net.replace_route(edge, SUBNET, B)
    net.replace_route(edge, LOCAL, A)
    assert route_to(net, edge, SUBNET)["NetworkInterfaceId"] == net.eni_of[B]
    assert route_to(net, edge, LOCAL)["NetworkInterfaceId"] == net.eni_of[A]
    net.delete_route(edge, SUBNET)
    net.client.replace_route(RouteTableId=edge, DestinationCidrBlock=LOCAL, LocalTarget=True)
    assert route_to(net, edge, LOCAL)["GatewayId"] == "local"


@pytest.mark.parametrize("cidr", [CIDR, "0.0.0.0/0", "127.0.2.0/25", "127.0.2.0/23"])
def test_other_destinations_are_refused(net: Network, edge: str, cidr: str) -> None:
    refused("InvalidParameterValue", net.create_route, table_id=edge, cidr=cidr, target=A)


def test_a_prefix_list_is_no_destination(net: Network, edge: str) -> None:
    made = net.client.create_managed_prefix_list(
        PrefixListName="ours", MaxEntries=1, AddressFamily="IPv4", Entries=[{"Cidr": SUBNET}]
    )
    refused(
        "InvalidParameterValue",
        net.client.create_route,
        RouteTableId=edge,
        DestinationPrefixListId=made["PrefixList"]["PrefixListId"],
        NetworkInterfaceId=net.eni_of[A],
    )


@pytest.mark.parametrize("kind", ["GatewayId", "NatGatewayId"])
def test_a_gateway_is_no_target(net: Network, edge: str, kind: str) -> None:
    net.create_route(edge, SUBNET, A)
    if kind == "GatewayId":
        gateway = net.add_gateway()
    else:
        made = net.client.create_nat_gateway(SubnetId=net.subnet_of(A), ConnectivityType="private")
        gateway = made["NatGateway"]["NatGatewayId"]
    client: Any = net.client
    to: dict[str, Any] = {"RouteTableId": edge, kind: gateway}
    code = "InvalidParameterValue"
    refused(code, client.create_route, **to, DestinationCidrBlock="127.0.1.0/24")
    for cidr in (SUBNET, LOCAL):
        refused(code, client.replace_route, **to, DestinationCidrBlock=cidr)
