"""A VPC as large as is wanted: plain data, the same for the same numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from vpcrouter.model.host_state import Health
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import Interface, Route, RouteTable, Subnet, View

VPC, SUBNET, ZONE = "vpc-1", "subnet-1", "us-east-1a"
HOSTS_OF_A_CIDR = 4


@dataclass(frozen=True)
class World:
    """`cidrs` times `tables` routes; host 2n carries CIDR n in every table, the odd ones nothing.

    With fewer hosts than twice the CIDRs, a host carries several.
    """

    cidrs: int
    tables: int
    hosts: int
    others: int = field(default=0, kw_only=True)
    """So many interfaces carry no host."""

    def __str__(self) -> str:
        return f"{self.cidrs:,} CIDRs x {self.tables} tables x {self.hosts:,} hosts"

    @cached_property
    def addresses(self) -> Sequence[str]:
        return [f"10.{number >> 8}.{number & 255}.10" for number in range(self.hosts)]

    @cached_property
    def routes(self) -> Mapping[str, Sequence[str]]:
        """The route spec."""
        return {
            f"172.{16 + (number >> 8)}.{number & 255}.0/24": [
                self.addresses[index] for index in dict.fromkeys(self._hosts_of(number))
            ]
            for number in range(self.cidrs)
        }

    def _hosts_of(self, number: int) -> list[int]:
        steps = (0, 1, self.hosts // 3, self.hosts // 2)
        return [(2 * number + step) % self.hosts for step in steps[:HOSTS_OF_A_CIDR]]

    @property
    def spec(self) -> RouteSpec:
        return RouteSpec({cidr: tuple(hosts) for cidr, hosts in self.routes.items()})

    @property
    def health(self) -> Health:
        return Health(frozenset(self.addresses))

    def without(self, host: str) -> Health:
        """All are healthy but one."""
        return Health(frozenset(self.addresses) - {host}, failed=frozenset({host}))

    @cached_property
    def interfaces(self) -> Mapping[str, str]:
        """The interface that carries each address."""
        return {host: f"eni-{number:08x}" for number, host in enumerate(self.addresses)}

    @cached_property
    def targets(self) -> Mapping[str, str]:
        """The interface that each CIDR is sent to."""
        return {cidr: self.interfaces[hosts[0]] for cidr, hosts in self.routes.items()}

    @property
    def table_ids(self) -> Sequence[str]:
        return [f"rtb-{number:08x}" for number in range(self.tables)]

    @property
    def view(self) -> View:
        return View(
            VPC,
            tuple(
                RouteTable(
                    name,
                    number == 0,
                    (),
                    {cidr: Route(cidr, target) for cidr, target in self.targets.items()},
                )
                for number, name in enumerate(self.table_ids)
            ),
            {
                eni: Interface(eni, (host,), f"i-{eni[4:]}", SUBNET, ZONE)
                for host, eni in self.interfaces.items()
            },
            {SUBNET: Subnet(SUBNET, "10.0.0.0/8", ZONE)},
        )
