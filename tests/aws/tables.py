"""`Tables`, the route tables of a VPC in the embedded EC2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.waiting import wait_until

from .client import EmbeddedEc2

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


@dataclass
class Tables:
    """A VPC's route tables, and its hosts' interfaces, to which they route."""

    ec2: EmbeddedEc2
    client: EC2Client
    vpc_id: str
    table_ids: list[str] = field(default_factory=list)
    eni_of: dict[str, str] = field(default_factory=dict)

    def edge_table(self, *, kind: str = "internet") -> str:
        """A route table associated with a new gateway, `internet` or `vpn`; answer its id."""
        gateway_id = self.add_gateway(kind)
        table_id = self.client.create_route_table(VpcId=self.vpc_id)["RouteTable"]["RouteTableId"]
        self.client.associate_route_table(RouteTableId=table_id, GatewayId=gateway_id)
        return table_id

    def add_gateway(self, kind: str = "internet") -> str:
        """Attach a new gateway, `internet` or `vpn`, to the VPC; answer its id."""
        if kind == "internet":
            made = self.client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
            self.client.attach_internet_gateway(InternetGatewayId=made, VpcId=self.vpc_id)
            return made
        made = self.client.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
        self.client.attach_vpn_gateway(VpnGatewayId=made, VpcId=self.vpc_id)
        return made

    def routes(self, cidr: str) -> dict[str, str | None]:
        """Where each table sends `cidr`: a host, else an interface or gateway, else None."""
        pages = self.client.get_paginator("describe_route_tables").paginate(
            Filters=[{"Name": "vpc-id", "Values": [self.vpc_id]}]
        )
        host_of = {eni: host for host, eni in self.eni_of.items()}
        found: dict[str, str | None] = dict.fromkeys(self.table_ids)
        for table in (table for page in pages for table in page["RouteTables"]):
            for route in table["Routes"]:
                if route.get("DestinationCidrBlock") == cidr:
                    target = route.get("NetworkInterfaceId") or route.get("GatewayId") or ""
                    found[table["RouteTableId"]] = host_of.get(target, target)
        return found

    def wait_for_routes(self, cidr: str, host: str, timeout_s: float = 10.0) -> None:
        """Wait until every table sends `cidr` to `host`."""
        wait_until(
            lambda: set(self.routes(cidr).values()) == {host},
            timeout_s,
            lambda: f"{cidr} is not at {host} everywhere: {self.routes(cidr)}",
        )

    def create_route(self, table_id: str, cidr: str, target: str) -> None:
        self.client.create_route(
            RouteTableId=table_id,
            DestinationCidrBlock=cidr,
            NetworkInterfaceId=self.eni_of.get(target, target),
        )

    def replace_route(self, table_id: str, cidr: str, target: str) -> None:
        self.client.replace_route(
            RouteTableId=table_id,
            DestinationCidrBlock=cidr,
            NetworkInterfaceId=self.eni_of.get(target, target),
        )

    def delete_route(self, table_id: str, cidr: str) -> None:
        self.client.delete_route(RouteTableId=table_id, DestinationCidrBlock=cidr)
