"""How many routes a table holds.

Source: VPC User Guide, "Amazon VPC quotas" (route tables, customer-managed prefix lists).
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from .asserting import CIDR, A, B, refused, routes_of
from .network import Network
from .prefix_list_helpers import create, modify, shown

pytestmark = pytest.mark.timeout(60)


def route_v6(net: Network, table: str, cidr: str) -> None:
    net.client.create_route(
        RouteTableId=table, DestinationIpv6CidrBlock=cidr, NetworkInterfaceId=net.eni_of[A]
    )


def route_list(net: Network, table: str, list_id: str) -> None:
    net.client.create_route(
        RouteTableId=table, DestinationPrefixListId=list_id, NetworkInterfaceId=net.eni_of[A]
    )


def test_a_table_holds_500_routes_unless_more_is_granted(net: Network, table: str) -> None:
    """The local route is one of them, a prefix list of 498 entries that may be is 498."""
    route_list(net, table, create(net, CIDR, size=498))
    net.create_route(table, "11.0.0.0/8", A)
    refused("RouteLimitExceeded", net.create_route, table_id=table, cidr="12.0.0.0/8", target=A)
    net.create_route(net.table_ids[1], "12.0.0.0/8", A)
    net.ec2.account(routes_per_table=501)
    net.create_route(table, "12.0.0.0/8", A)
    with pytest.raises(ValueError, match="1001"):
        net.ec2.account(routes_per_table=1001)
    with pytest.raises(ValueError, match="colour"):
        net.ec2.account(colour=1)


def test_a_full_table_is_changed_and_emptied(net: Network, table: str) -> None:
    net.ec2.account(routes_per_table=2)
    net.create_route(table, CIDR, A)
    net.replace_route(table, CIDR, B)
    refused("RouteAlreadyExists", net.create_route, table_id=table, cidr=CIDR, target=A)
    refused("RouteLimitExceeded", net.create_route, table_id=table, cidr="11.0.0.0/8", target=A)
    net.delete_route(table, CIDR)
    net.create_route(table, "11.0.0.0/8", A)


def test_ipv4_and_ipv6_are_counted_apart(net: Network, table: str) -> None:
    net.ec2.account(routes_per_table=2)
    net.create_route(table, CIDR, A)
    route_v6(net, table, "fd00::/64")
    v6 = create(net, "fd01::/64", size=1, family="IPv6")
    route_list(net, table, v6)
    for call, what in ((route_v6, "fd02::/64"), (route_list, create(net, family="IPv6"))):
        with pytest.raises(ClientError, match="RouteLimitExceeded"):
            call(net, table, what)
    assert len(routes_of(net, table)) == 4


def test_propagated_routes_do_not_count(net: Network, table: str) -> None:
    net.ec2.account(routes_per_table=2)
    net.ec2.propagate_route(table, "11.0.0.0/8")
    net.create_route(table, CIDR, A)
    assert len(routes_of(net, table)) == 3


def test_a_list_that_grows_too_large_for_a_table_stays_as_it_is(net: Network, table: str) -> None:
    net.ec2.account(routes_per_table=5)
    list_id = create(net, CIDR, size=2)
    route_list(net, table, list_id)
    modify(net, list_id, MaxEntries=4)
    assert shown(net, list_id)["State"] == "modify-complete"
    assert modify(net, list_id, MaxEntries=5)["State"] == "modify-in-progress"
    now: dict[str, Any] = shown(net, list_id)
    assert (now["State"], now["MaxEntries"]) == ("modify-failed", 4)
    assert table in now["StateMessage"]


def test_a_vpc_has_200_tables_unless_less_is_granted(net: Network) -> None:
    call = net.client.create_route_table
    net.ec2.account(route_tables=4)
    call(VpcId=net.vpc_id)
    refused("RouteTableLimitExceeded", call, VpcId=net.vpc_id)
    net.ec2.account(route_tables=200)
    for _ in range(200 - 4):
        call(VpcId=net.vpc_id)
    refused("RouteTableLimitExceeded", call, VpcId=net.vpc_id)
