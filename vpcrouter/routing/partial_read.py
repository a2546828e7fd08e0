"""Reads the part of the view again that a rejected change shows to be stale. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from vpcrouter.model.view import Interface, RouteTable, View, prefix_of
from vpcrouter.routing.change import Change

TARGET_CODES = frozenset({"InvalidNetworkInterfaceID.NotFound"})
"""Errors that mean that the new target does not exist."""
ROUTE_CODES = frozenset(
    {
        "InvalidParameterValue",  # from ReplaceRoute, if there is no route
        "InvalidRoute.NotFound",
        "InvalidRouteTableID.NotFound",
        "RouteAlreadyExists",
    }
)
"""Errors that mean that the table has a different route than the view, or none."""
STALE_VIEW_CODES = TARGET_CODES | ROUTE_CODES
MOST = 199
"""The filters of one request may have 200 values, and one of them is the VPC."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What to read: route tables by id, and the interfaces of hosts by address."""

    tables: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.tables or self.addresses)


@dataclass(frozen=True, slots=True)
class PartialRead:
    """The answer to a request; what was requested and is missing from the answer is gone."""

    request: ReadRequest
    tables: tuple[RouteTable, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    fault: str = ""
    """Why hosts in delegated prefixes could not be looked for."""


@dataclass
class ReadRequests:
    """What is still to be read, and what was read since the last full read began."""

    _tables: set[str] = field(default_factory=set)
    _addresses: set[str] = field(default_factory=set)
    _under_way: ReadRequest = field(default_factory=ReadRequest)
    _newer: list[PartialRead] = field(default_factory=list)

    def note(self, change: Change, code: str) -> None:
        """A change was rejected; a read under way that covers its part is enough."""
        if code in TARGET_CODES and change.host is not None:
            self._addresses.update({change.host} - self._under_way.addresses)
        else:
            self._tables.update({change.table} - self._under_way.tables)

    def look_for(self, hosts: frozenset[str]) -> None:
        """The interfaces of these hosts are not known yet."""
        self._addresses.update(hosts - self._under_way.addresses)

    def __bool__(self) -> bool:
        return bool(self._tables or self._addresses)

    def take(self) -> ReadRequest:
        """What to read now, at most as much as one call can; it is under way from now on."""
        self._under_way = ReadRequest(_some(self._tables), _some(self._addresses))
        self._tables -= self._under_way.tables
        self._addresses -= self._under_way.addresses
        return self._under_way

    def are_settled(self) -> bool:
        """Whether nothing is left to be read, or under way."""
        return not self and not self._under_way

    def ended(self, read: PartialRead | None) -> None:
        """The read under way has ended; None: it failed."""
        self._under_way = ReadRequest()
        if read is not None:
            self._newer.append(read)

    def full_read_begins(self) -> None:
        """Forget earlier partial reads, which the full read includes."""
        self._newer.clear()

    def correct(self, view: View) -> View:
        """The view of a full read, updated with what was read since it began."""
        for read in self._newer:
            view = renewed(view, read) or view
        return view


def _some(of: Iterable[str]) -> frozenset[str]:
    return frozenset(sorted(of)[:MOST])


def renewed(view: View, read: PartialRead) -> View | None:
    """`view` updated with what was read; None if a full read is needed.

    That is the case when a route points at an interface that is not in the view: it may belong
    to a service; and when hosts in delegated prefixes could not be looked for.
    """
    if read.fault:
        return None
    tables = {table.id: table for table in read.tables}
    interfaces = _interfaces(view, read)
    for table in view.tables:
        new = _targets(tables.get(table.id)) - _targets(table)
        if not new <= interfaces.keys():
            return None
    kept = (table for table in view.tables if table.id not in read.request.tables - tables.keys())
    return View(
        view.vpc,
        tuple(tables.get(table.id, table) for table in kept),
        interfaces,
        view.subnets,
        view.scope and view.scope._replace(hosts=view.scope.hosts | read.request.addresses),
    )


def _targets(table: RouteTable | None) -> set[str]:
    routes = table.routes.values() if table else ()
    return {route.interface for route in routes if route.interface}


def _interfaces(view: View, read: PartialRead) -> dict[str, Interface]:
    """An interface that has lost an address is gone only if it has no other address."""
    if not read.request.addresses:
        return dict(view.interfaces)
    found = {interface.id: interface for interface in read.interfaces}
    lost = read.request.addresses.union(map(prefix_of, read.request.addresses))
    without = (_without(each, lost) for each in view.interfaces.values())
    return {each.id: each for each in without if each.addresses} | found


def _without(interface: Interface, lost: frozenset[str]) -> Interface:
    """Without these addresses and prefixes."""
    if lost.isdisjoint(interface.addresses) and lost.isdisjoint(interface.prefixes):
        return interface
    addresses, prefixes = (
        tuple(each for each in of if each not in lost)
        for of in (interface.addresses, interface.prefixes)
    )
    return replace(interface, addresses=addresses, prefixes=prefixes)
