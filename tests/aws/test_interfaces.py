"""Network interfaces: delegated prefixes, and as many as a large VPC has.

Sources: EC2 User Guide, "Prefix delegation for Amazon EC2 network interfaces"; EC2 API Reference,
DescribeNetworkInterfaces and "Error codes for the Amazon EC2 API".
"""

from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.waiting import PATIENCE

from .asserting import HOSTS, A, B, refused
from .client import IMAGE
from .network import Network

pytestmark = pytest.mark.timeout(60)

PREFIX = "127.0.1.32/28"


def interface_of(net: Network, host: str) -> dict[str, Any]:
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=[net.eni_of[host]])
    return dict(answer["NetworkInterfaces"][0])


def by_filter(net: Network, name: str, *values: str) -> list[str]:
    answer = net.client.describe_network_interfaces(
        Filters=[{"Name": name, "Values": list(values)}]
    )
    return [each["NetworkInterfaceId"] for each in answer["NetworkInterfaces"]]


# ---- delegated prefixes -------------------------------------------------------------------


def test_a_delegated_prefix_is_shown_beside_the_addresses(net: Network) -> None:
    net.delegate_prefix(A, PREFIX)
    interface = interface_of(net, A)
    assert interface["Ipv4Prefixes"] == [{"Ipv4Prefix": PREFIX}]
    assert [each["PrivateIpAddress"] for each in interface["PrivateIpAddresses"]] == [A]
    assert not interface_of(net, B).get("Ipv4Prefixes")
    assert by_filter(net, "addresses.private-ip-address", "127.0.1.33") == []
    net.client.unassign_private_ip_addresses(
        NetworkInterfaceId=net.eni_of[A], Ipv4Prefixes=[PREFIX]
    )
    assert not interface_of(net, A).get("Ipv4Prefixes")


def test_an_interface_can_be_made_with_a_prefix(net: Network) -> None:
    call = net.client.create_network_interface
    made = call(SubnetId=net.subnet_of(A), Ipv4Prefixes=[{"Ipv4Prefix": PREFIX}])
    assert made["NetworkInterface"]["Ipv4Prefixes"] == [{"Ipv4Prefix": PREFIX}]
    count = len(net.client.describe_network_interfaces()["NetworkInterfaces"])
    refused(
        "InvalidIPAddress.InUse",
        call,
        SubnetId=net.subnet_of(A),
        Ipv4Prefixes=[{"Ipv4Prefix": PREFIX}],
    )
    assert len(net.client.describe_network_interfaces()["NetworkInterfaces"]) == count


@pytest.mark.parametrize("prefix", ["127.0.1.32/27", "127.0.1.33/28", "127.0.9.0/28", "x"])
def test_a_prefix_is_a_28_of_the_subnet(net: Network, prefix: str) -> None:
    refused("InvalidParameterValue", net.delegate_prefix, host=A, prefix=prefix)


def test_an_address_is_in_one_prefix_or_on_one_interface(net: Network) -> None:
    refused("InvalidIPAddress.InUse", net.delegate_prefix, host=A, prefix="127.0.1.0/28")
    net.delegate_prefix(A, PREFIX)
    other = net.add_host("127.0.1.11")
    refused("InvalidIPAddress.InUse", net.delegate_prefix, host="127.0.1.11", prefix=PREFIX)
    refused(
        "InvalidIPAddress.InUse",
        net.client.assign_private_ip_addresses,
        NetworkInterfaceId=other,
        PrivateIpAddresses=["127.0.1.33"],
    )


def test_an_ipv6_prefix_is_an_80_of_the_subnet(net: Network) -> None:
    net.client.associate_subnet_cidr_block(
        SubnetId=net.subnet_of(A), Ipv6CidrBlock="2600:1f18:0:1::/64"
    )
    net.delegate_prefix(A, "2600:1f18:0:1:a::/80")
    assert interface_of(net, A)["Ipv6Prefixes"] == [{"Ipv6Prefix": "2600:1f18:0:1:a::/80"}]
    refused("InvalidParameterValue", net.delegate_prefix, host=A, prefix="2600:1f18:0:1::/64")
    net.client.unassign_ipv6_addresses(
        NetworkInterfaceId=net.eni_of[A], Ipv6Prefixes=["2600:1f18:0:1:a::/80"]
    )
    assert not interface_of(net, A).get("Ipv6Prefixes")


def test_instances_are_found_by_delegated_prefixes_interfaces_are_not(net: Network) -> None:
    """DescribeInstances has a filter for them, DescribeNetworkInterfaces has none."""
    net.delegate_prefix(A, PREFIX)
    answer = net.client.describe_instances(
        Filters=[
            {
                "Name": "network-interface.ipv4-prefixes.ipv4-prefix",
                "Values": [PREFIX, "127.0.1.48/28"],
            }
        ]
    )
    [found] = [i for r in answer["Reservations"] for i in r["Instances"]]
    assert found["InstanceId"] == net.instance_of[A]
    assert found["NetworkInterfaces"][0]["Ipv4Prefixes"] == [{"Ipv4Prefix": PREFIX}]
    for name in ("ipv4-prefix.ipv4-prefix", "ipv4-prefixes.ipv4-prefix"):
        refused("InvalidParameterValue", by_filter, net=net, name=name)


def test_an_interface_without_an_address_gets_a_free_one_of_its_subnet(net: Network) -> None:
    call = net.client.create_network_interface
    made = [call(SubnetId=net.subnet_of(A))["NetworkInterface"] for _ in range(12)]
    addresses = [str(each["PrivateIpAddress"]) for each in made]
    assert len({*addresses, A}) == 13
    assert {net.subnet_of(address) for address in addresses} == {net.subnet_of(A)}
    run: Any = {"ImageId": IMAGE, "MinCount": 1, "MaxCount": 1}
    places: list[Any] = [{"SubnetId": net.subnet_of(A)}, {}]
    for place in places:
        [instance] = net.client.run_instances(**run, **place)["Instances"]
        [subnet] = net.client.describe_subnets(SubnetIds=[instance["SubnetId"]])["Subnets"]
        address = IPv4Address(instance["PrivateIpAddress"])
        assert address in IPv4Network(subnet["CidrBlock"])
        assert str(address) not in addresses


def test_a_subnet_has_so_many_addresses(net: Network) -> None:
    """VPC User Guide, "Subnet CIDR blocks": all but the first four and the last."""
    made = net.client.create_subnet(VpcId=net.vpc_id, CidrBlock="127.0.9.0/28")["Subnet"]
    call, subnet = net.client.create_network_interface, made["SubnetId"]
    addresses = [call(SubnetId=subnet)["NetworkInterface"]["PrivateIpAddress"] for _ in range(11)]
    assert set(addresses) == {f"127.0.9.{n}" for n in range(4, 15)}
    refused("InsufficientFreeAddressesInSubnet", call, SubnetId=subnet)


# ---- a large VPC --------------------------------------------------------------------------


def test_a_filter_has_200_values_at_most(net: Network) -> None:
    name = "addresses.private-ip-address"
    others = [f"127.0.9.{n}" for n in range(197)]
    assert set(by_filter(net, name, *HOSTS, *others)) == set(net.eni_of.values())
    with pytest.raises(ClientError, match=r"FilterLimitExceeded.*call is 200"):
        by_filter(net, name, *HOSTS, *others, "127.0.9.250")
    refused(
        "FilterLimitExceeded",
        net.client.describe_network_interfaces,
        Filters=[
            {"Name": name, "Values": others},
            {"Name": "vpc-id", "Values": [net.vpc_id, "vpc-1", "vpc-2", "vpc-3"]},
        ],
    )


def test_interfaces_are_found_by_id_and_by_address_among_20_000(net: Network) -> None:
    started = time.monotonic()
    ids = net.fill(20_000)
    assert len(set(ids)) == 20_000
    assert by_filter(net, "addresses.private-ip-address", *HOSTS) == list(net.eni_of.values())
    assert by_filter(net, "network-interface-id", ids[7], net.eni_of[A]) == [net.eni_of[A], ids[7]]
    wanted = [*ids[::100], net.eni_of[A]]
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=wanted)
    assert {each["NetworkInterfaceId"] for each in answer["NetworkInterfaces"]} == set(wanted)
    since = net.ec2.calls()[-1].seq
    many = [f"127.0.128.{n}" for n in range(5, 205)]
    assert len(by_filter(net, "addresses.private-ip-address", *many)) == 200
    [call] = net.ec2.calls(since)
    assert call.took_s < 2
    assert time.monotonic() - started < 20


def test_a_page_of_1_000_is_quickly_told(net: Network) -> None:
    net.fill(2_000)
    since = net.ec2.calls()[-1].seq
    answer = net.client.describe_network_interfaces(
        Filters=[{"Name": "vpc-id", "Values": [net.vpc_id]}], MaxResults=1000
    )
    assert len(answer["NetworkInterfaces"]) == 1000
    assert answer["NextToken"]
    [call] = net.ec2.calls(since)
    assert call.took_s < 4 * PATIENCE


def test_a_filled_subnet_keeps_what_is_there(net: Network) -> None:
    made = net.ec2.fill(net.subnet_of(A), 240)
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=made)
    addresses = {each["PrivateIpAddress"] for each in answer["NetworkInterfaces"]}
    assert len(addresses) == 240
    assert not addresses & {A, "127.0.1.1", "127.0.1.2", "127.0.1.3"}
    with pytest.raises(ValueError, match="free addresses"):
        net.ec2.fill(net.subnet_of(A), 240)
    with pytest.raises(ValueError, match="subnet-none"):
        net.ec2.fill("subnet-none", 1)
