"""Reads the route tables independently of the daemon, directly from EC2."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.aws.network import Network

Tables = Mapping[str, Mapping[str, str]]
"""CIDR → route table → host (or interface, if it is not a host's)."""


def look(network: Network) -> Tables:
    """The routes to interfaces."""
    pages = network.client.get_paginator("describe_route_tables").paginate(
        Filters=[{"Name": "vpc-id", "Values": [network.vpc_id]}]
    )
    host_of = {interface: host for host, interface in network.eni_of.items()}
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for table in (table for page in pages for table in page["RouteTables"]):
        for route in table["Routes"]:
            interface = route.get("NetworkInterfaceId")
            cidr = route.get("DestinationCidrBlock")
            if interface and cidr:
                found[cidr][table["RouteTableId"]] = host_of.get(interface, interface)
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Difference:
    """How a CIDR's route changed in some tables; None is no route."""

    cidr: str
    was: str | None
    now: str | None
    tables: tuple[str, ...]


def differences(before: Tables, after: Tables) -> Iterator[Difference]:
    """The same change in several tables is one difference."""
    for cidr in sorted(before.keys() | after.keys()):
        was_in, now_in = before.get(cidr, {}), after.get(cidr, {})
        found: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
        for table in sorted(was_in.keys() | now_in.keys()):
            was, now = was_in.get(table), now_in.get(table)
            if was != now:
                found[was, now].append(table)
        for (was, now), tables in found.items():
            yield Difference(cidr, was, now, tuple(tables))
