"""The local routes of a VPC, and those more specific than they are.

Sources: VPC User Guide, "Subnet route tables" (rules and considerations) and "Replace or restore
the target for a local route".
"""

from __future__ import annotations

import pytest

from .asserting import A, refused, route_to
from .client import Network

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
