"""No dry run is executed, of whatever action.

Source: EC2 API Reference, "Common query parameters" (DryRun).
"""

from __future__ import annotations

from typing import Any

import pytest

from .asserting import CIDR, A, B, refused
from .network import Network

pytestmark = pytest.mark.timeout(60)


def state(net: Network) -> list[Any]:
    """All that the calls below could change."""
    client: Any = net.client
    shown = [
        client.describe_vpcs()["Vpcs"],
        client.describe_route_tables()["RouteTables"],
        client.describe_subnets()["Subnets"],
        client.describe_network_interfaces()["NetworkInterfaces"],
        client.describe_instances()["Reservations"],
        client.describe_internet_gateways()["InternetGateways"],
        client.describe_vpn_gateways()["VpnGateways"],
    ]
    return [sorted(map(str, each)) for each in shown]


CALLS = [
    "associate_route_table",
    "create_internet_gateway",
    "create_network_interface",
    "create_route_table",
    "create_subnet",
    "create_vpc",
    "create_vpn_gateway",
    "delete_network_interface",
    "delete_route_table",
    "disassociate_route_table",
    "modify_network_interface_attribute",
    "replace_route_table_association",
    "run_instances",
    "stop_instances",
    "terminate_instances",
]


def params(net: Network, call: str) -> dict[str, Any]:
    """What would do something if it weren't dry."""
    main, second, _ = net.table_ids
    [shown] = net.client.describe_route_tables(RouteTableIds=[second])["RouteTables"]
    association = shown["Associations"][0]["RouteTableAssociationId"]
    spare = net.client.create_route_table(VpcId=net.vpc_id)["RouteTable"]["RouteTableId"]
    eni = {"NetworkInterfaceId": net.eni_of[A]}
    free: Any = net.client.create_network_interface(SubnetId=net.subnet_of(A))["NetworkInterface"]
    given: dict[str, dict[str, Any]] = {
        "associate_route_table": {"RouteTableId": spare, "GatewayId": net.add_gateway()},
        "create_internet_gateway": {},
        "create_network_interface": {"SubnetId": net.subnet_of(A)},
        "create_route_table": {"VpcId": net.vpc_id},
        "create_subnet": {"VpcId": net.vpc_id, "CidrBlock": "127.0.9.0/24"},
        "create_vpc": {"CidrBlock": "10.0.0.0/16"},
        "create_vpn_gateway": {"Type": "ipsec.1"},
        "delete_network_interface": {"NetworkInterfaceId": free["NetworkInterfaceId"]},
        "delete_route_table": {"RouteTableId": spare},
        "disassociate_route_table": {"AssociationId": association},
        "modify_network_interface_attribute": {**eni, "SourceDestCheck": {"Value": True}},
        "replace_route_table_association": {"AssociationId": association, "RouteTableId": main},
        "run_instances": {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1},
        "stop_instances": {"InstanceIds": [net.instance_of[A]]},
        "terminate_instances": {"InstanceIds": [net.instance_of[A]]},
    }
    return given[call]


@pytest.mark.parametrize("call", CALLS)
def test_a_dry_run_of_a_change_changes_nothing(net: Network, call: str) -> None:
    given = params(net, call)
    before = state(net)
    refused("DryRunOperation", getattr(net.client, call), **given, DryRun=True)
    assert state(net) == before
    getattr(net.client, call)(**given)
    assert state(net) != before


def test_a_dry_run_of_a_route_changes_nothing(net: Network, table: str) -> None:
    dry: dict[str, Any] = {"RouteTableId": table, "DestinationCidrBlock": CIDR, "DryRun": True}
    a, b = net.eni_of[A], net.eni_of[B]
    refused("DryRunOperation", net.client.create_route, **dry, NetworkInterfaceId=a)
    assert net.routes(CIDR)[table] is None
    net.create_route(table, CIDR, A)
    refused("DryRunOperation", net.client.replace_route, **dry, NetworkInterfaceId=b)
    refused("DryRunOperation", net.client.delete_route, **dry)
    assert net.routes(CIDR)[table] == A


@pytest.mark.parametrize(
    "call",
    [
        "describe_instance_status",
        "describe_network_interfaces",
        "describe_route_tables",
        "describe_subnets",
        "describe_managed_prefix_lists",
    ],
)
def test_a_dry_run_of_a_describe_tells_nothing(net: Network, call: str) -> None:
    refused("DryRunOperation", getattr(net.client, call), DryRun=True)
