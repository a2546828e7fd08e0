"""What holds of a plan for any spec, health and view."""

import ipaddress
import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.building import first
from tests.unit.strategies import HEALTHS, POLICIES, SPECS, VIEWS
from vpcrouter.model.host_state import Health, State
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import Route, View
from vpcrouter.routing.change import Action, Change
from vpcrouter.routing.plan import DEFAULT_ROUTE, Policy, plan
from vpcrouter.routing.verify import changed

Case = tuple[RouteSpec, Health, View, Policy]
CASES = st.tuples(SPECS, HEALTHS, VIEWS, POLICIES)
many = settings(max_examples=400)


def route_before(of: View, change: Change) -> Route | None:
    (found,) = (each for each in of.tables if each.id == change.table)
    return found.routes.get(change.cidr)


def is_inside(cidr: str, ignored: str) -> bool:
    if cidr == ignored:
        return True
    inner, outer = ipaddress.ip_network(cidr), ipaddress.ip_network(ignored)
    return (
        ignored != DEFAULT_ROUTE
        and isinstance(inner, ipaddress.IPv4Network)
        and isinstance(outer, ipaddress.IPv4Network)
        and inner.subnet_of(outer)
    )


@many
@given(CASES)
def test_a_plan_applied_leaves_nothing_to_do(case: Case) -> None:
    wanted, state, of, policy = case
    done = changed(of, plan(wanted, state, of, policy, first).changes)
    assert plan(wanted, state, done, policy, first).changes == ()


@many
@given(CASES)
def test_only_a_fit_host_of_the_spec_is_ever_a_target(case: Case) -> None:
    wanted, state, of, policy = case
    for change in plan(wanted, state, of, policy, first).changes:
        if change.action is Action.DELETE:
            assert change.interface is None
            continue
        assert change.host in wanted.routes[change.cidr]
        target = of.interfaces[change.interface or ""]
        assert change.host in target.addresses
        assert target.is_instances
        if change.host in state.presumed:
            others = {state.state(h) for h in wanted.routes[change.cidr] if h in of.interface_of}
            assert others <= {State.FAILED, State.UNKNOWN}
            assert state.state(change.was_host or "") is State.FAILED
        else:
            assert state.state(change.host) in (State.HEALTHY, State.QUESTIONABLE)


@many
@given(CASES)
def test_only_static_routes_to_instances_interfaces_are_touched(case: Case) -> None:
    wanted, state, of, policy = case
    for change in plan(wanted, state, of, policy, first).changes:
        route = route_before(of, change)
        assert (route is None) is (change.action is Action.CREATE)
        if route is None:
            continue
        assert route.origin == "CreateRoute"
        assert not route.other
        assert route.interface or route.instance
        target = of.interfaces.get(route.interface or "")
        assert target is None or target.is_instances
        if change.action is Action.DELETE:
            assert change.cidr not in wanted.routes
            assert target is not None or not route.is_active
            assert not any(is_inside(change.cidr, ignored) for ignored in policy.ignore_routes)


@many
@given(CASES)
def test_a_gateways_table_is_never_touched(case: Case) -> None:
    wanted, state, of, policy = case
    gateways = {table.id for table in of.tables if table.gateway}
    changes = plan(wanted, state, of, policy, first).changes
    assert gateways.isdisjoint(change.table for change in changes)


def fitness(state: Health, host: str) -> int:
    """The smaller, the better; 4 and more is not known to be good."""
    order = (State.HEALTHY, State.QUESTIONABLE)
    if state.state(host) not in order:
        return 4
    return order.index(state.state(host)) + 2 * (host in state.damped)


@many
@given(CASES)
def test_no_route_leaves_a_host_that_is_not_known_to_be_failed(case: Case) -> None:
    """But for a better one, or as good a one that the other tables use already."""
    wanted, state, of, policy = case
    for change in plan(wanted, state, of, policy, first).changes:
        route = route_before(of, change)
        if change.action is not Action.REPLACE or route is None:
            continue
        target = of.interfaces.get(route.interface or "")
        addresses = target.addresses if target else ()
        ours = [host for host in addresses if host in wanted.routes[change.cidr]]
        states = {state.state(host) for host in ours}
        best, new = (
            min((fitness(state, host) for host in ours), default=99),
            fitness(state, change.host or ""),
        )
        in_use = [each.routes.get(change.cidr) for each in of.managed_tables]
        is_in_use = change.interface in {each.interface for each in in_use if each}
        if {State.HEALTHY, State.QUESTIONABLE} & states:
            assert new < best or (new == best and is_in_use)
        else:
            assert State.UNKNOWN not in states


@many
@given(CASES, st.randoms(use_true_random=False))
def test_the_same_input_gives_the_same_plan(case: Case, shuffler: random.Random) -> None:
    wanted, state, of, policy = case
    routes = list(wanted.routes.items())
    interfaces = list(of.interfaces.items())
    shuffler.shuffle(routes)
    shuffler.shuffle(interfaces)
    again = replace(of, interfaces=dict(interfaces))
    found = plan(wanted, state, of, policy, first)
    assert plan(RouteSpec(dict(routes)), state, again, policy, first) == found


@many
@given(CASES)
def test_afterwards_every_cidr_has_one_target_where_it_may(case: Case) -> None:
    wanted, state, of, policy = case
    done = changed(of, plan(wanted, state, of, policy, first).changes)
    for cidr, hosts in wanted.routes.items():
        fit = {host for host in hosts if host in of.interface_of and host in state.healthy}
        if not fit:
            continue
        targets = set()
        for each in done.managed_tables:
            route = each.routes.get(cidr)
            assert route is not None
            target = done.interfaces.get(route.interface or "")
            if done.is_ours(route) and target and fit & set(target.addresses):
                targets.add(target.id)
        assert len(targets) <= 1
