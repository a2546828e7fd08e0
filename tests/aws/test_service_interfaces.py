"""Interfaces of AWS services.

Sources: EC2 User Guide, "Requester-managed network interfaces"; EC2 API Reference,
NetworkInterface and NetworkInterfaceAttachment.
"""

from __future__ import annotations

from typing import Any

import pytest

from .asserting import A, refused, route_to
from .network import Network

pytestmark = pytest.mark.timeout(60)

LB = "127.0.1.80"


@pytest.fixture
def lb(net: Network) -> str:
    """A load balancer's interface."""
    made = net.client.create_network_interface(SubnetId=net.subnet_of(LB), PrivateIpAddress=LB)
    eni = made["NetworkInterface"]["NetworkInterfaceId"]
    net.ec2.give_to_service(
        eni, owner="amazon-elb", interface_type="load_balancer", description="ELB app/web/1"
    )
    return eni


def shown(net: Network, eni: str) -> dict[str, Any]:
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=[eni])
    return dict(answer["NetworkInterfaces"][0])


def test_a_services_interface_is_attached_to_no_instance(net: Network, lb: str) -> None:
    interface = shown(net, lb)
    attachment = interface["Attachment"]
    assert attachment.pop("AttachmentId").startswith("ela-attach-")
    assert attachment == {
        "DeleteOnTermination": False,
        "DeviceIndex": 1,
        "InstanceOwnerId": "amazon-elb",
        "Status": "attached",
    }
    assert interface["InterfaceType"] == "load_balancer"
    assert interface["RequesterManaged"]
    assert interface["RequesterId"] == "amazon-elb"
    assert interface["Status"] == "in-use"
    assert interface["Description"] == "ELB app/web/1"
    assert interface["OwnerId"] == "123456789012"
    assert not shown(net, net.eni_of[A])["RequesterManaged"]


def test_only_its_service_changes_it(net: Network, lb: str) -> None:
    attachment = shown(net, lb)["Attachment"]["AttachmentId"]
    client = net.client
    refused("OperationNotPermitted", client.detach_network_interface, AttachmentId=attachment)
    code, key = "AuthFailure", {"NetworkInterfaceId": lb}
    refused(code, client.delete_network_interface, **key)
    off = {"SourceDestCheck": {"Value": False}}
    refused(code, client.modify_network_interface_attribute, **key, **off)
    more = {"PrivateIpAddresses": ["127.0.1.81"]}
    refused(code, client.assign_private_ip_addresses, **key, **more)
    instance = {"InstanceId": net.instance_of[A], "DeviceIndex": 1}
    refused(code, client.attach_network_interface, **key, **instance)
    assert shown(net, lb)["PrivateIpAddress"] == LB


def test_a_route_to_it_shows_no_instance(net: Network, lb: str, table: str) -> None:
    net.create_route(table, "10.0.0.0/8", lb)
    assert route_to(net, table) == {
        "DestinationCidrBlock": "10.0.0.0/8",
        "NetworkInterfaceId": lb,
        "Origin": "CreateRoute",
        "State": "active",
    }


def test_a_nat_gateway_has_an_interface_while_it_lives(net: Network) -> None:
    """User Guide, "NAT gateway basics"."""
    made = net.client.create_nat_gateway(SubnetId=net.subnet_of(A), ConnectivityType="private")
    gateway = made["NatGateway"]["NatGatewayId"]
    eni = str(made["NatGateway"]["NatGatewayAddresses"][0]["NetworkInterfaceId"])
    interface = shown(net, eni)
    assert interface["InterfaceType"] == "nat_gateway"
    assert interface["Description"] == f"Interface for NAT Gateway {gateway}"
    assert "InstanceId" not in interface["Attachment"]
    assert interface["SubnetId"] == net.subnet_of(A)
    net.client.delete_nat_gateway(NatGatewayId=gateway)
    refused("InvalidNetworkInterfaceID.NotFound", shown, net=net, eni=eni)
    unknown = "nat-0123456789abcdef0"
    refused("NatGatewayNotFound", net.client.delete_nat_gateway, NatGatewayId=unknown)


def test_interfaces_are_found_by_type_and_requester(net: Network, lb: str) -> None:
    def found(name: str, value: str) -> list[str]:
        answer = net.client.describe_network_interfaces(
            Filters=[
                {"Name": "vpc-id", "Values": [net.vpc_id]},
                {"Name": name, "Values": [value]},
            ]
        )
        return [each["NetworkInterfaceId"] for each in answer["NetworkInterfaces"]]

    assert found("interface-type", "load_balancer") == [lb]
    assert found("requester-managed", "true") == [lb]
    assert lb not in found("requester-managed", "false")
    assert found("requester-id", "amazon-elb") == [lb]
    assert found("attachment.instance-owner-id", "amazon-elb") == [lb]
    assert lb in found("status", "in-use")
    with pytest.raises(ValueError, match="eni-none"):
        net.ec2.give_to_service("eni-none")
