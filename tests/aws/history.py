"""What route tables and interfaces looked like: for describes that show an old state.

EC2 is eventually consistent ("Eventual consistency", EC2 Developer Guide): a describe may show
what was, and one that follows a fresh one may again.

Guarded by the callers: the WSGI layer serialises every call into moto.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any

from moto.ec2.models import ec2_backends

DESTINATIONS = (
    "destination_cidr_block",
    "destination_ipv6_cidr_block",
    "destination_prefix_list_id",
)
# What DescribeRouteTables shows of a route.
ROUTE_ATTRIBUTES = (
    *DESTINATIONS,
    "carrier_gateway_id",
    "egress_only_internet_gateway_id",
    "gateway_id",
    "instance_id",
    "instance_owner_id",
    "ip_address",
    "nat_gateway_id",
    "network_interface_id",
    "origin",
    "state",
    "transit_gateway_id",
    "vpc_peering_connection_id",
)


@dataclass(frozen=True, kw_only=True)
class Lens:
    """Shows what matches as it was `seconds` ago; without any pattern, everything."""

    seconds: float
    table: str | None = None
    cidr: str | None = None
    interface: str | None = None

    def shows_old(self, table_id: str) -> bool:
        is_of_routes = self.interface is None or self.table or self.cidr
        return bool(is_of_routes) and fnmatchcase(table_id, self.table or "*")

    def shows_old_route(self, route: Any) -> bool:
        names = (getattr(route, name, None) for name in DESTINATIONS)
        return any(name and fnmatchcase(name, self.cidr or "*") for name in names)

    def shows_old_interface(self, interface_id: str) -> bool:
        is_of_routes = self.interface is None and (self.table or self.cidr)
        return not is_of_routes and fnmatchcase(interface_id, self.interface or "*")


@dataclass(frozen=True)
class Snapshot:
    """The routes of each table, and the interfaces of each backend, at some moment."""

    at_s: float
    tables: dict[str, list[SimpleNamespace]]
    interfaces: dict[int, dict[str, Any]]


class History:
    """Snapshots, for as long as reads are asked to look back."""

    def __init__(self) -> None:
        self._lag_s = 0.0
        self._kept_s = 0.0
        self._lenses: tuple[Lens, ...] = ()
        self._seen: deque[Snapshot] = deque()

    def keep(self, *, lag_s: float, kept_s: float) -> None:
        """Make all reads of routes lag by `lag_s`; keep what single ones need, `kept_s`.

        History starts now; it ends when both are 0.
        """
        self._lag_s, self._kept_s = lag_s, max(lag_s, kept_s)
        if self._kept_s <= 0:
            self._seen.clear()
        elif not self._seen:
            self.record()

    @property
    def is_kept(self) -> bool:
        """Whether reads may show what was."""
        return self._kept_s > 0

    def record(self) -> None:
        """Note the present state; to be called after everything that may have changed it."""
        if self._kept_s <= 0:
            return
        now = time.monotonic()
        tables: dict[str, list[SimpleNamespace]] = {}
        interfaces: dict[int, dict[str, Any]] = {}
        for _account, _region, backend in ec2_backends.iter_backends():
            found: Any = backend
            tables |= {
                t.id: [_frozen(r) for r in t.live_routes] for t in found.route_tables.values()
            }
            interfaces[id(found)] = {name: _copied(eni) for name, eni in found.enis.items()}
        self._seen.append(Snapshot(now, tables, interfaces))
        while len(self._seen) > 1 and self._seen[1].at_s <= now - self._kept_s:
            self._seen.popleft()

    @contextmanager
    def seen_through(self, lenses: Iterable[Lens]) -> Iterator[None]:
        """Meanwhile, reads see through these, too."""
        self._lenses = tuple(lenses) if self._seen else ()
        try:
            yield
        finally:
            self._lenses = ()

    def routes(self, table: Any) -> list[Any]:
        """What a read shows of the table's routes; of a younger table, the present ones."""
        shown: list[Any] = table.live_routes
        lag = (Lens(seconds=self._lag_s, table="*"),) if self._lag_s > 0 else ()
        for lens in (*lag, *self._lenses):
            if not lens.shows_old(table.id):
                continue
            old = self._at(lens.seconds).tables.get(table.id, table.live_routes)
            shown = [route for route in shown if not lens.shows_old_route(route)]
            shown += [route for route in old if lens.shows_old_route(route)]
        return shown

    @contextmanager
    def old_interfaces(self, backend: Any) -> Iterator[None]:
        """Meanwhile, the backend has the interfaces that a read shows."""
        present = backend.enis
        for lens in self._lenses:
            old = self._at(lens.seconds).interfaces.get(id(backend), present)
            shown = {n: eni for n, eni in backend.enis.items() if not lens.shows_old_interface(n)}
            backend.enis = shown | {n: e for n, e in old.items() if lens.shows_old_interface(n)}
        try:
            yield
        finally:
            backend.enis = present

    def _at(self, ago_s: float) -> Snapshot:
        horizon_s = time.monotonic() - ago_s
        found = self._seen[0]
        for each in self._seen:
            if each.at_s <= horizon_s:
                found = each
        return found


HISTORY = History()


def _frozen(route: Any) -> SimpleNamespace:
    return SimpleNamespace(**{name: getattr(route, name, None) for name in ROUTE_ATTRIBUTES})


def _copied(interface: Any) -> Any:
    """The interface with lists of its own: moto changes them in place."""
    copied = copy.copy(interface)
    copied.__dict__.update({n: list(v) for n, v in vars(interface).items() if isinstance(v, list)})
    return copied
