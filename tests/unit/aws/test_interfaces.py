"""Which interfaces are read: all of a small VPC, of a large one those that are needed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from vpcrouter.aws import interfaces as reading
from vpcrouter.aws.interfaces import InterfaceReader
from vpcrouter.errors import Ec2Error
from vpcrouter.model.view import Interface, Scope
from vpcrouter.routing.partial_read import MOST

A, B, IN_PREFIX, NOWHERE = "10.0.0.1", "10.0.0.2", "10.0.1.77", "10.0.9.9"
PREFIX = "10.0.1.64/28"
INTERFACES, INSTANCES = "describe_network_interfaces", "describe_instances"


def item(name: str, *addresses: str, prefixes: Sequence[str] = ()) -> dict[str, Any]:
    """An interface as EC2 shows it."""
    return {
        "NetworkInterfaceId": name,
        "PrivateIpAddresses": [
            {"PrivateIpAddress": each, "Primary": each == addresses[0]}
            for each in sorted(addresses, reverse=True)
        ],
        "Attachment": {"InstanceId": f"i-{name}", "InstanceOwnerId": "1"},
        "Ipv4Prefixes": [{"Ipv4Prefix": each} for each in prefixes],
    }


class PlayedClient:
    """Pages of a list of interfaces by the filters that are asked for, which it notes."""

    def __init__(self, *items: dict[str, Any], others: int = 0) -> None:
        self.items = [
            *items,
            *(item(f"eni-o{n}", f"10.9.{n >> 8}.{n & 255}") for n in range(others)),
        ]
        self.asked: list[tuple[str, str | None, int]] = []
        """Of each request the operation, the second filter, and how many values that has."""
        self.refusal: Ec2Error | None = None
        self.refuses: tuple[str, str | None] = INSTANCES, reading.BY_PREFIX

    def get_paginator(self, operation: str) -> "PlayedClient":
        self._operation = operation
        return self

    def paginate(
        self,
        Filters: Sequence[Mapping[str, Any]],  # noqa: N803
        PaginationConfig: Mapping[str, int],  # noqa: N803
    ) -> Iterator[Mapping[str, Any]]:
        operation, size = self._operation, PaginationConfig["PageSize"]
        of_vpc, *others = Filters
        assert of_vpc == {"Name": "vpc-id", "Values": ["vpc-1"]}
        name, values = (others[0]["Name"], others[0]["Values"]) if others else (None, [])
        found = [each for each in self.items if name is None or self._matches(each, name, values)]
        for start in range(0, max(1, len(found)), size):
            self.asked.append((operation, name, len(values)))
            if self.refusal and self.refuses == (operation, name):
                raise self.refusal
            page = found[start : start + size]
            more = {"NextToken": "t"} if start + size < len(found) else {}
            if operation == INSTANCES:
                instances = [{"NetworkInterfaces": [each]} for each in page]
                yield {"Reservations": [{"Instances": [{}, *instances]}], **more}
            else:
                yield {"NetworkInterfaces": page, **more}

    def _matches(self, each: Mapping[str, Any], name: str, values: Sequence[str]) -> bool:
        has = {
            reading.BY_ADDRESS: [its["PrivateIpAddress"] for its in each["PrivateIpAddresses"]],
            reading.BY_ID: [each["NetworkInterfaceId"]],
            reading.BY_PREFIX: [its["Ipv4Prefix"] for its in each["Ipv4Prefixes"]],
        }[name]
        return not set(has).isdisjoint(values)


class Played:
    """A reader on a played client."""

    def __init__(self, *items: dict[str, Any], others: int = 0) -> None:
        self.client = PlayedClient(*items, others=others)
        self.pages = 0
        self.reader = InterfaceReader(self.client, "vpc-1", self._progressed)  # type: ignore[arg-type]

    def _progressed(self) -> None:
        self.pages += 1

    def read(self, *hosts: str, targets: Sequence[str] = ()) -> tuple[set[str], Scope | None]:
        """The names of what is found, and the scope; `asked` begins anew."""
        self.client.asked.clear()
        found, scope = self.reader.read(lambda: hosts, targets)
        names = [each.id for each in found]
        assert len(names) == len(set(names))
        return set(names), scope

    @property
    def asked(self) -> list[str | None]:
        return [name for _, name, _ in self.client.asked]


LARGE = 2_000


def test_an_interface_is_converted() -> None:
    found, _ = Played(item("eni-a", A, B, prefixes=[PREFIX])).reader.read(lambda: (), ())
    assert found == [Interface("eni-a", (A, B), "i-eni-a", "", "", False, True, (PREFIX,), "1")]


@pytest.mark.parametrize(("others", "is_all"), [(0, True), (999, True), (1_000, False)])
def test_up_to_a_page_all_are_read(others: int, is_all: bool) -> None:
    played = Played(item("eni-a", A), others=others)
    names, scope = played.read(A)
    assert len(names) == (1 + others if is_all else 1)
    assert (scope is None) is is_all
    assert played.asked == ([None] if is_all else [None, reading.BY_ADDRESS])


def test_smaller_pages_than_asked_for_make_no_vpc_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE_SIZE", 100)
    played = Played(others=1_000)
    assert len(played.read(A)[0]) == 1_000
    assert played.pages == 10
    assert Played(others=1_001).read(A)[1] == Scope(frozenset({A}))


def test_of_a_large_one_only_hosts_and_targets_are_read_and_it_is_remembered() -> None:
    items = [item("eni-a", A), item("eni-b", B), item("eni-nat", "10.0.5.5")]
    played = Played(*items, others=LARGE)
    targets = ("eni-a", "eni-nat", "eni-gone")
    assert played.read(A, B, targets=targets)[0] == {"eni-a", "eni-b", "eni-nat"}
    assert played.read(A, B, targets=targets)[1] == Scope(frozenset({A, B}))
    assert played.asked == [reading.BY_ADDRESS, reading.BY_ID]
    played.read(A, B, targets=("eni-a",))
    assert played.asked == [reading.BY_ADDRESS], "no request for nothing"
    assert played.read()[0] == set()
    assert played.asked == []


def test_that_it_is_large_is_looked_at_again_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(item("eni-a", A), others=LARGE)
    played.read(A)
    del played.client.items[1:]
    assert played.read(A)[1] is not None
    later_s = played.reader._count_at
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    assert played.read(A) == ({"eni-a"}, None)


def test_a_vpc_that_cannot_be_read_in_time_is_a_large_one() -> None:
    played = Played(item("eni-a", A))
    played.client.refuses = INTERFACES, None
    played.client.refusal = Ec2Error("DescribeNetworkInterfaces", "ReadTimeoutError", "")
    assert played.read(A) == ({"eni-a"}, Scope(frozenset({A})))


def test_reading_by_name_after_a_time_out_has_a_time_of_its_own() -> None:
    played = Played(item("eni-a", A))
    played.client.refuses = INTERFACES, None
    played.client.refusal = Ec2Error("DescribeNetworkInterfaces", "ReadTimeoutError", "")
    played.read()
    assert played.asked == [None]
    assert played.pages == 1


def test_any_other_error_is_one() -> None:
    played = Played(item("eni-a", A))
    played.client.refuses = INTERFACES, None
    played.client.refusal = Ec2Error("DescribeNetworkInterfaces", "InternalError", "")
    with pytest.raises(Ec2Error, match="InternalError"):
        played.read(A)


def test_no_request_has_more_values_than_filters_may_have() -> None:
    hosts = [f"10.1.{n >> 8}.{n & 255}" for n in range(2 * MOST + 1)]
    items = (item(f"eni-{n}", host) for n, host in enumerate(hosts))
    played = Played(*items, others=LARGE)
    assert len(played.read(*hosts)[0]) == len(hosts)
    assert [count for _, _, count in played.client.asked] == [0, MOST, MOST, 1]


def test_a_host_in_a_delegated_prefix_is_found_by_it() -> None:
    played = Played(item("eni-a", A), item("eni-p", "10.0.0.9", prefixes=[PREFIX]), others=LARGE)
    assert played.read(A, IN_PREFIX)[0] == {"eni-a", "eni-p"}
    assert played.read(A, IN_PREFIX)[0] == {"eni-a", "eni-p"}
    assert played.asked == [reading.BY_ADDRESS, reading.BY_PREFIX, reading.BY_ID]
    assert played.read("10.0.0.9", IN_PREFIX)[0] == {"eni-p"}
    assert played.asked == [reading.BY_ADDRESS], "the interface that was found has it"


def test_one_that_is_nowhere_is_read_and_not_there() -> None:
    played = Played(item("eni-a", A), others=LARGE)
    played.read(A)
    assert played.read(A, NOWHERE) == ({"eni-a"}, Scope(frozenset({A, NOWHERE})))
    assert played.asked == [reading.BY_ADDRESS, reading.BY_PREFIX]


def test_prefixes_that_may_not_be_looked_for_are_a_fault_of_the_scope() -> None:
    played = Played(item("eni-a", A), others=LARGE)
    played.client.refusal = Ec2Error("DescribeInstances", "UnauthorizedOperation", "no")
    fault = "DescribeInstances is not permitted"
    assert played.read(A, IN_PREFIX) == ({"eni-a"}, Scope(frozenset({A, IN_PREFIX}), fault))
    assert played.read(A)[1] == Scope(frozenset({A}))
    played.client.refusal = Ec2Error("DescribeInstances", "InternalError", "no")
    with pytest.raises(Ec2Error, match="InternalError"):
        played.read(A, IN_PREFIX)
