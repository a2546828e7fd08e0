"""The second look, at what EC2's refusal of a change has put in doubt. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from vpcrouter.model.view import Interface, RouteTable, View
from vpcrouter.routing.plan import Change

TARGET_CODES = frozenset({"InvalidNetworkInterfaceID.NotFound"})
"""Refusals that say that the new target is not there."""
ROUTE_CODES = frozenset(
    {
        "InvalidParameterValue",  # of ReplaceRoute, where there is no route
        "InvalidRoute.NotFound",
        "InvalidRouteTableID.NotFound",
        "RouteAlreadyExists",
    }
)
"""Those that say that the table has another route than was believed, or none."""
STALE_VIEW_CODES = TARGET_CODES | ROUTE_CODES
MOST = 200
"""So many values may a filter have."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Route tables by id, and hosts' addresses, of which what the view says may be wrong."""

    tables: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.tables or self.addresses)


@dataclass(frozen=True, slots=True)
class Look:
    """What EC2 says of what was in doubt."""

    doubt: Doubt
    tables: tuple[RouteTable, ...] = ()
    interfaces: tuple[Interface, ...] = ()


@dataclass
class Doubts:
    """What has yet to be read again."""

    _tables: set[str] = field(default_factory=set)
    _addresses: set[str] = field(default_factory=set)
    _read: Doubt = field(default_factory=Doubt)
    _newer: list[Look] = field(default_factory=list)
    """What was seen since the last reading of all of the VPC began."""

    def note(self, change: Change, code: str) -> None:
        """A change was refused; a look that is under way will answer for it, too."""
        if code in TARGET_CODES and change.host is not None:
            self._addresses.update({change.host} - self._read.addresses)
        else:
            self._tables.update({change.table} - self._read.tables)

    def __bool__(self) -> bool:
        return bool(self._tables or self._addresses)

    def take(self) -> Doubt:
        """What to read now; until the next time, it is under way."""
        self._read = Doubt(_some(self._tables), _some(self._addresses))
        self._tables -= self._read.tables
        self._addresses -= self._read.addresses
        return self._read

    def are_settled(self) -> bool:
        """Whether nothing is left to be read, or under way."""
        return not self and not self._read

    def answered(self, look: Look | None) -> None:
        """Nothing is under way any more; this was seen, or nothing could be."""
        self._read = Doubt()
        if look is not None:
            self._newer.append(look)

    def all_is_being_read(self) -> None:
        """A reading of all of the VPC begins."""
        self._newer.clear()

    def correct(self, view: View) -> View:
        """All of the VPC, with what was seen of it since its reading began."""
        for look in self._newer:
            view = renewed(view, look) or view
        return view


def _some(of: Iterable[str]) -> frozenset[str]:
    return frozenset(sorted(of)[:MOST])


def renewed(view: View, look: Look) -> View | None:
    """`view` with what `look` says; None when only all of the VPC can tell what that means.

    That is so where a route points at an interface that was not heard of before: it may be a
    service's, and not ours.
    """
    tables = {table.id: table for table in look.tables}
    interfaces = _interfaces(view, look)
    for table in view.tables:
        new = _targets(tables.get(table.id)) - _targets(table)
        if not new <= interfaces.keys():
            return None
    kept = (table for table in view.tables if table.id not in look.doubt.tables - tables.keys())
    return View(
        view.vpc,
        tuple(tables.get(table.id, table) for table in kept),
        interfaces,
        view.subnets,
    )


def _targets(table: RouteTable | None) -> set[str]:
    routes = table.routes.values() if table else ()
    return {route.interface for route in routes if route.interface}


def _interfaces(view: View, look: Look) -> dict[str, Interface]:
    """An interface that no longer has an address is gone only when it has no other."""
    if not look.doubt.addresses:
        return dict(view.interfaces)
    found = {interface.id: interface for interface in look.interfaces}
    without = (_without(each, look.doubt.addresses) for each in view.interfaces.values())
    return {each.id: each for each in without if each.addresses} | found


def _without(interface: Interface, addresses: frozenset[str]) -> Interface:
    if addresses.isdisjoint(interface.addresses):
        return interface
    left = tuple(address for address in interface.addresses if address not in addresses)
    return replace(interface, addresses=left)
