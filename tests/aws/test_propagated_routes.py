"""Routes that no call made: a VPN gateway's and Route Server's.

Sources: VPC User Guide, "Route priority" and "Subnet route tables"; EC2 API Reference, Route and
EnableVgwRoutePropagation.
"""

from __future__ import annotations

from typing import Any

import pytest

from .asserting import CIDR, A, B, refused, route_to, routes_of
from .network import Network

pytestmark = pytest.mark.timeout(60)


def to(net: Network, table: str, cidr: str = CIDR) -> dict[str, dict[str, Any]]:
    """The routes of one destination, by their origin."""
    found = [r for r in routes_of(net, table) if r.get("DestinationCidrBlock") == cidr]
    by_origin = {route["Origin"]: route for route in found}
    assert len(by_origin) == len(found)
    return by_origin


def test_a_propagated_route_stands_beside_a_static_one(net: Network, table: str) -> None:
    gateway = net.ec2.propagate_route(table, CIDR)
    assert gateway.startswith("vgw-")
    route = route_to(net, table)
    assert route["Origin"] == "EnableVgwRoutePropagation"
    assert route["GatewayId"] == gateway
    refused("InvalidParameterValue", net.replace_route, table_id=table, cidr=CIDR, target=A)
    refused("InvalidRoute.NotFound", net.delete_route, table_id=table, cidr=CIDR)
    net.create_route(table, CIDR, A)
    origins = [r["Origin"] for r in routes_of(net, table) if r["DestinationCidrBlock"] == CIDR]
    assert sorted(origins) == ["CreateRoute", "EnableVgwRoutePropagation"]
    net.delete_route(table, CIDR)
    assert route_to(net, table)["Origin"] == "EnableVgwRoutePropagation"


def test_planted_routes_need_a_gateway_or_a_table_and_a_network(net: Network, table: str) -> None:
    gateway = net.ec2.propagate_route(table, CIDR)
    with pytest.raises(ValueError, match="vgw-none"):
        net.ec2.learn_routes("vgw-none", CIDR)
    with pytest.raises(ValueError, match="nonsense"):
        net.ec2.learn_routes(gateway, "nonsense")
    with pytest.raises(ValueError, match="rtb-none"):
        net.ec2.advertise_routes("rtb-none")
    with pytest.raises(ValueError, match="nonsense"):
        net.ec2.advertise_routes(table, {"cidr": "nonsense", "interface_id": net.eni_of[A]})
    assert set(to(net, table)) == {"EnableVgwRoutePropagation"}


def test_a_gateway_propagates_what_it_learns_where_that_is_enabled(
    net: Network, table: str
) -> None:
    gateway = net.add_gateway("vpn")
    net.client.enable_vgw_route_propagation(RouteTableId=table, GatewayId=gateway)
    net.client.enable_vgw_route_propagation(RouteTableId=table, GatewayId=gateway)
    [shown] = net.client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert shown["PropagatingVgws"] == [{"GatewayId": gateway}]
    net.ec2.learn_routes(gateway, CIDR, "2001:db8::/32")
    assert to(net, table)["EnableVgwRoutePropagation"]["GatewayId"] == gateway
    assert "2001:db8::/32" in [r.get("DestinationIpv6CidrBlock") for r in routes_of(net, table)]
    assert to(net, net.table_ids[1]) == {}
    net.ec2.learn_routes(gateway, "10.9.0.0/16")
    assert to(net, table) == {}
    assert route_to(net, table, "10.9.0.0/16")["State"] == "active"
    net.client.detach_vpn_gateway(VpnGatewayId=gateway, VpcId=net.vpc_id)
    assert to(net, table, "10.9.0.0/16") == {}
    net.client.attach_vpn_gateway(VpnGatewayId=gateway, VpcId=net.vpc_id)
    assert to(net, table, "10.9.0.0/16")
    net.client.disable_vgw_route_propagation(RouteTableId=table, GatewayId=gateway)
    assert len(routes_of(net, table)) == 1


def test_only_an_attached_gateway_propagates(net: Network, table: str) -> None:
    loose = net.client.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    call = net.client.enable_vgw_route_propagation
    refused("Gateway.NotAttached", call, RouteTableId=table, GatewayId=loose)
    unknown = "vgw-0123456789abcdef0"
    refused("InvalidVpnGatewayID.NotFound", call, RouteTableId=table, GatewayId=unknown)
    refused("InvalidRouteTableID.NotFound", call, RouteTableId="rtb-1", GatewayId=loose)
    gateway = net.add_gateway("vpn")
    refused("DryRunOperation", call, RouteTableId=table, GatewayId=gateway, DryRun=True)
    [shown] = net.client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert shown["PropagatingVgws"] == []


def test_a_gateways_own_table_is_not_propagated_into(net: Network) -> None:
    """ "Gateway route tables": no propagation, whichever comes first."""
    vpn, edge = net.add_gateway("vpn"), net.edge_table()
    refused(
        "InvalidParameterValue",
        net.client.enable_vgw_route_propagation,
        RouteTableId=edge,
        GatewayId=vpn,
    )
    other = net.table_ids[1]
    net.client.enable_vgw_route_propagation(RouteTableId=other, GatewayId=vpn)
    gateway = net.add_gateway()
    call = net.client.associate_route_table
    refused("InvalidParameterValue", call, RouteTableId=other, GatewayId=gateway)
    net.client.disable_vgw_route_propagation(RouteTableId=other, GatewayId=vpn)
    call(RouteTableId=other, GatewayId=gateway)


def test_route_servers_routes_are_shown_as_advertised(net: Network, table: str) -> None:
    net.ec2.advertise_routes(table, {"cidr": CIDR, "interface_id": net.eni_of[A]})
    assert to(net, table)["Advertisement"] == {
        "DestinationCidrBlock": CIDR,
        "InstanceId": net.instance_of[A],
        "InstanceOwnerId": "123456789012",
        "IpAddress": A,
        "NetworkInterfaceId": net.eni_of[A],
        "Origin": "Advertisement",
        "State": "active",
    }
    net.stop(A)
    assert to(net, table)["Advertisement"]["State"] == "blackhole"
    refused("InvalidParameterValue", net.replace_route, table_id=table, cidr=CIDR, target=B)
    refused("InvalidRoute.NotFound", net.delete_route, table_id=table, cidr=CIDR)
    net.create_route(table, CIDR, B)
    assert set(to(net, table)) == {"Advertisement", "CreateRoute"}
    net.ec2.advertise_routes(table)
    assert set(to(net, table)) == {"CreateRoute"}


def test_a_route_can_be_filtered(net: Network, table: str) -> None:
    route = {"cidr": CIDR, "interface_id": net.eni_of[A], "state": "filtered"}
    net.ec2.advertise_routes(table, route)
    assert to(net, table)["Advertisement"]["State"] == "filtered"
    answer = net.client.describe_route_tables(
        Filters=[{"Name": "route.state", "Values": ["filtered"]}]
    )
    assert [each["RouteTableId"] for each in answer["RouteTables"]] == [table]
    with pytest.raises(ValueError, match="state"):
        net.ec2.advertise_routes(table, {**route, "state": "tired"})
    with pytest.raises(ValueError, match="eni-none"):
        net.ec2.advertise_routes(table, {**route, "interface_id": "eni-none"})


@pytest.mark.parametrize("kind", ["internet", "vpn"])
def test_a_detached_gateway_blackholes_its_routes(net: Network, table: str, kind: str) -> None:
    gateway = net.add_gateway(kind)
    net.client.create_route(RouteTableId=table, DestinationCidrBlock=CIDR, GatewayId=gateway)
    assert route_to(net, table)["State"] == "active"
    if kind == "internet":
        net.client.detach_internet_gateway(InternetGatewayId=gateway, VpcId=net.vpc_id)
    else:
        net.client.detach_vpn_gateway(VpnGatewayId=gateway, VpcId=net.vpc_id)
    assert route_to(net, table)["State"] == "blackhole"


def test_a_deleted_nat_gateway_blackholes_its_routes(net: Network, table: str) -> None:
    made = net.client.create_nat_gateway(SubnetId=net.subnet_of(A), ConnectivityType="private")
    gateway = made["NatGateway"]["NatGatewayId"]
    net.client.create_route(RouteTableId=table, DestinationCidrBlock=CIDR, NatGatewayId=gateway)
    assert route_to(net, table)["State"] == "active"
    net.client.delete_nat_gateway(NatGatewayId=gateway)
    assert route_to(net, table)["State"] == "blackhole"
    assert route_to(net, table)["NatGatewayId"] == gateway
