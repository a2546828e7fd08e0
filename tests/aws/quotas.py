"""How many tables a VPC may have, and how many routes a table ("Amazon VPC quotas").

IPv4 and IPv6 are counted apart; propagated routes don't count; a prefix list counts with the
entries it may have, not with those it has.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError

from .account import ACCOUNT


def check_tables(region: Any, vpc_id: str) -> None:
    """Raise if one more route table is too many; the main one counts."""
    present = sum(table.vpc_id == vpc_id for table in region.route_tables.values())
    if present >= ACCOUNT.route_tables:
        raise EC2ClientError(
            "RouteTableLimitExceeded", "The maximum number of route tables has been reached."
        )


def check_room(table: Any, cidr: str | None, prefix_list: Any) -> None:
    """Raise if one more route, to this IPv4 CIDR or prefix list, else to IPv6, is too many."""
    family = prefix_list.address_family if prefix_list else "IPv4" if cidr else "IPv6"
    if used(table)[family] + _weight(prefix_list) > ACCOUNT.routes_per_table:
        raise EC2ClientError(
            "RouteLimitExceeded",
            f"The maximum number of routes for route table {table.id} has been reached.",
        )


def tables_without_room(region: Any, prefix_list: Any, size: int) -> list[str]:
    """The first ten tables that refer to the list and can't, if it is as large as `size`."""
    more = size - _weight(prefix_list)
    full = [
        table.id
        for table in region.route_tables.values()
        if any(r.destination_prefix_list is prefix_list for r in table._routes.values())
        and used(table)[prefix_list.address_family] + more > ACCOUNT.routes_per_table
    ]
    return full[:10]


def used(table: Any) -> dict[str, int]:
    """What a table holds of each family."""
    count = {"IPv4": 0, "IPv6": 0}
    for route in table._routes.values():
        listed = route.destination_prefix_list
        family = listed.address_family if listed else _family(route)
        count[family] += _weight(listed)
    return count


def _family(route: Any) -> str:
    return "IPv4" if route.destination_cidr_block else "IPv6"


def _weight(prefix_list: Any) -> int:
    """A list of AWS, which shows no size, counts once."""
    return int(prefix_list.max_entries or 1) if prefix_list else 1
