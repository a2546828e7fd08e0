"""`Network`, a VPC in the embedded EC2 with hosts on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Self

from .client import IMAGE, REGION, ZONES, EmbeddedEc2
from .tables import Tables


@dataclass
class Network(Tables):
    """A VPC, its subnets and route tables, and instances known by their host address.

    Where a method takes a target, a host's address or an interface's id will do.
    """

    subnets: dict[IPv4Network, str] = field(default_factory=dict)
    instance_of: dict[str, str] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        ec2: EmbeddedEc2,
        cidr: str = "127.0.0.0/16",
        zones: int = 3,
        tables: int = 3,
        hosts: Sequence[str] = (),
    ) -> Self:
        """Make the network.

        Zone Z has the Z-th /24 of `cidr`, counted from 0 (127.0.0.0/16: 127.0.1.0/24 is the
        first zone's).  The first table is the main one; each other has a subnet of its own: the
        zones' first, then further /24s made for it.
        """
        client = ec2.client()
        network = cls(ec2, client, str(client.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]))
        blocks = list(IPv4Network(cidr).subnets(new_prefix=24))[1:]
        for index in range(max(zones, tables - 1)):
            network._add_subnet(blocks[index], f"{REGION}{ZONES[index % zones]}")
        network._find_main_table()
        for subnet_id in list(network.subnets.values())[: tables - 1]:
            network._add_table(subnet_id)
        for host in hosts:
            network.add_host(host)
        return network

    def _add_subnet(self, block: IPv4Network, zone: str) -> None:
        answer = self.client.create_subnet(
            VpcId=self.vpc_id, CidrBlock=str(block), AvailabilityZone=zone
        )
        self.subnets[block] = answer["Subnet"]["SubnetId"]

    def _find_main_table(self) -> None:
        answer = self.client.describe_route_tables(
            Filters=[
                {"Name": "vpc-id", "Values": [self.vpc_id]},
                {"Name": "association.main", "Values": ["true"]},
            ]
        )
        self.table_ids.append(answer["RouteTables"][0]["RouteTableId"])

    def _add_table(self, subnet_id: str) -> None:
        table_id = self.client.create_route_table(VpcId=self.vpc_id)["RouteTable"]["RouteTableId"]
        self.client.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)
        self.table_ids.append(table_id)

    # ---- hosts ----------------------------------------------------------------------------

    def subnet_of(self, address: str) -> str:
        """The id of the subnet that `address` is in."""
        for block, subnet_id in self.subnets.items():
            if IPv4Address(address) in block:
                return subnet_id
        raise ValueError(f"{address} is in none of {', '.join(map(str, self.subnets))}")

    def add_host(self, address: str, *, on_secondary: bool = False) -> str:
        """Run an instance with `address` and no source/dest check; answer the interface's id.

        With `on_secondary` the address is on a second interface, which `detach` can take from a
        running instance; EC2 detaches no primary interface.
        """
        subnet_id = self.subnet_of(address)
        place: dict[str, Any] = {"SubnetId": subnet_id}
        if not on_secondary:
            place["PrivateIpAddress"] = address
        answer = self.client.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, **place)
        instance = answer["Instances"][0]
        self.instance_of[address] = instance["InstanceId"]
        if on_secondary:
            self.eni_of[address] = self._attach(subnet_id, address)
        else:
            self.eni_of[address] = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
        self.client.modify_network_interface_attribute(
            NetworkInterfaceId=self.eni_of[address], SourceDestCheck={"Value": False}
        )
        return self.eni_of[address]

    def _attach(self, subnet_id: str, address: str) -> str:
        made = self.client.create_network_interface(SubnetId=subnet_id, PrivateIpAddress=address)
        eni = made["NetworkInterface"]["NetworkInterfaceId"]
        self.client.attach_network_interface(
            NetworkInterfaceId=eni, InstanceId=self.instance_of[address], DeviceIndex=1
        )
        return eni

    def terminate(self, host: str) -> None:
        self.client.terminate_instances(InstanceIds=[self.instance_of[host]])

    def stop(self, host: str) -> None:
        self.client.stop_instances(InstanceIds=[self.instance_of[host]])

    def start(self, host: str) -> None:
        self.client.start_instances(InstanceIds=[self.instance_of[host]])

    def detach(self, host: str) -> None:
        """Detach the host's interface; if it is the primary one, by ending its instance."""
        eni = self.eni_of[host]
        answer = self.client.describe_network_interfaces(NetworkInterfaceIds=[eni])
        attachment = answer["NetworkInterfaces"][0]["Attachment"]
        if attachment["DeviceIndex"]:
            self.client.detach_network_interface(AttachmentId=attachment["AttachmentId"])
            return
        self.client.modify_network_interface_attribute(
            NetworkInterfaceId=eni,
            Attachment={
                "AttachmentId": attachment["AttachmentId"],
                "DeleteOnTermination": False,
            },
        )
        self.terminate(host)

    def delete_interface(self, host: str) -> None:
        """Detach the host's interface (see `detach`) and delete it."""
        self.detach(host)
        self.client.delete_network_interface(NetworkInterfaceId=self.eni_of[host])

    def assign_secondary(self, host: str, address: str) -> None:
        """Give the host's interface one more address, taken from another one if need be."""
        self.client.assign_private_ip_addresses(
            NetworkInterfaceId=self.eni_of[host],
            PrivateIpAddresses=[address],
            AllowReassignment=True,
        )

    def delegate_prefix(self, host: str, prefix: str) -> None:
        """Delegate a /28 of IPv4 or a /80 of IPv6 to the host's interface."""
        eni = self.eni_of[host]
        if ":" in prefix:
            self.client.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6Prefixes=[prefix])
        else:
            self.client.assign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4Prefixes=[prefix])

    def fill(self, count: int, **service: str) -> list[str]:
        """Add so many interfaces of a service, in a subnet made for it: the VPC's upper half.

        See `EmbeddedEc2.fill`.
        """
        [vpc] = self.client.describe_vpcs(VpcIds=[self.vpc_id])["Vpcs"]
        upper = list(IPv4Network(vpc["CidrBlock"]).subnets(1))[1]
        if upper not in self.subnets:
            self._add_subnet(upper, f"{REGION}{ZONES[0]}")
        return self.ec2.fill(self.subnets[upper], count, **service)
