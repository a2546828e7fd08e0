"""What writes to the same route tables: the routes are its own, and it never says so."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from botocore.exceptions import ClientError

from tests.aws.network import Network
from tests.week.calm import Calm
from tests.week.clock import Clock
from tests.week.hosts import FIXED, HOSTS
from tests.week.specs import CIDRS
from tests.week.truth import Key, Truth

PODS = tuple(f"10.200.{number}.0/24" for number in range(3))
"""Of Kubernetes' nodes, which its cloud controller routes to."""
REMOTE = tuple(f"10.210.{number}.0/24" for number in range(2))
"""Pods on hybrid nodes, which their gateway routes to itself once, when it becomes the leader."""
IGNORED = ("10.200.0.0/16", "10.210.0.0/16")
"""The daemon's `ignore_routes`: what others route to instances."""
TERRAFORM = tuple(f"10.170.{number}.0/24" for number in range(6))
UNPROTECTED = tuple(f"10.171.{number}.0/24" for number in range(4))
"""To instances, and not in `ignore_routes`: these are deleted, as documented."""
LEARNED = (*(f"10.150.{number}.0/24" for number in range(4)), CIDRS[-1])
ADVERTISED = tuple(f"10.160.{number}.0/24" for number in range(4))
OF_SERVICE = "10.172.0.0/24"
TO_GATEWAY = CIDRS[4]
"""In the spec, and in one table somebody's route to a gateway."""
FIREWALL, GATEWAYS = "127.0.1.60", ("127.0.1.70", "127.0.2.70")
INTERNET = "0.0.0.0/0"


@dataclass
class Others:
    """`routes` has what must stay as it is, `touched` when others wrote any route last."""

    clock: Clock
    network: Network
    truth: Truth
    calm: Calm
    rng: random.Random
    routes: dict[Key, str] = field(default_factory=dict)
    touched: dict[Key, float] = field(default_factory=dict)
    edge: dict[Key, str] = field(default_factory=dict)
    """The routes of the internet gateway's table."""
    _internet: str = ""
    _vpn: str = ""
    _leader: int = 0

    def build(self) -> None:
        for host in (FIREWALL, *GATEWAYS):
            self.network.add_host(host)
        self._internet = self.network.add_gateway()
        for table in self.network.table_ids:
            self.furnish(table)
        self._build_edge()
        first, second = self.network.table_ids[:2]
        self._vpn = self.network.ec2.propagate_route(first, LEARNED[0])
        self.network.ec2.propagate_route(second, LEARNED[1])
        self._write(Key(second, TO_GATEWAY), GatewayId=self._internet)
        self._build_service(first)
        for number, pods in enumerate(PODS):
            self._point(pods, FIXED[number])
        self.lead()

    def furnish(self, table: str) -> None:
        """Terraform gives a new table its way to the internet."""
        self._write(Key(table, INTERNET), GatewayId=self._internet)

    def _build_edge(self) -> None:
        """All that comes in from the internet is routed to a firewall."""
        client = self.network.client
        made = client.create_route_table(VpcId=self.network.vpc_id)["RouteTable"]
        table = str(made["RouteTableId"])
        client.associate_route_table(RouteTableId=table, GatewayId=self._internet)
        for block in list(self.network.subnets)[1:3]:
            self.network.create_route(table, str(block), FIREWALL)
            self.edge[Key(table, str(block))] = self.network.eni_of[FIREWALL]

    def _build_service(self, table: str) -> None:
        subnet = next(iter(self.network.subnets.values()))
        made = self.network.client.create_network_interface(SubnetId=subnet)
        interface = str(made["NetworkInterface"]["NetworkInterfaceId"])
        self.network.ec2.give_to_service(interface, owner="amazon-aws")
        self._write(Key(table, OF_SERVICE), NetworkInterfaceId=interface)

    # ---- what happens ---------------------------------------------------------------------

    def lead(self) -> None:
        """The other gateway for hybrid nodes becomes the leader, and writes its routes: once."""
        self.calm.disturb()
        self._leader = 1 - self._leader
        for cidr in REMOTE:
            self._point(cidr, GATEWAYS[self._leader])

    def kubernetes(self) -> None:
        """The cloud controller deletes the routes of a node's pods, and creates them again."""
        self.calm.disturb()
        number = self.rng.randrange(len(PODS))
        pods, host = PODS[number], FIXED[number]
        self._erase(Key(table, pods) for table in self.network.table_ids)

        def create() -> None:
            self.calm.disturb()
            self._point(pods, host)

        self.clock.after(self.rng.uniform(1, 60), create)

    def terraform(self) -> None:
        """Some of Terraform's own routes are deleted, and some created."""
        self.calm.disturb()
        for cidr in self.rng.sample(TERRAFORM, 3):
            key = Key(self.rng.choice(self.network.table_ids), cidr)
            if key in self.routes:
                self._erase([key])
            else:
                self._write(key, GatewayId=self._internet)

    def intrude(self) -> None:
        """Somebody routes to an instance what the spec does not have."""
        self.calm.disturb()
        for cidr in self.rng.sample(UNPROTECTED, 2):
            key = Key(self.rng.choice(self.network.table_ids), cidr)
            self.touched[key] = self.clock.now_s
            with suppress(ClientError):  # the daemon has not deleted the last one yet
                self.network.create_route(key.table, cidr, self.rng.choice(FIXED))

    def drift(self) -> None:
        """Terraform changes or deletes the daemon's routes, as it knows them from earlier."""
        self.calm.disturb()
        ours = [
            key
            for key, route in self.truth.all_routes().items()
            if key.cidr in CIDRS and route.is_managed
        ]
        for key in self.rng.sample(ours, min(4, len(ours))):
            self.touched[key] = self.clock.now_s
            with suppress(ClientError):  # the interface of a host that is gone
                if self.rng.random() < 0.4:
                    self.network.delete_route(*key)
                else:
                    self.network.replace_route(*key, self.rng.choice(HOSTS[:-1]))

    def learn(self) -> None:
        """The VPN gateway learns other CIDRs, one of the spec's among them."""
        self.calm.disturb()
        now_s = self.clock.now_s
        self.touched.update((Key(table, LEARNED[-1]), now_s) for table in self.network.table_ids)
        self.network.ec2.learn_routes(self._vpn, *self.rng.sample(LEARNED, 3))

    def advertise(self) -> None:
        """Route Server moves its routes."""
        self.calm.disturb()
        table = self.network.table_ids[2]
        interfaces = [self.network.eni_of[host] for host in GATEWAYS]
        self.network.ec2.advertise_routes(
            table,
            *(
                {"cidr": cidr, "interface_id": self.rng.choice(interfaces)}
                for cidr in self.rng.sample(ADVERTISED, 3)
            ),
        )

    # ---- tables ---------------------------------------------------------------------------

    def add_table(self) -> None:
        """A new subnet, with a route table of its own."""
        self.calm.disturb()
        used = set(self.network.subnets)
        blocks = list(IPv4Network("127.0.0.0/16").subnets(new_prefix=24))[20:]
        block = next(each for each in blocks if each not in used)
        self.network._add_subnet(block, "us-east-1a")
        self.network._add_table(self.network.subnets[block])
        self.furnish(self.network.table_ids[-1])

    def remove_table(self) -> None:
        """The subnet that was added last goes, and its table."""
        self.calm.disturb()
        client, table = self.network.client, self.network.table_ids.pop()
        [found] = client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        [association] = found["Associations"]
        client.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
        client.delete_route_table(RouteTableId=table)
        client.delete_subnet(SubnetId=association["SubnetId"])
        block = next(b for b, s in self.network.subnets.items() if s == association["SubnetId"])
        del self.network.subnets[block]
        self.routes = {key: to for key, to in self.routes.items() if key.table != table}

    # ---- writing --------------------------------------------------------------------------

    def _point(self, cidr: str, host: str) -> None:
        """Route to a host in every table; not if it is gone."""
        eni = self.network.eni_of[host]
        if eni not in self.truth.backend.enis:
            return
        for table in self.network.table_ids:
            self._write(Key(table, cidr), NetworkInterfaceId=eni)

    def _write(self, key: Key, **target: str) -> None:
        client = self.network.client
        call = client.replace_route if key in self.routes else client.create_route
        call(RouteTableId=key.table, DestinationCidrBlock=key.cidr, **target)  # type: ignore[arg-type]
        [self.routes[key]] = target.values()

    def _erase(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if self.routes.pop(key, None):
                self.network.delete_route(*key)
