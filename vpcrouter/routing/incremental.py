"""Plans only what has changed since the last plan. Pure, except for what it remembers."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import compress
from operator import is_, is_not

from vpcrouter.model.host_state import Health
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import Route, View
from vpcrouter.routing.plan import Choose, Plan, Policy, cidrs_of, joined, plan_of


class Planner:
    """Gives the same result as `plan` for a spec, health and view, at the cost of the difference.

    A CIDR's part of the plan depends on its hosts, their health and interfaces, and its
    routes, so one failed host affects only the CIDRs that name it. `choose` must repeat its
    answer for a CIDR as long as that host is a candidate.
    """

    def __init__(self, policy: Policy, choose: Choose) -> None:
        self._policy = policy
        self._choose = choose
        self._known: tuple[RouteSpec, Health, View] | None = None
        self._cidrs_of: dict[str, list[str]] = {}
        self._parts: dict[str, Plan] = {}
        """Changes and problems by CIDR; a CIDR without any has no entry."""

    def plan(self, spec: RouteSpec, health: Health, view: View) -> Plan:
        """The whole plan."""
        concerned = self._concerned(spec, health, view)
        if concerned is None:
            self._parts = {}
            self._cidrs_of = _index(spec)
            concerned = cidrs_of(spec, view)
        for cidr in concerned:
            part = plan_of(cidr, spec, health, view, self._policy, self._choose)
            if part.changes or part.problems:
                self._parts[cidr] = part
            else:
                self._parts.pop(cidr, None)
        self._known = spec, health, view
        return joined(self._parts)

    def _concerned(self, spec: RouteSpec, health: Health, view: View) -> set[str] | None:
        """The CIDRs whose part may differ from the last one; None for all of them."""
        if self._known is None:
            return None
        old_spec, old_health, old_view = self._known
        if not _is_same(spec, old_spec) or not _is_same(view.interfaces, old_view.interfaces):
            return None
        if view.scope != old_view.scope:
            return None
        old_tables, tables = old_view.managed_tables, view.managed_tables
        if [table.id for table in tables] != [table.id for table in old_tables]:
            return None
        hosts = _differing_hosts(old_health, health)
        found = {cidr for host in hosts for cidr in self._cidrs_of.get(host, ())}
        for old, new in zip(old_tables, tables, strict=True):
            found.update(_differing_routes(old.routes, new.routes))
        return found


def _is_same(one: object, other: object) -> bool:
    """Skip the comparison of a mapping with itself, which Python does entry by entry."""
    return one is other or one == other


def _index(spec: RouteSpec) -> dict[str, list[str]]:
    """The CIDRs of each host."""
    found: dict[str, list[str]] = {}
    for cidr, hosts in spec.routes.items():
        for host in hosts:
            found.setdefault(host, []).append(cidr)
    return found


def _differing_hosts(old: Health, new: Health) -> Iterable[str]:
    return (
        (old.healthy ^ new.healthy)
        | (old.questionable ^ new.questionable)
        | (old.failed ^ new.failed)
        | (old.presumed ^ new.presumed)
        | (old.damped ^ new.damped)
    )


def _differing_routes(old: Mapping[str, Route], new: Mapping[str, Route]) -> Iterator[str]:
    if old is new:
        return
    # Nearly always the keys are identical objects in the same order, and so are nearly all routes:
    # comparing identities avoids comparing values, which is slow for many routes.
    is_alike = len(old) == len(new) and all(map(is_, old, new))
    before = old.values() if is_alike else map(old.get, new)
    others = compress(new, map(is_not, new.values(), before))
    yield from (cidr for cidr in others if old.get(cidr) != new[cidr])
    if not is_alike:
        yield from old.keys() - new.keys()
