"""VPCs that two accounts share, seen by the participant and by the owner.

Source: VPC User Guide, "Share your VPC subnets with other accounts" (responsibilities and
permissions for owners and participants).
"""

from __future__ import annotations

from typing import Any

import pytest

from .asserting import CIDR, A, B, refused, route_to
from .network import Network

pytestmark = pytest.mark.timeout(60)

US, OTHERS = "123456789012", "210987654321"


def interfaces(net: Network) -> dict[str, str]:
    answer = net.client.describe_network_interfaces(
        Filters=[{"Name": "vpc-id", "Values": [net.vpc_id]}]
    )
    return {each["NetworkInterfaceId"]: each["OwnerId"] for each in answer["NetworkInterfaces"]}


# ---- the participant ----------------------------------------------------------------------


@pytest.fixture
def theirs(net: Network) -> Network:
    """A VPC that others own, and that we have the hosts in."""
    net.ec2.give_to_account(net.vpc_id, OTHERS)
    return net


def test_vpc_subnets_and_tables_are_the_owners(theirs: Network) -> None:
    vpc = {"Filters": [{"Name": "vpc-id", "Values": [theirs.vpc_id]}]}
    client: Any = theirs.client
    owners = {
        each["OwnerId"]
        for describe, key in (
            (client.describe_vpcs, "Vpcs"),
            (client.describe_subnets, "Subnets"),
            (client.describe_route_tables, "RouteTables"),
        )
        for each in describe(**vpc)[key]
    }
    assert owners == {OTHERS}
    assert set(interfaces(theirs).values()) == {US}


def test_a_participant_changes_no_table(theirs: Network, table: str) -> None:
    code, client = "UnauthorizedOperation", theirs.client
    refused(code, theirs.create_route, table_id=table, cidr=CIDR, target=A)
    refused(code, theirs.replace_route, table_id=table, cidr="127.0.0.0/16", target=A)
    refused(code, theirs.delete_route, table_id=table, cidr=CIDR)
    dry: dict[str, Any] = {"RouteTableId": table, "DestinationCidrBlock": CIDR, "DryRun": True}
    refused(code, client.create_route, **dry, NetworkInterfaceId=theirs.eni_of[A])
    refused(code, client.delete_route_table, RouteTableId=table)
    refused(code, client.create_route_table, VpcId=theirs.vpc_id)
    refused(code, client.create_subnet, VpcId=theirs.vpc_id, CidrBlock="127.0.9.0/24")
    subnet = theirs.subnet_of(A)
    refused(code, client.associate_route_table, RouteTableId=table, SubnetId=subnet)
    other = theirs.table_ids[1]
    [shown] = client.describe_route_tables(RouteTableIds=[other])["RouteTables"]
    association = shown["Associations"][0]["RouteTableAssociationId"]
    refused(code, client.disassociate_route_table, AssociationId=association)
    call = client.replace_route_table_association
    refused(code, call, AssociationId=association, RouteTableId=table)
    gateway = {"GatewayId": "vgw-0123456789abcdef0"}
    refused(code, client.enable_vgw_route_propagation, RouteTableId=table, **gateway)


def test_a_participant_sees_the_tables_of_its_subnets_only(net: Network) -> None:
    spare = net.client.create_route_table(VpcId=net.vpc_id)["RouteTable"]["RouteTableId"]
    edge = net.edge_table()

    def seen() -> set[str]:
        answer = net.client.describe_route_tables(
            Filters=[{"Name": "vpc-id", "Values": [net.vpc_id]}]
        )
        return {each["RouteTableId"] for each in answer["RouteTables"]}

    assert seen() == {*net.table_ids, spare, edge}
    net.ec2.give_to_account(net.vpc_id, OTHERS)
    assert seen() == set(net.table_ids)


def test_a_participant_sees_and_changes_its_own_interfaces_only(theirs: Network) -> None:
    theirs.ec2.give_to_account(theirs.eni_of[B], OTHERS)
    assert theirs.eni_of[B] not in interfaces(theirs)
    assert theirs.eni_of[A] in interfaces(theirs)
    theirs.assign_secondary(A, "127.0.1.99")
    theirs.add_host("127.0.1.11")


# ---- the owner ----------------------------------------------------------------------------


def test_an_owner_sees_a_participants_interfaces_but_not_its_instances(net: Network) -> None:
    net.ec2.give_to_account(net.instance_of[A], OTHERS)
    assert interfaces(net)[net.eni_of[A]] == OTHERS
    client = net.client
    answer = client.describe_network_interfaces(NetworkInterfaceIds=[net.eni_of[A]])
    assert answer["NetworkInterfaces"][0]["Attachment"]["InstanceOwnerId"] == OTHERS
    reservations = client.describe_instances()["Reservations"]
    found = {i["InstanceId"] for r in reservations for i in r["Instances"]}
    assert net.instance_of[A] not in found
    assert net.instance_of[B] in found
    statuses = client.describe_instance_status()["InstanceStatuses"]
    assert net.instance_of[A] not in {each["InstanceId"] for each in statuses}
    for call in (client.describe_instances, client.describe_instance_status):
        refused("InvalidInstanceID.NotFound", call, InstanceIds=[net.instance_of[A]])


def test_an_owner_does_not_change_a_participants_interface(net: Network) -> None:
    attached = net.client.describe_network_interfaces(NetworkInterfaceIds=[net.eni_of[A]])
    attachment = attached["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    net.ec2.give_to_account(net.instance_of[A], OTHERS)
    code, key, client = "UnauthorizedOperation", {"NetworkInterfaceId": net.eni_of[A]}, net.client
    on = {"SourceDestCheck": {"Value": True}}
    refused(code, client.modify_network_interface_attribute, **key, **on)
    refused(code, client.delete_network_interface, **key)
    refused(code, net.assign_secondary, host=A, address="127.0.1.99")
    refused(code, client.detach_network_interface, AttachmentId=attachment)


def test_a_route_shows_whose_the_instance_is(net: Network, table: str) -> None:
    net.ec2.give_to_account(net.instance_of[A], OTHERS)
    net.create_route(table, CIDR, A)
    assert route_to(net, table)["InstanceOwnerId"] == OTHERS


def test_only_what_there_is_has_an_owner(net: Network) -> None:
    with pytest.raises(ValueError, match="vpc-none"):
        net.ec2.give_to_account("vpc-none", OTHERS)
