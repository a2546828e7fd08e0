"""What really is in EC2, read from moto's models: no call, no page, never stale."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

STATIC = "CreateRoute"


class Key(NamedTuple):
    """One route of the VPC."""

    table: str
    cidr: str


class RealRoute(NamedTuple):
    """A route; `interface` is its target, if that is an interface that no service owns."""

    target: str
    interface: str | None
    origin: str

    @property
    def is_managed(self) -> bool:
        """Whether it is of the kind that vpcrouter may change."""
        return self.origin == STATIC and self.interface is not None


@dataclass
class Truth:
    """One VPC."""

    backend: Any
    vpc: str

    @property
    def managed_tables(self) -> list[str]:
        """The ids of the tables that no gateway is associated with."""
        return [table.id for table in self._tables() if not table.gateway_ids]

    @property
    def gateway_tables(self) -> list[str]:
        return [table.id for table in self._tables() if table.gateway_ids]

    def routes(self, table_id: str) -> dict[str, RealRoute]:
        """A table's IPv4 routes; of one CIDR the static one comes first."""
        found: dict[str, RealRoute] = {}
        for route in self.backend.route_tables[table_id].live_routes:
            if cidr := route.destination_cidr_block:
                found.setdefault(cidr, self._route(route))
        return found

    def all_routes(self) -> dict[Key, RealRoute]:
        """Those of the managed tables."""
        return {
            Key(table, cidr): route
            for table in self.managed_tables
            for cidr, route in self.routes(table).items()
        }

    def route(self, key: Key) -> RealRoute | None:
        if key.table not in self.backend.route_tables:
            return None
        return self.routes(key.table).get(key.cidr)

    def hosts_on(self, interface: str | None) -> frozenset[str]:
        """The addresses of an interface; none if it is gone, or a service's."""
        found = self.backend.enis.get(interface or "")
        if found is None or found.service is not None:
            return frozenset()
        return frozenset(found.addresses)

    def are_there(self, hosts: Collection[str]) -> set[str]:
        """Those of the hosts that an interface has as its address."""
        return {host for eni in self.backend.enis for host in self.hosts_on(eni) if host in hosts}

    def _route(self, route: Any) -> RealRoute:
        interface = route.network_interface_id
        eni = self.backend.enis.get(interface or "")
        is_service = eni is not None and eni.service is not None
        is_other = route.local or interface is None or is_service
        target = interface or route.gateway_id or "other"
        return RealRoute(target, None if is_other else interface, route.origin)

    def _tables(self) -> Iterator[Any]:
        tables = self.backend.route_tables.values()
        return (table for table in tables if table.vpc_id == self.vpc)
