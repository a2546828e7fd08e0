"""Instances between states, and interfaces that move, with what routes show of it.

Sources: EC2 User Guide, "Amazon EC2 instance state changes" and "Network interface attachments";
EC2 API Reference, AssignPrivateIpAddresses and AttachNetworkInterface.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.waiting import wait_until

from .asserting import CIDR, A, B, C, refused, route_to
from .network import Network

pytestmark = pytest.mark.timeout(60)

SLOW_S = 0.5
HOST = "127.0.1.77"


def state(net: Network, host: str) -> str:
    answer = net.client.describe_instances(InstanceIds=[net.instance_of[host]])
    return answer["Reservations"][0]["Instances"][0]["State"]["Name"]


def becomes(net: Network, host: str, name: str) -> None:
    wait_until(lambda: state(net, host) == name, 5, f"a {name} instance")


def interface(net: Network, host: str) -> dict[str, Any]:
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=[net.eni_of[host]])
    return dict(answer["NetworkInterfaces"][0])


def attach(net: Network, host: str, to: str, index: int = 1) -> None:
    net.client.attach_network_interface(
        NetworkInterfaceId=net.eni_of[host], InstanceId=net.instance_of[to], DeviceIndex=index
    )


# ---- states -------------------------------------------------------------------------------


def test_an_instance_starts_and_stops_by_steps(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.ec2.account(instance_s=SLOW_S)
    net.stop(A)
    assert state(net, A) == "stopping"
    assert route_to(net, table)["State"] == "active"
    becomes(net, A, "stopped")
    assert route_to(net, table)["State"] == "blackhole"
    net.start(A)
    assert state(net, A) == "pending"
    assert route_to(net, table)["State"] == "blackhole"
    becomes(net, A, "running")
    assert route_to(net, table)["State"] == "active"


def test_an_instance_is_pending_at_first(net: Network) -> None:
    net.ec2.account(instance_s=SLOW_S)
    net.add_host(HOST)
    assert state(net, HOST) == "pending"
    assert interface(net, HOST)["Status"] == "in-use"
    becomes(net, HOST, "running")


def test_an_instance_keeps_its_interfaces_until_it_is_terminated(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.ec2.account(instance_s=SLOW_S)
    net.terminate(A)
    assert state(net, A) == "shutting-down"
    assert interface(net, A)["PrivateIpAddress"] == A
    assert route_to(net, table)["State"] == "active"
    becomes(net, A, "terminated")
    refused("InvalidNetworkInterfaceID.NotFound", interface, net=net, host=A)
    assert route_to(net, table)["State"] == "blackhole"


def test_a_new_change_overtakes_the_one_under_way(net: Network) -> None:
    net.ec2.account(instance_s=SLOW_S)
    net.stop(A)
    refused("IncorrectInstanceState", net.start, host=A)
    net.terminate(A)
    assert state(net, A) == "shutting-down"
    net.stop(B)
    becomes(net, B, "stopped")
    becomes(net, A, "terminated")


def test_a_terminated_instance_stays_terminated(net: Network) -> None:
    net.terminate(A)
    net.terminate(A)
    refused("IncorrectInstanceState", net.start, host=A)
    refused("IncorrectInstanceState", net.stop, host=A)
    assert state(net, A) == "terminated"


def test_a_stopped_instance_keeps_its_addresses(net: Network) -> None:
    net.stop(A)
    net.stop(A)
    found = interface(net, A)
    assert (found["PrivateIpAddress"], found["Status"]) == (A, "in-use")
    assert found["Attachment"]["InstanceId"] == net.instance_of[A]


# ---- interfaces that move -----------------------------------------------------------------


def test_a_route_follows_its_interface_to_another_instance(net: Network, table: str) -> None:
    net.add_host(HOST, on_secondary=True)
    net.create_route(table, CIDR, HOST)
    net.detach(HOST)
    route = route_to(net, table)
    assert route["State"] == "blackhole"
    assert "InstanceId" not in route
    attach(net, HOST, to=A)
    route = route_to(net, table)
    assert (route["State"], route["InstanceId"]) == ("active", net.instance_of[A])
    assert route["NetworkInterfaceId"] == net.eni_of[HOST]


def test_an_interface_is_attached_once_and_to_a_free_index(net: Network) -> None:
    net.add_host(HOST, on_secondary=True)
    refused("InvalidNetworkInterface.InUse", attach, net=net, host=HOST, to=A)
    net.detach(HOST)
    refused("InvalidParameterValue", attach, net=net, host=HOST, to=A, index=0)
    refused("InvalidParameterCombination", attach, net=net, host=HOST, to=B)
    attach(net, HOST, to=A)
    assert interface(net, HOST)["Attachment"]["DeviceIndex"] == 1


def test_an_interface_is_attached_to_a_running_or_stopped_instance(net: Network) -> None:
    net.add_host(HOST, on_secondary=True)
    net.detach(HOST)
    net.ec2.account(instance_s=60)
    net.terminate(A)
    refused("IncorrectState", attach, net=net, host=HOST, to=A)
    net.ec2.account(instance_s=0)
    other = "127.0.1.78"
    net.add_host(other)
    net.stop(other)
    attach(net, HOST, to=other)


def test_a_route_does_not_follow_an_address_that_is_reassigned(net: Network, table: str) -> None:
    other, moving = "127.0.1.11", "127.0.1.99"
    net.add_host(other)
    net.assign_secondary(A, moving)
    net.create_route(table, CIDR, A)
    net.assign_secondary(other, moving)
    found = net.client.describe_network_interfaces(
        Filters=[{"Name": "addresses.private-ip-address", "Values": [moving]}]
    )["NetworkInterfaces"]
    assert [each["NetworkInterfaceId"] for each in found] == [net.eni_of[other]]
    route = route_to(net, table)
    assert (route["State"], route["NetworkInterfaceId"]) == ("active", net.eni_of[A])


def test_a_primary_address_is_never_reassigned(net: Network) -> None:
    net.add_host("127.0.1.11")
    refused("InvalidIPAddress.InUse", net.assign_secondary, host="127.0.1.11", address=A)
    refused("InvalidParameterValue", net.assign_secondary, host=C, address="127.0.1.98")


def test_the_blackhole_of_a_deleted_interface_can_be_replaced(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.delete_interface(A)
    net.ec2.settings(stale_s=0.4)
    net.replace_route(table, CIDR, B)
    assert route_to(net, table)["State"] == "blackhole"
    wait_until(lambda: route_to(net, table)["State"] == "active", 5, "a fresh read")


def test_a_state_that_changes_by_itself_lags_too(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.ec2.account(instance_s=0.2)
    net.ec2.settings(stale_s=0.5)
    net.stop(A)
    becomes(net, A, "stopped")
    assert route_to(net, table)["State"] == "active"
    wait_until(lambda: route_to(net, table)["State"] == "blackhole", 5, "a blackhole")


def test_an_interface_loses_secondary_addresses_only(net: Network) -> None:
    net.assign_secondary(A, "127.0.1.99")
    call, eni = net.client.unassign_private_ip_addresses, net.eni_of[A]
    for address in (A, "127.0.1.98"):
        code = "InvalidParameterValue"
        refused(code, call, NetworkInterfaceId=eni, PrivateIpAddresses=[address])
    call(NetworkInterfaceId=eni, PrivateIpAddresses=["127.0.1.99"])
    shown = interface(net, A)["PrivateIpAddresses"]
    assert [each["PrivateIpAddress"] for each in shown] == [A]
