"""Reads the network interfaces of a VPC: all of them, or in a large VPC those that are needed.

Filters: DescribeNetworkInterfaces and DescribeInstances in the Amazon EC2 API Reference. Only the
latter finds the interface that has a delegated prefix.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from vpcrouter.aws.paging import Page, pages
from vpcrouter.aws.session import TIMED_OUT
from vpcrouter.errors import Ec2Error
from vpcrouter.model.view import Interface, Scope, prefix_of
from vpcrouter.routing.partial_read import MOST

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef

MOST_INTERFACES = PAGE_SIZE = 1000
"""Up to one page of interfaces, the largest there is, all of them are read."""
RECOUNT_S = 3600.0
"""How often it is looked whether a large VPC has become a small one."""
BY_ADDRESS = "addresses.private-ip-address"
BY_ID = "network-interface-id"
BY_PREFIX = "network-interface.ipv4-prefixes.ipv4-prefix"
DENIED = "UnauthorizedOperation"

T = TypeVar("T")


class Carriers(NamedTuple):
    """The interfaces that carry some hosts, and why those with prefixes could not be found."""

    interfaces: list[Interface]
    fault: str = ""


class InterfaceReader:
    """The interfaces of one VPC. Thread-safe, as boto3's clients are. Raises Ec2Errors."""

    def __init__(
        self, client: "EC2Client", vpc: str, progressed: Callable[[], None] = lambda: None
    ) -> None:
        """`progressed` is called after each page."""
        self._client = client
        self._vpc = vpc
        self._progressed = progressed
        self._count_at = 0.0

    def read(
        self, hosts: Callable[[], Collection[str]], targets: Collection[str]
    ) -> tuple[list[Interface], Scope | None]:
        """All interfaces; or those of `hosts` and `targets`, by address and by id, and the scope.

        The hosts are asked for as late as possible: at a start they are known only a moment later.
        """
        now_s = time.monotonic()
        if now_s >= self._count_at:
            every = self._all()
            if every is not None:
                return every, None
            self._count_at = now_s + RECOUNT_S
        wanted = frozenset(hosts())
        found, fault = self.carrying(wanted)
        missing = frozenset(targets) - {each.id for each in found}
        return found + self._by(BY_ID, missing), Scope(wanted, fault)

    def carrying(self, hosts: frozenset[str]) -> Carriers:
        """The interfaces that have the hosts' addresses, or have them in a delegated prefix."""
        found = self._by(BY_ADDRESS, hosts)
        missing = hosts.difference(*(each.addresses for each in found))
        prefixes = frozenset(map(prefix_of, missing)).difference(*(i.prefixes for i in found))
        try:
            ids = self._with_prefixes(prefixes) - {each.id for each in found}
        except Ec2Error as error:
            if error.code != DENIED:
                raise
            return Carriers(found, f"{error.action} is not permitted")
        return Carriers(found + self._by(BY_ID, ids))

    def _all(self) -> list[Interface] | None:
        """None if there are more than `MOST_INTERFACES`, or so many that EC2 takes too long."""
        found: list[Interface] = []
        try:
            for page in self._pages("network_interfaces", "NetworkInterfaces", interface):
                found += page.items
                if page.has_next and len(found) >= MOST_INTERFACES:
                    return None
        except Ec2Error as error:
            if error.code != TIMED_OUT:
                raise
            self._progressed()  # what follows has a time limit of its own
            return None
        return found

    def _by(self, name: str, values: Iterable[str]) -> list[Interface]:
        return [
            found
            for some in _batches(values)
            for page in self._pages(
                "network_interfaces", "NetworkInterfaces", interface, {"Name": name, "Values": some}
            )
            for found in page.items
        ]

    def _with_prefixes(self, prefixes: frozenset[str]) -> frozenset[str]:
        """The ids of the instances' interfaces that have any of these."""
        return frozenset(
            found["NetworkInterfaceId"]
            for some in _batches(prefixes)
            for page in self._pages(
                "instances", "Reservations", dict, {"Name": BY_PREFIX, "Values": some}
            )
            for reservation in page.items
            for instance in reservation["Instances"]
            for found in instance.get("NetworkInterfaces", ())
            if not prefixes.isdisjoint(_prefixes(found))
        )

    def _pages(
        self,
        operation: str,
        result_key: str,
        convert: Callable[[Mapping[str, Any]], T],
        *filters: "FilterTypeDef",
    ) -> Iterator[Page[T]]:
        of_vpc: FilterTypeDef = {"Name": "vpc-id", "Values": [self._vpc]}
        how = {"Filters": [of_vpc, *filters]}
        for page in pages(self._client, operation, result_key, convert, PAGE_SIZE, **how):
            self._progressed()
            yield page


def _batches(values: Iterable[str]) -> Iterator[list[str]]:
    """As many values at once as the filters of one request may have."""
    in_order = iter(sorted(values))
    while some := list(islice(in_order, MOST)):
        yield some


def interface(item: Mapping[str, Any]) -> Interface:
    addresses = sorted(
        item.get("PrivateIpAddresses", ()), key=lambda address: not address.get("Primary")
    )
    attachment = item.get("Attachment", {})
    return Interface(
        item["NetworkInterfaceId"],
        tuple(address["PrivateIpAddress"] for address in addresses),
        attachment.get("InstanceId"),
        item.get("SubnetId", ""),
        item.get("AvailabilityZone", ""),
        bool(item.get("SourceDestCheck")),
        item.get("InterfaceType", "interface") in ("interface", "efa", "trunk", "branch")
        and not item.get("RequesterManaged"),
        _prefixes(item),
        attachment.get("InstanceOwnerId", ""),
    )


def _prefixes(item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(each["Ipv4Prefix"] for each in item.get("Ipv4Prefixes", ()))
