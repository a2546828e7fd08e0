"""The plan: what is changed, in which order, and what is left alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.building import (
    ADVERTISED,
    BLACKHOLE,
    BY_INSTANCE,
    CIDR,
    GATEWAY,
    IN_PREFIX,
    INTERFACES,
    LOCAL,
    NAT,
    OTHER,
    PREFIX,
    PROPAGATED,
    SERVICE,
    TO_GONE,
    TO_SERVICE,
    A,
    B,
    C,
    Routes,
    health,
    interface,
    planned,
    said,
    scoped,
    spec,
    table,
    view,
)
from vpcrouter.model.host_state import Health
from vpcrouter.model.view import Route
from vpcrouter.routing.change import Urgency
from vpcrouter.routing.plan import DEFAULT_ROUTE, Plan, Policy, is_ignored, plan

ALL_FAILED = "all hosts of this CIDR have failed"
TO_A = f"to {A} (eni-a)"
TO_B = f"to {B} (eni-b)"
CREATE, REPLACE = f"create {CIDR} in rtb-1", f"replace {CIDR} in rtb-1"


def to_a(**changes: Any) -> Route:
    return Route(CIDR, "eni-a")._replace(**changes)


@pytest.mark.parametrize(
    ("state", "route", "change"),
    [
        # A good choice is kept
        pytest.param(health("abc"), "eni-a", None, id="right"),
        pytest.param(health("abc"), "eni-c", None, id="right, though not the first choice"),
        pytest.param(health("bc"), "eni-a", None, id="unknown is never acted on"),
        pytest.param(health("", "ab"), "eni-b", None, id="both questionable"),
        pytest.param(health("a"), to_a(is_active=False), None, id="blackhole lags behind"),
        pytest.param(health("ab", damped="ab"), "eni-b", None, id="all damped"),
        pytest.param(health("a", damped="a"), "eni-b", None, id="unknown, the other damped"),
        pytest.param(health("b", "", "a", damped="b"), "eni-b", None, id="nobody else left"),
        # Another is needed
        pytest.param(
            health("ab", damped="a"), "eni-a", f"{REPLACE} from {A} {TO_B}", id="damped, other not"
        ),
        pytest.param(
            health("a", "b", damped="a"),
            "eni-a",
            f"{REPLACE} from {A} {TO_B}",
            id="questionable is better than damped",
        ),
        pytest.param(
            health("ab", "", "c", damped="a"),
            "eni-c",
            f"{REPLACE} from {C} {TO_B}",
            id="failed, and one of the others damped",
        ),
        pytest.param(
            health("b", "", "a", damped="ab"),
            "eni-a",
            f"{REPLACE} from {A} {TO_B}",
            id="failed, and the other damped",
        ),
        pytest.param(health("ab", damped="a"), None, f"{CREATE} {TO_B}", id="missing, one damped"),
        pytest.param(health("a", damped="a"), None, f"{CREATE} {TO_A}", id="missing, all damped"),
        pytest.param(
            health("bc", "a"), "eni-a", f"{REPLACE} from {A} {TO_B}", id="questionable, others not"
        ),
        pytest.param(health("bc", "", "a"), "eni-a", f"{REPLACE} from {A} {TO_B}", id="failed"),
        pytest.param(
            health("", "b", "a"), "eni-a", f"{REPLACE} from {A} {TO_B}", id="only questionable left"
        ),
        pytest.param(
            health("b", "c", "a"), "eni-a", f"{REPLACE} from {A} {TO_B}", id="healthy goes first"
        ),
        pytest.param(health("a"), TO_GONE, f"{REPLACE} from eni-gone {TO_A}", id="target gone"),
        pytest.param(health("a"), BLACKHOLE, f"{REPLACE} from eni-gone {TO_A}", id="blackhole"),
        pytest.param(health("a"), BY_INSTANCE, f"{REPLACE} from i-a {TO_A}", id="by instance"),
        pytest.param(
            health("ab"), "eni-other", f"{REPLACE} from 10.0.0.77 {TO_A}", id="somebody else's turn"
        ),
        pytest.param(health("ab"), None, f"{CREATE} {TO_A}", id="missing"),
        pytest.param(health("", "b"), None, f"{CREATE} {TO_B}", id="missing, questionable host"),
        pytest.param(
            replace(health("", "", "a"), presumed=frozenset({B})),
            "eni-a",
            f"{REPLACE} from {A} {TO_B}",
            id="failed, another presumed healthy",
        ),
        pytest.param(
            replace(health("", "", ""), presumed=frozenset({B})),
            "eni-a",
            None,
            id="unknown stays",
        ),
        pytest.param(
            replace(health("", "", "a"), presumed=frozenset({B})),
            None,
            None,
            id="presumed only",
        ),
        # Nobody is fit
        pytest.param(health("", "", "abc"), "eni-a", None, id="all failed: it stays"),
        pytest.param(health("", "", "abc"), None, None, id="all failed: none is made"),
        pytest.param(health("", "", "ab"), "eni-a", None, id="failed, the other unknown"),
        pytest.param(health(), "eni-a", None, id="nothing known"),
        pytest.param(health(), "eni-other", None, id="nothing known, wrong target"),
        pytest.param(health(), TO_GONE, None, id="nothing known, target gone"),
        pytest.param(health(), None, None, id="nothing known, missing"),
    ],
)
def test_one_route(state: Health, route: str | Route | None, change: str | None) -> None:
    found = planned(view({} if route is None else {CIDR: route}), state)
    assert said(found) == ([] if change is None else [change])


@pytest.mark.parametrize(
    "route",
    [GATEWAY, NAT, LOCAL, PROPAGATED, ADVERTISED, TO_SERVICE],
    ids=lambda route: route.target,
)
class TestForeign:
    """Routes that are no static ones to an instance's interface."""

    def test_in_the_spec_it_is_reported_and_left(self, route: Route) -> None:
        found = planned(view({CIDR: route}), health("b"))
        assert said(found) == []
        assert [str(problem) for problem in found.problems] == [
            f"{CIDR}: rtb-1 has a route to {route.target}, which vpcrouter does not manage"
        ]

    def test_in_one_table_it_does_not_hinder_the_others(self, route: Route) -> None:
        found = planned(view({CIDR: route}, {}), health("b"))
        assert said(found) == [f"create {CIDR} in rtb-2 {TO_B}"]

    def test_out_of_the_spec_it_is_not_deleted(self, route: Route) -> None:
        other = {OTHER: route._replace(cidr=OTHER)}
        assert said(planned(view({CIDR: "eni-a", **other}), health("a"))) == []


class TestSameTargetInAllTables:
    """One choice for a CIDR, and the one in use at that."""

    @pytest.mark.parametrize(
        ("targets", "moved"),
        [
            (["eni-b", "eni-b"], {}),
            (["eni-b", None, None], {"rtb-2": B, "rtb-3": B}),
            (["eni-a", "eni-b", "eni-b"], {"rtb-1": B}),
            (["eni-b", "eni-a"], {"rtb-1": A}),
            (["eni-c", "eni-other", "eni-gone"], {"rtb-2": C, "rtb-3": C}),
        ],
    )
    def test_the_one_most_used_wins(
        self, targets: Sequence[str | None], moved: Mapping[str, str]
    ) -> None:
        tables: list[Routes] = [{CIDR: target} if target else {} for target in targets]
        found = planned(view(*tables), health("abc"))
        assert {change.table: change.host for change in found.changes} == moved

    def test_a_failed_host_is_left_for_the_one_in_use_elsewhere(self) -> None:
        found = planned(view({CIDR: "eni-a"}, {CIDR: "eni-c"}), health("bc", "", "a"))
        assert said(found) == [f"replace {CIDR} in rtb-1 from {A} to {C} (eni-c)"]

    def test_choose_is_asked_once_with_the_healthy_hosts_sorted(self) -> None:
        asked: list[tuple[str, Sequence[str]]] = []

        def last(cidr: str, hosts: Sequence[str]) -> str:
            asked.append((cidr, hosts))
            return hosts[-1]

        of = spec({CIDR: (C, B, A)})
        found = plan(of, health("cb", "a"), view({}, {}), Policy(), last)
        assert asked == [(CIDR, [B, C])]
        assert {change.host for change in found.changes} == {C}

    def test_choose_is_not_asked_where_a_good_one_is_in_use(self) -> None:
        def never(_cidr: str, _hosts: Sequence[str]) -> str:
            raise AssertionError

        assert plan(spec(), health("ab"), view({CIDR: "eni-b"}), Policy(), never) == Plan()


class TestInterfaces:
    """A host is an address; a target is an interface."""

    def test_a_secondary_address_will_do(self) -> None:
        of = view({}, interfaces=[interface("eni-x", "10.0.0.50", A)])
        assert said(planned(of, health("a"), spec({CIDR: [A]}))) == [f"{CREATE} to {A} (eni-x)"]

    def test_a_route_to_another_interface_of_the_instance_is_put_right(self) -> None:
        of = view(
            {CIDR: "eni-2"}, interfaces=[interface("eni-1", A), interface("eni-2", "10.0.0.50")]
        )
        found = planned(of, health("a"), spec({CIDR: [A]}))
        assert said(found) == [f"{REPLACE} from 10.0.0.50 to {A} (eni-1)"]

    @pytest.mark.parametrize("state", [health("ab"), health("a", "", "b"), health("b", "a")])
    def test_two_hosts_on_one_interface_are_one_target(self, state: Health) -> None:
        of = view({CIDR: "eni-ab"}, interfaces=[interface("eni-ab", A, B), interface("eni-c", C)])
        assert said(planned(of, state)) == []

    def test_with_both_hosts_of_an_interface_failed_it_is_left(self) -> None:
        of = view({CIDR: "eni-ab"}, interfaces=[interface("eni-ab", A, B), interface("eni-c", C)])
        found = planned(of, health("c", "", "ab"))
        assert said(found) == [f"{REPLACE} from {A} to {C} (eni-c)"]

    def test_with_one_failed_and_one_unknown_it_is_not_left(self) -> None:
        of = view({CIDR: "eni-ab"}, interfaces=[interface("eni-ab", A, B), interface("eni-c", C)])
        assert said(planned(of, health("c", "", "a"))) == []

    def test_a_services_interface_is_no_target(self) -> None:
        (address,) = SERVICE.addresses
        found = planned(view({}), Health(healthy=frozenset({address})), spec({CIDR: [address]}))
        assert found.changes == ()
        assert f"host {address} is not on an instance interface" in str(found.problems)


class TestProblems:
    """What no change can mend is said, and hinders nothing else."""

    def test_a_host_on_no_interface_is_reported_and_the_others_go_on(self) -> None:
        routes = spec({CIDR: ["10.0.0.200", A], OTHER: [B]})
        state = Health(healthy=frozenset({"10.0.0.200", A, B}))
        found = planned(view({}), state, routes)
        assert said(found) == [f"{CREATE} {TO_A}", f"create {OTHER} in rtb-1 {TO_B}"]
        assert [str(problem) for problem in found.problems] == [
            f"{CIDR}: host 10.0.0.200 is not on an instance interface in vpc-1"
        ]

    def test_no_host_of_the_cidr_in_the_vpc(self) -> None:
        state = Health(healthy=frozenset({"10.0.0.200"}))
        found = planned(view({CIDR: "eni-a"}), state, spec({CIDR: ["10.0.0.200"]}))
        assert said(found) == []
        assert "no host of this CIDR is in the VPC; route left unchanged" in str(found.problems)

    def test_the_source_destination_check_is_remarked_on(self) -> None:
        of = view({CIDR: "eni-a"}, interfaces=[interface("eni-a", A, source_dest_check=True)])
        found = planned(of, health("a"), spec({CIDR: [A]}))
        assert said(found) == []
        (problem,) = found.problems
        assert "source/destination check is enabled on eni-a" in problem.text

    @pytest.mark.parametrize(
        ("state", "target", "text", "is_wait"),
        [
            (health("", "", "abc"), "eni-a", f"{ALL_FAILED}; route left unchanged", False),
            (health("", "", "abc"), None, f"{ALL_FAILED}; no route created", False),
            (health("", "", "ab"), "eni-a", "route left unchanged until the state", True),
            (health(), None, "no route created until the state of its hosts is known", True),
        ],
    )
    def test_nobody_is_fit(
        self, state: Health, target: str | None, text: str, is_wait: bool
    ) -> None:
        (problem,) = planned(view({CIDR: target} if target else {}), state).problems
        assert problem.text.startswith(text)
        assert problem.is_wait is is_wait

    def test_the_same_problem_in_two_tables_is_told_once(self) -> None:
        of = view({CIDR: "eni-a"}, {CIDR: "eni-b"})
        assert len(planned(of, health("", "", "abc")).problems) == 1

    @pytest.mark.parametrize("state", [health("b"), health("", "ab")])
    def test_nothing_is_said_of_a_route_that_may_stay(self, state: Health) -> None:
        assert planned(view({CIDR: "eni-a"}), state) == Plan()


class TestUnwanted:
    """Routes to interfaces that are not in the spec."""

    @pytest.mark.parametrize(
        ("route", "is_deleted"),
        [
            pytest.param(Route(OTHER, "eni-other"), True, id="to an instance's interface"),
            pytest.param(Route(OTHER, "eni-a"), True, id="to a host of the spec"),
            pytest.param(BLACKHOLE._replace(cidr=OTHER), True, id="to one that is gone"),
            pytest.param(
                Route(OTHER, None, "i-gone", is_active=False), True, id="to an instance gone"
            ),
            pytest.param(TO_GONE._replace(cidr=OTHER), False, id="active, but not in the view"),
            pytest.param(Route(OTHER, None, "i-1"), False, id="active, by instance"),
        ],
    )
    def test_deleted(self, route: Route, is_deleted: bool) -> None:
        found = planned(view({CIDR: "eni-a", OTHER: route}), health("a"))
        deletion = f"delete {OTHER} in rtb-1 (to {route.target})"
        assert said(found) == ([deletion] if is_deleted else [])

    @pytest.mark.parametrize(
        ("cidr", "ignore", "ignored"),
        [
            (OTHER, [], False),
            (OTHER, [OTHER], True),
            (OTHER, ["192.168.0.0/16"], True),
            (OTHER, ["10.0.0.0/8", "192.168.0.0/16"], True),
            (OTHER, ["192.168.1.0/25"], False),
            (OTHER, ["192.168.2.0/24"], False),
            ("192.168.1.1/32", ["192.168.1.1/32"], True),
            (OTHER, [DEFAULT_ROUTE], False),
            (OTHER, ["fd00::/8"], False),
            (DEFAULT_ROUTE, [DEFAULT_ROUTE], True),
            (DEFAULT_ROUTE, ["0.0.0.0/1"], False),
            ("10.1.2.3/16", ["10.0.0.0/8"], True),
        ],
    )
    def test_ignored(self, cidr: str, ignore: Sequence[str], ignored: bool) -> None:
        assert is_ignored(cidr, tuple(ignore)) is ignored
        found = planned(view({CIDR: "eni-a", cidr: "eni-other"}), health("a"), ignore=ignore)
        assert bool(found.changes) is not ignored

    def test_ignored_routes_of_the_spec_are_still_kept_right(self) -> None:
        found = planned(view({CIDR: "eni-a"}), health("b", "", "a"), ignore=[CIDR])
        assert said(found) == [f"{REPLACE} from {A} {TO_B}"]


def test_failed_routes_first_housekeeping_and_deletions_last() -> None:
    cidrs = [f"192.168.{number}.0/24" for number in range(4)]
    routes = spec({cidrs[1]: [A, B], cidrs[2]: [A], cidrs[3]: [B]})
    of = view(
        {cidrs[0]: "eni-other", cidrs[1]: "eni-other", cidrs[3]: "eni-a"},
        {cidrs[1]: "eni-gone", cidrs[2]: "eni-a", cidrs[3]: "eni-b"},
    )
    found = planned(of, health("ab"), routes)
    assert [(change.urgency, change.table, change.cidr) for change in found.changes] == [
        (Urgency.FAILED, "rtb-2", cidrs[1]),
        (Urgency.MISSING, "rtb-1", cidrs[2]),
        (Urgency.HOUSEKEEPING, "rtb-1", cidrs[1]),
        (Urgency.HOUSEKEEPING, "rtb-1", cidrs[3]),
        (Urgency.UNWANTED, "rtb-1", cidrs[0]),
    ]
    assert found.sentence() == (
        "1 route to move off failed targets, 1 route to create, 2 routes to correct, "
        "1 route to delete"
    )


@pytest.mark.parametrize(
    ("state", "targets", "sentence"),
    [
        (health("a"), ["eni-a"], "nothing to do"),
        (health("", "", "abc"), ["eni-a"], "nothing to do; 1 problem"),
        (health("b", "", "a"), ["eni-a", "eni-a"], "2 routes to move off failed targets"),
    ],
)
def test_sentence(state: Health, targets: Sequence[str], sentence: str) -> None:
    assert planned(view(*({CIDR: target} for target in targets)), state).sentence() == sentence


def test_the_builders_agree_with_the_view() -> None:
    assert view({CIDR: "eni-a"}).tables == (table("rtb-1", {CIDR: Route(CIDR, "eni-a")}),)
    assert view().interface_of[A] is INTERFACES[0]


class TestLargeVpc:
    """Of some hosts it is not known whether they are there."""

    NOT_READ = "until its hosts have been looked up in EC2"

    @pytest.mark.parametrize("routes", [{}, {CIDR: "eni-other"}])
    def test_hosts_that_were_not_looked_for_are_waited_for(self, routes: Routes) -> None:
        of = scoped(view(routes, interfaces=INTERFACES[3:]), A)
        (problem,) = planned(of, health("b"), spec({CIDR: [B]})).problems
        assert self.NOT_READ in problem.text
        assert problem.is_wait
        assert planned(of, health("b"), spec({CIDR: [B]})).changes == ()

    def test_meanwhile_one_that_is_known_takes_over_and_nothing_is_said_of_the_other(self) -> None:
        of = scoped(view({CIDR: "eni-a"}, interfaces=[INTERFACES[0], INTERFACES[2]]), A, C)
        found = planned(of, health("bc", failed="a"))
        assert said(found) == [f"{REPLACE} from {A} to {C} (eni-c)"]
        assert found.problems == ()

    def test_all_that_are_known_have_failed(self) -> None:
        of = scoped(view({CIDR: "eni-a"}, interfaces=[INTERFACES[0]]), A)
        found = planned(of, health("b", failed="a"), spec({CIDR: [A, B]}))
        assert found.changes == ()
        assert [self.NOT_READ in each.text for each in found.problems] == [True]

    @pytest.mark.parametrize(
        ("fault", "more"), [("", ""), ("denied", ", as far as can be read: denied")]
    )
    def test_one_that_was_looked_for_is_not_there(self, fault: str, more: str) -> None:
        of = scoped(view({CIDR: "eni-a"}, interfaces=[INTERFACES[0]]), A, B, fault=fault)
        found = planned(of, health("a"), spec({CIDR: [A, B]}))
        assert [each.text for each in found.problems] == [
            f"host {B} is not on an instance interface in vpc-1{more}"
        ]

    def test_a_host_in_a_delegated_prefix_gets_the_route(self) -> None:
        carrier = interface("eni-p", "10.0.0.9", prefixes=[PREFIX])
        state = Health(frozenset({IN_PREFIX}))
        found = planned(view({}, interfaces=[carrier]), state, spec({CIDR: [IN_PREFIX]}))
        assert said(found) == [f"{CREATE} to {IN_PREFIX} (eni-p)"]
        assert found.problems == ()
