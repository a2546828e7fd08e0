"""The ordered changes that bring a view to the route spec. Pure; the same input, the same plan."""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from vpcrouter.model.host_state import Health, State
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import Interface, Route, RouteTable, View
from vpcrouter.routing.change import Action, Change, Urgency

DEFAULT_ROUTE = "0.0.0.0/0"

Choose = Callable[[str, Sequence[str]], str]
"""Picks one of several equivalent hosts for a CIDR; they are sorted."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A reason why a route does not match the spec."""

    cidr: str
    text: str
    is_wait: bool = False
    """It only waits until the state of a host is known."""

    def __str__(self) -> str:
        return f"{self.cidr}: {self.text}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the plan may do beyond the spec."""

    ignore_routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in the order to make them, and problems that no change can solve."""

    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()

    def sentence(self) -> str:
        """What was decided, in one sentence."""
        counts = Counter(change.urgency for change in self.changes)
        names = {
            Urgency.FAILED: "to move off failed targets",
            Urgency.MISSING: "to create",
            Urgency.HOUSEKEEPING: "to correct",
            Urgency.UNWANTED: "to delete",
        }
        said = [
            f"{count_of(counts[urgency], 'route')} {name}"
            for urgency, name in names.items()
            if counts[urgency]
        ]
        decided = ", ".join(said) or "nothing to do"
        return decided + (f"; {count_of(len(self.problems), 'problem')}" if self.problems else "")


def plan(spec: RouteSpec, health: Health, view: View, policy: Policy, choose: Choose) -> Plan:
    """Keep what is right, replace what is wrong, create what is missing, delete what is unwanted.

    `choose` is asked only where no table has a good target already.
    """
    return joined(
        {cidr: plan_of(cidr, spec, health, view, policy, choose) for cidr in cidrs_of(spec, view)}
    )


def cidrs_of(spec: RouteSpec, view: View) -> set[str]:
    """Every CIDR in the spec or in a managed route table."""
    return set(spec.routes).union(*(table.routes for table in view.managed_tables))


def plan_of(
    cidr: str, spec: RouteSpec, health: Health, view: View, policy: Policy, choose: Choose
) -> Plan:
    """The part of the plan for one CIDR. It does not depend on other CIDRs."""
    hosts = spec.routes.get(cidr)
    if hosts is None:
        return Plan(tuple(_unwanted(cidr, view, policy)))
    entry = _Entry(cidr, hosts, health, view)
    choice = entry.choose(choose)
    resort = entry.resort(choose) if choice is None else None
    outcomes = [
        entry.settle(table, route, choice, resort)
        for table, route in zip(view.managed_tables, entry.routes, strict=True)
    ]
    problems = {outcome for outcome in outcomes if isinstance(outcome, Problem)}
    problems.update(entry.remarks())
    return Plan(
        tuple(outcome for outcome in outcomes if isinstance(outcome, Change)),
        tuple(sorted(problems)),
    )


def joined(parts: Mapping[str, Plan]) -> Plan:
    """The plan for all CIDRs, from the part for each."""
    in_order = [parts[cidr] for cidr in sorted(parts)]
    groups: dict[tuple[Urgency, str], list[Change]] = {}
    for part in in_order:
        for change in part.changes:
            groups.setdefault((change.urgency, change.table), []).append(change)
    changes = (change for key in sorted(groups) for change in groups[key])
    problems = (problem for part in in_order for problem in part.problems)
    return Plan(tuple(changes), tuple(problems))


class _Entry:
    """One CIDR of the spec, with its hosts as found in the view."""

    def __init__(self, cidr: str, hosts: tuple[str, ...], health: Health, view: View) -> None:
        self.cidr = cidr
        self.hosts = hosts
        self.view = view
        self.state = {host: health.state(host) for host in hosts}
        self.presumed = health.presumed
        self.damped = health.damped
        self.interface: dict[str, Interface] = {
            host: found for host in hosts if (found := view.carrier(host)) is not None
        }
        self.hosts_on: dict[str, list[str]] = {}
        for host, interface in self.interface.items():
            self.hosts_on.setdefault(interface.id, []).append(host)
        self.routes = [table.routes.get(cidr) for table in view.managed_tables]

    def choose(self, choose: Choose) -> str | None:
        """The host for all tables: the best candidate in use, else any of the best, else None."""
        return self._pick(self._best_candidates(), choose)

    def resort(self, choose: Choose) -> str | None:
        """The host for routes on failed hosts if no host is known to be healthy or questionable."""
        found = {host for host in self.interface if host in self.presumed}
        return self._pick(found - self.damped or found, choose)

    def _pick(self, candidates: set[str], choose: Choose) -> str | None:
        if not candidates:
            return None
        tables = Counter(route.interface for route in self.routes if route is not None)
        in_use = {host: count for host in candidates if (count := tables[self.interface[host].id])}
        if in_use:
            return min(in_use, key=lambda host: (-in_use[host], host))
        return choose(self.cidr, sorted(candidates))

    def _best_candidates(self) -> set[str]:
        good = {
            wanted: {host for host in self.interface if self.state[host] is wanted}
            for wanted in (State.HEALTHY, State.QUESTIONABLE)
        }
        damped_last = [found - self.damped for found in good.values()] + [*good.values()]
        return next((found for found in damped_last if found), set())

    def settle(
        self, table: RouteTable, route: Route | None, choice: str | None, resort: str | None
    ) -> Change | Problem | None:
        """What to do in one table, whose current route for this CIDR is `route`."""
        if route is None:
            return self._missing(table, choice)
        if not self.view.is_ours(route):
            text = f"{table.id} has a route to {route.target}, which vpcrouter does not manage"
            return Problem(self.cidr, text)
        if choice is not None and self.interface[choice].id == route.interface:
            return None
        current = self._current(route)
        failed = current is not None and self.state[current] is State.FAILED
        if choice is None and failed:
            choice = resort
        if choice is None:
            return self._stay(current)
        is_unknown = current is not None and self.state[current] is State.UNKNOWN
        if is_unknown or self.interface[choice].id == route.interface:
            return None
        is_urgent = failed or not route.is_active or route.interface not in self.view.interfaces
        urgency = Urgency.FAILED if is_urgent else Urgency.HOUSEKEEPING
        return self._change(urgency, Action.REPLACE, table, choice, route, current)

    def _missing(self, table: RouteTable, choice: str | None) -> Change | Problem:
        if choice is None:
            return self._no_host("no route created")
        return self._change(Urgency.MISSING, Action.CREATE, table, choice, None, None)

    def _stay(self, current: str | None) -> Problem | None:
        """No host can take the route over."""
        if current is not None and self.state[current] is not State.FAILED:
            return None
        return self._no_host("route left unchanged")

    def _no_host(self, consequence: str) -> Problem:
        states = {self.state[host] for host in self.interface}
        if State.UNKNOWN in states:
            text = f"{consequence} until the state of its hosts is known"
            return Problem(self.cidr, text, is_wait=True)
        if self.view.unread(self.hosts):
            text = f"{consequence} until its hosts have been looked up in EC2"
            return Problem(self.cidr, text, is_wait=True)
        if states:
            return Problem(self.cidr, f"all hosts of this CIDR have failed; {consequence}")
        return Problem(self.cidr, f"no host of this CIDR is in the VPC; {consequence}")

    def _current(self, route: Route) -> str | None:
        """The spec's host that the route points at; the best one if several share the interface."""
        order = (State.HEALTHY, State.QUESTIONABLE, State.UNKNOWN, State.FAILED)
        hosts = self.hosts_on.get(route.interface or "", ())
        return min(hosts, key=lambda host: (order.index(self.state[host]), host), default=None)

    def _change(
        self,
        urgency: Urgency,
        action: Action,
        table: RouteTable,
        choice: str,
        route: Route | None,
        current: str | None,
    ) -> Change:
        return Change(
            urgency,
            table.id,
            self.cidr,
            action,
            self.interface[choice].id,
            choice,
            route.target if route else None,
            current or (self._address(route) if route else None),
        )

    def _address(self, route: Route) -> str | None:
        """The primary address of a target that is not one of the spec's hosts."""
        interface = self.view.interfaces.get(route.interface or "")
        return interface.addresses[0] if interface and interface.addresses else None

    def _not_there(self, host: str) -> str:
        text = f"host {host} is not on an instance interface in {self.view.vpc}"
        fault = self.view.scope.fault if self.view.scope else ""
        return f"{text}, as far as can be read: {fault}" if fault else text

    def remarks(self) -> Iterator[Problem]:
        missing = self.hosts if len(self.interface) < len(self.hosts) else ()
        unread = self.view.unread(missing)
        for host in self.hosts:
            interface = self.interface.get(host)
            if interface is None:
                if host not in unread:
                    yield Problem(self.cidr, self._not_there(host))
            elif interface.source_dest_check:
                yield Problem(
                    self.cidr,
                    f"host {host}: source/destination check is enabled on {interface.id}, "
                    "so EC2 drops the traffic routed to it; disable the check",
                )


def _unwanted(cidr: str, view: View, policy: Policy) -> Iterator[Change]:
    if is_ignored(cidr, policy.ignore_routes):
        return
    for table in view.managed_tables:
        route = table.routes.get(cidr)
        if route is None or not view.is_ours(route):
            continue
        if route.is_active and route.interface not in view.interfaces:
            continue  # an unknown target
        yield Change(Urgency.UNWANTED, table.id, cidr, Action.DELETE, None, None, route.target)


@lru_cache(maxsize=65_536)
def is_ignored(cidr: str, ignore_routes: tuple[str, ...]) -> bool:
    """Whether `cidr` lies inside one of `ignore_routes`; the default route covers only itself."""
    if cidr in ignore_routes:
        return True
    network = ipaddress.ip_network(cidr, strict=False)
    around = (ipaddress.ip_network(other) for other in ignore_routes if other != DEFAULT_ROUTE)
    return any(
        isinstance(network, ipaddress.IPv4Network)
        and isinstance(other, ipaddress.IPv4Network)
        and network.subnet_of(other)
        for other in around
    )


def count_of(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
