"""The plan that is made anew only where something has changed is the plan."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.building import CIDR, OTHER, A, B, C, first, health, of_gateways, scoped, spec, view
from tests.unit.strategies import HEALTHS, POLICIES, SPECS, TABLES, VIEWS
from vpcrouter.model.host_state import Health
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import Route, View
from vpcrouter.routing import incremental as planner_module
from vpcrouter.routing.incremental import Planner
from vpcrouter.routing.plan import Policy, plan, plan_of
from vpcrouter.routing.verify import changed

State = tuple[RouteSpec, Health, View]
Step = Callable[[State, Policy], State]


def other_routes(of: View, tables: Sequence[Mapping[str, str | Route]]) -> View:
    """The same tables and interfaces, read anew, with other routes in some tables."""
    drawn = view(*tables).tables
    kept = [replace(table, routes=dict(table.routes)) for table in of.tables[len(drawn) :]]
    renewed = [replace(old, routes=new.routes) for old, new in zip(of.tables, drawn, strict=False)]
    return View(of.vpc, (*renewed, *kept), dict(of.interfaces))


def some_applied(state: State, policy: Policy, share: float) -> State:
    changes = plan(*state, policy, first).changes
    return *state[:2], changed(state[2], changes[: round(share * len(changes))])


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(lambda its: lambda state, _: (state[0], its, state[2]), HEALTHS),
    st.builds(lambda new: lambda state, _: (new, *state[1:]), SPECS),
    st.builds(lambda new: lambda state, _: (*state[:2], new), VIEWS),
    st.builds(
        lambda tables: lambda state, _: (*state[:2], other_routes(state[2], tables)),
        st.lists(TABLES, min_size=1, max_size=3),
    ),
    st.builds(
        lambda share: lambda state, policy: some_applied(state, policy, share), st.floats(0, 1)
    ),
)


@settings(max_examples=300)
@given(SPECS, HEALTHS, VIEWS, POLICIES, st.lists(STEPS, min_size=1, max_size=6))
def test_whatever_changes_it_is_the_whole_plan(
    wanted: RouteSpec, state: Health, of: View, policy: Policy, steps: list[Step]
) -> None:
    planner = Planner(policy, first)
    now: State = wanted, state, of
    assert planner.plan(*now) == plan(*now, policy, first)
    for step in steps:
        now = step(now, policy)
        assert planner.plan(*now) == plan(*now, policy, first)


def test_only_what_a_change_concerns_is_planned_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def noting(cidr: str, *others: object) -> object:
        asked.append(cidr)
        return plan_of(cidr, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(planner_module, "plan_of", noting)
    wanted = spec({CIDR: (A, B), OTHER: (B, C)})
    of = view({CIDR: "eni-a", OTHER: "eni-b"}, {CIDR: "eni-a", OTHER: "eni-b"})
    planner = Planner(Policy(), first)

    def asked_for(state: Health, its: View) -> set[str]:
        asked.clear()
        planner.plan(wanted, state, its)
        return set(asked)

    assert asked_for(health("abc"), of) == {CIDR, OTHER}
    assert asked_for(health("abc"), of) == set()
    assert asked_for(health("bc", failed="a"), of) == {CIDR}
    moved = changed(of, plan(wanted, health("bc", failed="a"), of, Policy(), first).changes)
    assert asked_for(health("bc", failed="a"), moved) == {CIDR}
    assert asked_for(health("ac", failed="b"), moved) == {CIDR, OTHER}
    read_anew = View(moved.vpc, moved.tables, dict(moved.interfaces))
    assert asked_for(health("ac", failed="b"), read_anew) == set()
    one_less = {name: each for name, each in moved.interfaces.items() if name != "eni-c"}
    gone = View(moved.vpc, moved.tables, one_less)
    assert asked_for(health("ac", failed="b"), gone) == {CIDR, OTHER}
    assert asked_for(health("ac", failed="b"), of_gateways(gone, 1)) == {CIDR, OTHER}
    assert asked_for(health("ac", failed="b"), of_gateways(gone, 1)) == set()
    now_large = scoped(of_gateways(gone, 1), A, B, C)
    assert asked_for(health("ac", failed="b"), now_large) == {CIDR, OTHER}
