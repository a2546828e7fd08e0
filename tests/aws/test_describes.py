"""Pages, filters, and addresses that describes show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .asserting import CIDR, HOSTS, A, B, refused
from .client import IMAGE, EmbeddedEc2
from .network import Network
from .prefix_list_helpers import create

pytestmark = pytest.mark.timeout(60)


PAGED = [
    ("describe_route_tables", "RouteTables", 5, 100),
    ("describe_network_interfaces", "NetworkInterfaces", 5, 1000),
    ("describe_subnets", "Subnets", 5, 1000),
    ("describe_vpcs", "Vpcs", 5, 1000),
    ("describe_instances", "Reservations", 5, 1000),
    ("describe_instance_status", "InstanceStatuses", 5, 1000),
    ("describe_internet_gateways", "InternetGateways", 5, 1000),
    ("describe_nat_gateways", "NatGateways", 5, 1000),
    ("describe_managed_prefix_lists", "PrefixLists", 1, 100),
]


@pytest.fixture(scope="module")
def crowd(server: EmbeddedEc2) -> Network:
    """Enough of everything for several pages."""
    server.reset()
    net = Network.build(server, tables=13, hosts=[f"127.0.1.{n}" for n in range(10, 22)])
    for n in range(12):
        net.client.create_vpc(CidrBlock=f"10.{n}.0.0/16")
        net.client.create_internet_gateway()
        net.client.create_nat_gateway(SubnetId=net.subnet_of(A), ConnectivityType="private")
        create(net)
    return net


@pytest.mark.parametrize(("call", "key", "least", "most"), PAGED)
class TestPaging:
    """API Reference: MaxResults and NextToken of each call."""

    @pytest.fixture(autouse=True)
    def _default_settings(self, crowd: Network) -> Iterator[None]:
        yield
        crowd.ec2.settings(page_size=None)

    def test_max_results_is_honoured(
        self, crowd: Network, call: str, key: str, least: int, most: int
    ) -> None:
        method = getattr(crowd.client, call)
        everything = method()[key]
        pages: list[Any] = []
        token: dict[str, str] = {}
        while True:
            answer = method(MaxResults=5, **token)
            pages.append(answer[key])
            if not answer.get("NextToken"):
                break
            token = {"NextToken": answer["NextToken"]}
        assert len(pages) >= 3
        assert all(len(page) == 5 for page in pages[:-1])
        assert [item for page in pages for item in page] == everything
        assert len(method(MaxResults=most)[key]) == len(everything)
        paginator = crowd.client.get_paginator(call)  # type: ignore[call-overload]
        pages = list(paginator.paginate(PaginationConfig={"PageSize": 5}))
        assert [len(page[key]) for page in pages[:-1]] == [5] * (len(pages) - 1)
        assert [item for page in pages for item in page[key]] == everything

    def test_max_results_has_limits(
        self, crowd: Network, call: str, key: str, least: int, most: int
    ) -> None:
        # boto3 would stop what is too small itself.
        method = getattr(crowd.ec2.client(validate=False), call)
        refused("InvalidParameterValue", method, MaxResults=least - 1)
        refused("InvalidParameterValue", method, MaxResults=most + 1)

    def test_a_page_size_can_be_forced(
        self, crowd: Network, call: str, key: str, least: int, most: int
    ) -> None:
        method = getattr(crowd.client, call)
        everything = method()[key]
        crowd.ec2.settings(page_size=2)
        answer = method()
        assert answer[key] == everything[:2]
        assert answer["NextToken"]
        pages = crowd.client.get_paginator(call).paginate()  # type: ignore[call-overload]
        assert [item for page in pages for item in page[key]] == everything

    def test_a_bad_token_is_refused(
        self, crowd: Network, call: str, key: str, least: int, most: int
    ) -> None:
        method = getattr(crowd.client, call)
        refused("InvalidPaginationToken", method, NextToken="nonsense")


def test_instances_page_by_the_forced_size_too(net: Network) -> None:
    net.ec2.settings(page_size=2)
    answer = net.client.describe_instances()
    assert len(answer["Reservations"]) == 2
    pages = net.client.get_paginator("describe_instances").paginate()
    instances = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
    assert {i["PrivateIpAddress"] for i in instances} == set(HOSTS)


def test_what_is_asked_by_id_is_not_paged(net: Network) -> None:
    net.ec2.settings(page_size=1)
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=list(net.eni_of.values()))
    assert len(answer["NetworkInterfaces"]) == 3
    refused(
        "InvalidParameterCombination",
        net.client.describe_network_interfaces,
        NetworkInterfaceIds=[net.eni_of[A]],
        MaxResults=5,
    )


def test_interfaces_and_instances_are_found_by_any_of_their_addresses(net: Network) -> None:
    net.assign_secondary(A, "127.0.1.99")
    wanted = ["127.0.1.99", B, "127.0.3.200"]
    interfaces = net.client.describe_network_interfaces(
        Filters=[{"Name": "addresses.private-ip-address", "Values": wanted}]
    )["NetworkInterfaces"]
    assert {i["NetworkInterfaceId"] for i in interfaces} == {net.eni_of[A], net.eni_of[B]}
    reservations = net.client.describe_instances(
        Filters=[{"Name": "network-interface.addresses.private-ip-address", "Values": wanted}]
    )["Reservations"]
    found = {i["InstanceId"] for r in reservations for i in r["Instances"]}
    assert found == {net.instance_of[A], net.instance_of[B]}


def test_an_address_is_on_one_interface_at_a_time(net: Network) -> None:
    net.assign_secondary(A, "127.0.1.99")
    other = net.add_host("127.0.1.11")
    call = net.client.assign_private_ip_addresses
    taken: dict[str, Any] = {"NetworkInterfaceId": other, "PrivateIpAddresses": ["127.0.1.99"]}
    refused("InvalidIPAddress.InUse", call, **taken)
    call(**taken, AllowReassignment=True)
    found = net.client.describe_network_interfaces(
        Filters=[{"Name": "private-ip-address", "Values": ["127.0.1.99"]}]
    )["NetworkInterfaces"]
    assert [i["NetworkInterfaceId"] for i in found] == [other]
    refused("InvalidIPAddress.InUse", net.add_host, address=A)
    subnet = net.subnet_of(A)
    refused(
        "InvalidIPAddress.InUse",
        net.client.create_network_interface,
        SubnetId=subnet,
        PrivateIpAddress=A,
    )
    refused(
        "InvalidParameterValue",
        net.client.run_instances,
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        PrivateIpAddress="127.0.9.9",
    )


def test_the_source_dest_check_is_one_value(net: Network) -> None:
    def of_instance() -> bool:
        answer = net.client.describe_instances(InstanceIds=[net.instance_of[A]])
        return answer["Reservations"][0]["Instances"][0]["SourceDestCheck"]

    assert not of_instance()
    net.client.modify_instance_attribute(
        InstanceId=net.instance_of[A], SourceDestCheck={"Value": True}
    )
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=[net.eni_of[A]])
    assert answer["NetworkInterfaces"][0]["SourceDestCheck"]
    assert of_instance()


def test_tables_are_filtered_by_their_routes(net: Network, table: str) -> None:
    def found(name: str, value: str) -> list[str]:
        answer = net.client.describe_route_tables(
            Filters=[
                {"Name": "vpc-id", "Values": [net.vpc_id]},
                {"Name": name, "Values": [value]},
            ]
        )
        return [t["RouteTableId"] for t in answer["RouteTables"]]

    net.create_route(table, CIDR, A)
    net.stop(A)
    assert found("route.state", "blackhole") == [table]
    assert found("route.origin", "CreateRoute") == [table]
    assert found("route.instance-id", net.instance_of[A]) == [table]
    assert found("route.instance-id", net.instance_of[B]) == []
    v6: dict[str, Any] = {"RouteTableId": table, "DestinationIpv6CidrBlock": "fd00::/64"}
    net.client.create_route(**v6, NetworkInterfaceId=net.eni_of[A])
    assert found("route.destination-ipv6-cidr-block", "fd00::/64") == [table]
    assert found("route.destination-ipv6-cidr-block", "fd01::/64") == []
    assert found("association.subnet-id", net.subnet_of(A)) == [net.table_ids[1]]
    refused("InvalidParameterValue", found, name="route.colour", value="blue")
