"""The view of one VPC, as EC2 describes it: route tables, subnets, interfaces; plain data."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

STATIC = "CreateRoute"
"""The origin of a static route, the only kind that vpcrouter may manage."""


class Route(NamedTuple):
    """One IPv4 route. `interface` is its target; `other` names a target of any other kind.

    A tuple, as a VPC may have many thousands.
    """

    cidr: str
    interface: str | None
    instance: str | None = None
    other: str = ""
    is_active: bool = True
    origin: str = STATIC

    @property
    def is_static_to_instance(self) -> bool:
        """Whether it is a static route to an interface or instance."""
        return self.origin == STATIC and not self.other and bool(self.interface or self.instance)

    @property
    def target(self) -> str:
        """The target, for display."""
        return self.interface or self.instance or self.other or "nothing"


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A route table with its IPv4 routes by destination; a static route hides a propagated one.

    `gateway` is the internet or virtual private gateway that it is associated with: it then routes
    what enters the VPC, and takes no other destinations than the VPC's own ("Gateway route
    tables", Amazon VPC User Guide).
    """

    id: str
    is_main: bool
    subnets: tuple[str, ...]
    routes: Mapping[str, Route]
    gateway: str = ""


def shared(table: RouteTable, known: RouteTable | None) -> RouteTable:
    """`table` with the route objects of `known` wherever both are equal; `known` if all are.

    Shared routes come first, in the order of `known` and under its key objects. Comparing the
    two tables is then quick and does not delay other work.
    """
    if known is None:
        return table
    if table == known:
        return known
    now, before = table.routes, known.routes
    routes = {cidr: _either(route, now[cidr]) for cidr, route in before.items() if cidr in now}
    return replace(table, routes=routes | {c: r for c, r in now.items() if c not in before})


def _either(before: Route, now: Route) -> Route:
    return before if before == now else now


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet and its availability zone."""

    id: str
    cidr: str
    zone: str


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface with its private addresses, the primary one first.

    `is_instances` is False for interfaces that belong to an AWS service. `prefixes` are delegated
    to it: each a /28 whose addresses are not listed. `owner` is the account of the instance.
    """

    id: str
    addresses: tuple[str, ...]
    instance: str | None
    subnet: str
    zone: str
    source_dest_check: bool = False
    is_instances: bool = True
    prefixes: tuple[str, ...] = ()
    owner: str = ""


def prefix_of(address: str) -> str:
    """The delegated prefix that an address can be in: its /28.

    "Prefix delegation for Amazon EC2 network interfaces", Amazon EC2 User Guide.
    """
    start, _, last = address.rpartition(".")
    return f"{start}.{int(last) & 0xF0}/28"


class RouteKey(NamedTuple):
    """Identifies one route of the VPC."""

    table: str
    cidr: str


class Scope(NamedTuple):
    """Which interfaces a view of a large VPC has: those of `hosts`, and the targets of routes.

    Of any other interface it is not known whether it exists. `fault` is the reason why hosts in
    delegated prefixes could not be looked for.
    """

    hosts: frozenset[str]
    fault: str = ""


@dataclass(frozen=True)
class View:
    """One reading of the VPC; it has all interfaces, unless `scope` says which."""

    vpc: str
    tables: tuple[RouteTable, ...]
    interfaces: Mapping[str, Interface]
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    scope: Scope | None = None

    @property
    def size(self) -> int:
        """How many interfaces and routes were read."""
        return len(self.interfaces) + sum(len(table.routes) for table in self.tables)

    @cached_property
    def managed_tables(self) -> tuple[RouteTable, ...]:
        """The tables that the route spec applies to: not those of gateways."""
        return tuple(table for table in self.tables if not table.gateway)

    @cached_property
    def interface_of(self) -> Mapping[str, Interface]:
        """The instance's interface that carries an address, primary or secondary, or a prefix."""
        found: dict[str, Interface] = {}
        for interface in self.interfaces.values():
            if not interface.is_instances:
                continue  # a route to it could never be changed back
            for address in (*interface.addresses, *interface.prefixes):
                if address not in found or interface.instance:
                    found[address] = interface
        return found

    def carrier(self, host: str) -> Interface | None:
        """The instance's interface that has the host's address, its own or in a prefix."""
        return self.interface_of.get(host) or self.interface_of.get(prefix_of(host))

    def unread(self, hosts: Collection[str]) -> frozenset[str]:
        """Those hosts whose interfaces were not looked for: they may exist."""
        if self.scope is None:
            return frozenset()
        return frozenset(h for h in hosts if h not in self.scope.hosts and not self.carrier(h))

    def is_ours(self, route: Route) -> bool:
        """Whether it is a static route to an instance's interface, existing or deleted."""
        if not route.is_static_to_instance:
            return False
        interface = self.interfaces.get(route.interface or "")
        return interface is None or interface.is_instances

    def count_ours(self) -> int:
        """How many routes of the managed tables are ours."""
        return sum(
            self.is_ours(route) for table in self.managed_tables for route in table.routes.values()
        )

    def with_routes(self, routes: Iterable[tuple[RouteKey, Route | None]]) -> "View":
        """This view with some routes set or removed (None)."""
        by_table: dict[str, dict[str, Route | None]] = {}
        for key, route in routes:
            by_table.setdefault(key.table, {})[key.cidr] = route
        if not by_table:
            return self
        return self._with_tables(
            replace(table, routes=_overlaid(table.routes, by_table[table.id]))
            if table.id in by_table
            else table
            for table in self.tables
        )

    def shared(self, known: "View") -> "View":
        """This view, sharing the objects of `known` wherever both are equal."""
        before = {table.id: table for table in known.tables}
        tables = (shared(table, before.get(table.id)) for table in self.tables)
        is_same = (self.interfaces, self.subnets, self.scope) == (
            known.interfaces,
            known.subnets,
            known.scope,
        )
        return (known if is_same else self)._with_tables(tables)

    def _with_tables(self, tables: Iterable[RouteTable]) -> "View":
        view = View(self.vpc, tuple(tables), self.interfaces, self.subnets, self.scope)
        view.__dict__["interface_of"] = self.interface_of  # the interfaces are the same
        return view


def _overlaid(routes: Mapping[str, Route], new: Mapping[str, Route | None]) -> Mapping[str, Route]:
    merged = dict(routes)
    for cidr, route in new.items():
        if route is None:
            merged.pop(cidr, None)
        else:
            merged[cidr] = route
    return merged
