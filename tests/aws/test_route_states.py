"""Routes whose interface or instance is gone."""

from __future__ import annotations

import pytest

from .asserting import CIDR, A, refused, route_to
from .network import Network

pytestmark = pytest.mark.timeout(60)


def test_a_stopped_instance_blackholes_its_routes_until_it_starts(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.stop(A)
    route = route_to(net, table)
    assert route["State"] == "blackhole"
    assert route["InstanceId"] == net.instance_of[A]
    net.start(A)
    assert route_to(net, table)["State"] == "active"


def test_a_terminated_instance_leaves_blackholes_and_takes_its_interface(
    net: Network, table: str
) -> None:
    net.create_route(table, CIDR, A)
    net.terminate(A)
    route = route_to(net, table)
    assert (route["State"], route["NetworkInterfaceId"]) == ("blackhole", net.eni_of[A])
    assert "InstanceId" not in route
    refused(
        "InvalidNetworkInterfaceID.NotFound",
        net.client.describe_network_interfaces,
        NetworkInterfaceIds=[net.eni_of[A]],
    )
    by_address = net.client.describe_network_interfaces(
        Filters=[{"Name": "addresses.private-ip-address", "Values": [A]}]
    )
    assert by_address["NetworkInterfaces"] == []
    answer = net.client.describe_instances(InstanceIds=[net.instance_of[A]])
    instance = answer["Reservations"][0]["Instances"][0]
    assert instance["State"]["Name"] == "terminated"
    assert not instance.get("NetworkInterfaces")
    assert not {"PrivateIpAddress", "SubnetId", "VpcId"} & set(instance)


def test_the_address_of_a_terminated_instance_can_be_used_again(net: Network) -> None:
    old = net.eni_of[A]
    net.terminate(A)
    assert net.add_host(A) != old


def test_an_interface_that_outlives_its_instance_stays_detached(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.detach(A)
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=[net.eni_of[A]])
    interface = answer["NetworkInterfaces"][0]
    assert interface["Status"] == "available"
    assert interface["PrivateIpAddress"] == A
    assert "Attachment" not in interface
    route = route_to(net, table)
    assert (route["State"], route["NetworkInterfaceId"]) == ("blackhole", net.eni_of[A])


def test_a_secondary_interface_can_be_detached_and_deleted(net: Network, table: str) -> None:
    host = "127.0.1.77"
    net.add_host(host, on_secondary=True)
    net.create_route(table, CIDR, host)
    assert route_to(net, table)["State"] == "active"
    net.detach(host)
    assert route_to(net, table)["State"] == "blackhole"
    answer = net.client.describe_instances(InstanceIds=[net.instance_of[host]])
    assert answer["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
    net.client.delete_network_interface(NetworkInterfaceId=net.eni_of[host])
    route = route_to(net, table)
    assert (route["State"], route["NetworkInterfaceId"]) == ("blackhole", net.eni_of[host])


def test_a_deleted_interface_blackholes_its_routes(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.delete_interface(A)
    assert route_to(net, table)["State"] == "blackhole"
    assert net.routes(CIDR)[table] == A


def test_an_attached_interface_is_not_deleted_nor_a_primary_one_detached(net: Network) -> None:
    eni = net.eni_of[A]
    refused("InvalidParameterValue", net.client.delete_network_interface, NetworkInterfaceId=eni)
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=[eni])
    attachment = answer["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    refused("OperationNotPermitted", net.client.detach_network_interface, AttachmentId=attachment)
