"""What is made of EC2's answers, also of those that are unusual."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from vpcrouter.aws import ec2 as reading
from vpcrouter.aws.ec2 import Ec2
from vpcrouter.aws.paging import MOST_PAGES
from vpcrouter.errors import Ec2Error
from vpcrouter.model.view import Subnet
from vpcrouter.routing.partial_read import ReadRequest

TABLES, SUBNETS = "describe_route_tables", "describe_subnets"
Pages = Iterable[Mapping[str, Any]]


class PlayedClient:
    """Answers each operation with pages of its own."""

    meta = SimpleNamespace(region_name="us-east-1")

    def __init__(self, pages: Mapping[str, Pages]) -> None:
        self._pages = {
            SUBNETS: [{"Subnets": []}],
            "describe_network_interfaces": [{"NetworkInterfaces": []}],
            **pages,
        }

    def get_paginator(self, operation: str) -> SimpleNamespace:
        def paginate(**_: Any) -> Iterator[Mapping[str, Any]]:
            return iter(self._pages[operation])

        return SimpleNamespace(paginate=paginate)


def table(name: str, *cidrs: str) -> dict[str, Any]:
    """A route table as EC2 shows it."""
    routes = [{"DestinationCidrBlock": each, "Origin": "CreateRoute"} for each in cidrs]
    return {"RouteTableId": name, "Associations": [], "Routes": routes}


def playing(monkeypatch: pytest.MonkeyPatch, pages: Mapping[str, Pages]) -> Ec2:
    monkeypatch.setattr(reading, "open_session", lambda _region: None)
    monkeypatch.setattr(reading, "make_client", lambda *_, **__: PlayedClient(pages))
    return Ec2("us-east-1", "vpc-1", lambda: None)


TWICE: Sequence[Mapping[str, Any]] = (
    {"RouteTables": [table("rtb-1"), table("rtb-2")], "NextToken": "2"},
    {"RouteTables": [table("rtb-2", "10.0.0.0/8"), table("rtb-3")]},
)


def test_a_table_that_is_on_two_pages_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ec2 = playing(monkeypatch, {TABLES: TWICE})
    tables = ec2.observe(frozenset).tables
    assert [each.id for each in tables] == ["rtb-1", "rtb-2", "rtb-3"]
    assert tables[1].routes, "the later one"
    part = ec2.read_part(ReadRequest(tables=frozenset({"rtb-1", "rtb-2", "rtb-3"})))
    assert sorted(each.id for each in part.tables) == ["rtb-1", "rtb-2", "rtb-3"]


def test_a_subnet_without_ipv4_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    subnet = {"SubnetId": "subnet-6", "AvailabilityZone": "us-east-1a", "Ipv6Native": True}
    pages = {TABLES: [{"RouteTables": [table("rtb-1")]}], SUBNETS: [{"Subnets": [subnet]}]}
    view = playing(monkeypatch, pages).observe(frozenset)
    assert view.subnets == {"subnet-6": Subnet("subnet-6", "", "us-east-1a")}


def test_pages_that_never_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = ({"RouteTables": [table("rtb-1")], "NextToken": str(n)} for n in count())
    with pytest.raises(Ec2Error, match=f"more than {MOST_PAGES} pages"):
        playing(monkeypatch, {TABLES: pages}).observe(frozenset)
