"""What routes show, and which routes EC2 refuses."""

from __future__ import annotations

from typing import Any

import pytest

from .asserting import CIDR, A, B, refused, route_to, routes_of
from .network import Network

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("by", ["NetworkInterfaceId", "InstanceId"])
def test_a_route_shows_interface_instance_and_owner(net: Network, table: str, by: str) -> None:
    target: dict[str, Any] = {"NetworkInterfaceId": net.eni_of[A], "InstanceId": net.instance_of[A]}
    net.client.create_route(RouteTableId=table, DestinationCidrBlock=CIDR, **{by: target[by]})
    assert route_to(net, table) == {
        "DestinationCidrBlock": CIDR,
        "InstanceOwnerId": "123456789012",
        "Origin": "CreateRoute",
        "State": "active",
        **target,
    }


def test_a_replaced_route_shows_its_new_target_only(net: Network, table: str) -> None:
    gateway = net.add_gateway()
    net.client.create_route(RouteTableId=table, DestinationCidrBlock=CIDR, GatewayId=gateway)
    net.replace_route(table, CIDR, B)
    route = route_to(net, table)
    assert "GatewayId" not in route
    assert route["InstanceId"] == net.instance_of[B]
    net.client.replace_route(RouteTableId=table, DestinationCidrBlock=CIDR, GatewayId=gateway)
    route = route_to(net, table)
    assert route["GatewayId"] == gateway
    assert not {"InstanceId", "NetworkInterfaceId", "InstanceOwnerId"} & set(route)


def test_the_local_route_has_its_own_origin(net: Network, table: str) -> None:
    assert route_to(net, table, "127.0.0.0/16") == {
        "DestinationCidrBlock": "127.0.0.0/16",
        "GatewayId": "local",
        "Origin": "CreateRouteTable",
        "State": "active",
    }


def test_a_duplicate_is_refused_and_changes_nothing(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    refused("RouteAlreadyExists", net.create_route, table_id=table, cidr=CIDR, target=B)
    refused("RouteAlreadyExists", net.create_route, table_id=table, cidr="10.9.9.9/8", target=B)
    refused("RouteAlreadyExists", net.create_route, table_id=table, cidr="127.0.0.0/16", target=B)
    assert net.routes(CIDR)[table] == A


@pytest.mark.parametrize("call", ["create_route", "replace_route", "delete_route"])
def test_a_bad_cidr_is_refused(net: Network, table: str, call: str) -> None:
    target = {} if call == "delete_route" else {"NetworkInterfaceId": net.eni_of[A]}
    for cidr in ("10.0.0.0/99", "10.0.0.0", "10.0.0.0/255.0.0.0", "fd00::/8", "10.0.0/8", "x"):
        message = refused(
            "InvalidParameterValue",
            getattr(net.client, call),
            RouteTableId=table,
            DestinationCidrBlock=cidr,
            **target,
        )
        assert f"({cidr}) for parameter destinationCidrBlock" in message
    assert len(routes_of(net, table)) == 1


@pytest.mark.parametrize("call", ["create_route", "replace_route"])
def test_a_route_needs_a_destination_and_a_target(net: Network, table: str, call: str) -> None:
    eni, method = net.eni_of[A], getattr(net.client, call)
    refused("MissingParameter", method, RouteTableId=table, DestinationCidrBlock=CIDR)
    refused("MissingParameter", method, RouteTableId=table, NetworkInterfaceId=eni)
    refused("MissingParameter", net.client.delete_route, RouteTableId=table)


@pytest.mark.parametrize("call", ["create_route", "replace_route"])
def test_a_route_has_one_target(net: Network, table: str, call: str) -> None:
    refused(
        "InvalidParameterCombination",
        getattr(net.client, call),
        RouteTableId=table,
        DestinationCidrBlock=CIDR,
        NetworkInterfaceId=net.eni_of[A],
        InstanceId=net.instance_of[A],
    )


def test_an_unknown_interface_is_refused(net: Network, table: str) -> None:
    code, unknown = "InvalidNetworkInterfaceID.NotFound", "eni-0123456789abcdef0"
    refused(code, net.create_route, table_id=table, cidr=CIDR, target=unknown)
    net.create_route(table, CIDR, A)
    refused(code, net.replace_route, table_id=table, cidr=CIDR, target=unknown)
    assert net.routes(CIDR)[table] == A


def test_an_interface_of_another_vpc_is_refused(net: Network, table: str) -> None:
    other = Network.build(net.ec2, "10.1.0.0/16", zones=1, tables=1, hosts=["10.1.1.10"])
    eni = other.eni_of["10.1.1.10"]
    refused("InvalidParameterValue", net.create_route, table_id=table, cidr=CIDR, target=eni)
    net.create_route(table, CIDR, A)
    refused("InvalidParameterValue", net.replace_route, table_id=table, cidr=CIDR, target=eni)
    assert net.routes(CIDR)[table] == A


def test_an_instance_with_two_interfaces_is_no_target(net: Network, table: str) -> None:
    net.add_host("127.0.1.77", on_secondary=True)
    refused(
        "InvalidInstanceID",
        net.client.create_route,
        RouteTableId=table,
        DestinationCidrBlock=CIDR,
        InstanceId=net.instance_of["127.0.1.77"],
    )


def test_a_missing_route_is_neither_replaced_nor_deleted(net: Network, table: str) -> None:
    message = refused(
        "InvalidParameterValue", net.replace_route, table_id=table, cidr=CIDR, target=A
    )
    assert message == (
        "There is no route defined for '10.0.0.0/8' in the route table. Use CreateRoute instead."
    )
    refused("InvalidRoute.NotFound", net.delete_route, table_id=table, cidr=CIDR)


def test_an_unknown_table_is_refused(net: Network) -> None:
    code, unknown = "InvalidRouteTableID.NotFound", "rtb-0123456789abcdef0"
    refused(code, net.create_route, table_id=unknown, cidr=CIDR, target=A)
    refused(code, net.replace_route, table_id=unknown, cidr=CIDR, target=A)
    refused(code, net.delete_route, table_id=unknown, cidr=CIDR)
    refused(code, net.client.describe_route_tables, RouteTableIds=[unknown])


def test_host_bits_are_cut_off(net: Network, table: str) -> None:
    net.create_route(table, "10.1.2.3/8", A)
    assert net.routes(CIDR)[table] == A
    net.replace_route(table, "10.9.9.9/8", B)
    assert net.routes(CIDR)[table] == B
    net.delete_route(table, "10.5.5.5/8")
    assert net.routes(CIDR)[table] is None
    net.create_route(table, "10.5.5.5/8", A)
    net.client.create_route(
        RouteTableId=table, DestinationCidrBlock="11.1.1.1/8", InstanceId=net.instance_of[A]
    )
    assert net.routes("11.0.0.0/8")[table] == A


def test_ipv6_destinations_are_canonical(net: Network, table: str) -> None:
    def call(name: str, text: str, **target: str) -> None:
        method = getattr(net.client, name)
        method(RouteTableId=table, DestinationIpv6CidrBlock=text, **target)

    call("create_route", "FD00:0:0::1/64", NetworkInterfaceId=net.eni_of[A])
    assert routes_of(net, table)[-1]["DestinationIpv6CidrBlock"] == "fd00::/64"
    refused(
        "RouteAlreadyExists",
        call,
        name="create_route",
        text="fd00::/64",
        NetworkInterfaceId=net.eni_of[A],
    )
    call("replace_route", "fd00:0::/64", NetworkInterfaceId=net.eni_of[B])
    assert routes_of(net, table)[-1]["NetworkInterfaceId"] == net.eni_of[B]
    call("delete_route", "fd00::5/64")
    assert len(routes_of(net, table)) == 1


def test_a_subnet_has_one_table(net: Network, table: str) -> None:
    refused(
        "Resource.AlreadyAssociated",
        net.client.associate_route_table,
        RouteTableId=table,
        SubnetId=net.subnet_of(A),
    )
