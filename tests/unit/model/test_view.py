"""The view: whose a route is, and which interface carries an address."""

from dataclasses import replace

import pytest

from tests.unit.building import (
    ADVERTISED,
    BLACKHOLE,
    BY_INSTANCE,
    CIDR,
    GATEWAY,
    IN_PREFIX,
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
    interface,
    of_gateways,
    scoped,
    table,
    view,
)
from vpcrouter.model.view import Route, RouteKey, Scope, prefix_of, shared


@pytest.mark.parametrize(
    ("route", "is_ours"),
    [
        pytest.param(Route(CIDR, "eni-a"), True, id="to an interface"),
        pytest.param(Route(CIDR, "eni-a", "i-1"), True, id="to an interface and its instance"),
        pytest.param(BY_INSTANCE, True, id="to an instance"),
        pytest.param(TO_GONE, True, id="to an interface not there"),
        pytest.param(BLACKHOLE, True, id="to an interface gone"),
        pytest.param(TO_SERVICE, False, id="to a service's interface"),
        pytest.param(GATEWAY, False, id="to a gateway"),
        pytest.param(NAT, False, id="to a NAT gateway"),
        pytest.param(NAT._replace(interface="eni-a"), False, id="to something else besides"),
        pytest.param(LOCAL, False, id="local"),
        pytest.param(PROPAGATED, False, id="propagated"),
        pytest.param(ADVERTISED, False, id="advertised"),
        pytest.param(Route(CIDR, None), False, id="to nothing"),
    ],
)
def test_is_ours(route: Route, is_ours: bool) -> None:
    of = view({CIDR: route}, {OTHER: "eni-a"})
    assert of.is_ours(route) is is_ours
    assert of.count_ours() == 1 + is_ours


def test_the_tables_of_gateways_are_not_managed() -> None:
    of = of_gateways(view({CIDR: "eni-a"}, {CIDR: "eni-a", OTHER: "eni-a"}), 2)
    assert [each.id for each in of.tables] == ["rtb-1", "rtb-2"]
    assert [each.id for each in of.managed_tables] == ["rtb-1"]
    assert of.count_ours() == 1


@pytest.mark.parametrize(
    ("route", "target"),
    [
        (Route(CIDR, "eni-a", "i-1"), "eni-a"),
        (BY_INSTANCE, "i-a"),
        (NAT, "nat-1"),
        (Route(CIDR, None), "nothing"),
    ],
)
def test_target(route: Route, target: str) -> None:
    assert route.target == target


def test_primary_and_secondary_addresses_are_found() -> None:
    of = view(interfaces=[interface("eni-1", A, B), interface("eni-2", "10.0.0.50")])
    found = {address: each.id for address, each in of.interface_of.items()}
    assert found == {A: "eni-1", B: "eni-1", "10.0.0.50": "eni-2"}


@pytest.mark.parametrize("order", [1, -1])
def test_an_instances_interface_goes_before_an_unattached_one(order: int) -> None:
    both = [interface("eni-1", A), interface("eni-2", A, instance=None)][::order]
    assert view(interfaces=both).interface_of[A].id == "eni-1"


def test_a_services_interface_carries_no_host() -> None:
    assert view(interfaces=[SERVICE]).interface_of == {}


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("10.0.1.64", "10.0.1.64/28"),
        ("10.0.1.79", "10.0.1.64/28"),
        ("10.0.1.80", "10.0.1.80/28"),
        ("10.0.1.0", "10.0.1.0/28"),
        ("10.0.1.255", "10.0.1.240/28"),
    ],
)
def test_the_prefix_that_an_address_can_be_in(address: str, prefix: str) -> None:
    assert prefix_of(address) == prefix


def test_a_host_in_a_delegated_prefix_is_on_its_interface() -> None:
    own, other = interface("eni-own", A), interface("eni-p", B, prefixes=[PREFIX])
    of = view(interfaces=[own, other])
    assert of.carrier(IN_PREFIX) == of.carrier("10.0.1.64") == other
    assert of.carrier("10.0.1.80") is None
    assert of.carrier(A) == own
    better = view(interfaces=[interface("eni-own", A, IN_PREFIX), other])
    assert better.carrier(IN_PREFIX) is better.interfaces["eni-own"], "its own address counts more"


def test_a_host_that_was_not_looked_for_may_exist() -> None:
    of = view(interfaces=[interface("eni-a", A, prefixes=[PREFIX])])
    assert of.unread([A, B, IN_PREFIX]) == frozenset()
    assert scoped(of, A).unread([A, B, IN_PREFIX]) == {B}, "the others were found all the same"
    assert scoped(of, A, B).unread([A, B, IN_PREFIX]) == frozenset()


class TestWithRoutes:
    """The overlay of known changes."""

    def test_sets_adds_and_takes_away(self) -> None:
        of = view({CIDR: "eni-a", OTHER: "eni-a"}, {CIDR: "eni-a"})
        found = of.with_routes(
            [
                (RouteKey("rtb-1", CIDR), None),
                (RouteKey("rtb-1", OTHER), Route(OTHER, "eni-b")),
                (RouteKey("rtb-2", OTHER), Route(OTHER, "eni-c")),
            ]
        )
        assert found.tables == view({OTHER: "eni-b"}, {CIDR: "eni-a", OTHER: "eni-c"}).tables
        assert of.tables == view({CIDR: "eni-a", OTHER: "eni-a"}, {CIDR: "eni-a"}).tables

    def test_of_a_table_not_there_is_nothing(self) -> None:
        of = view({CIDR: "eni-a"})
        assert of.with_routes([(RouteKey("rtb-9", CIDR), None)]).tables == of.tables

    def test_taking_away_what_is_not_there_is_nothing(self) -> None:
        of = view({CIDR: "eni-a"})
        assert of.with_routes([(RouteKey("rtb-1", OTHER), None)]).tables == of.tables

    def test_without_any_it_is_the_same(self) -> None:
        of = view({CIDR: "eni-a"})
        assert of.with_routes([]) is of


def test_a_table_read_again_is_the_one_that_is_known() -> None:
    known = table("rtb-1", {CIDR: "eni-a", OTHER: "eni-b"})
    assert shared(table("rtb-1", {CIDR: "eni-a", OTHER: "eni-b"}), known) is known


@pytest.mark.parametrize(
    "routes",
    [
        pytest.param({CIDR: "eni-a", OTHER: "eni-a"}, id="another target"),
        pytest.param({OTHER: "eni-a", CIDR: "eni-a"}, id="another target and order"),
        pytest.param({CIDR: "eni-a"}, id="one less"),
        pytest.param({CIDR: "eni-a", OTHER: "eni-b", "10.9.0.0/16": "eni-b"}, id="one more"),
    ],
)
def test_one_that_has_changed_shares_the_routes_that_have_not(routes: dict[str, str]) -> None:
    known = table("rtb-1", {CIDR: "eni-a", OTHER: "eni-b"})
    now = table("rtb-1", routes)
    found = shared(now, known)
    assert found == now
    assert found.routes[CIDR] is known.routes[CIDR]
    in_order = [cidr for cidr in (CIDR, OTHER, "10.9.0.0/16") if cidr in routes]
    assert list(found.routes) == in_order


def test_so_does_one_with_other_subnets() -> None:
    known = table("rtb-1", {CIDR: "eni-a"})
    now = replace(table("rtb-1", {CIDR: "eni-a"}), subnets=("subnet-1",))
    found = shared(now, known)
    assert found == now
    assert found.routes[CIDR] is known.routes[CIDR]


def test_a_table_that_is_new_is_as_it_was_read() -> None:
    now = table("rtb-1", {CIDR: "eni-a"})
    assert shared(now, None) is now


def test_a_view_read_again_is_of_the_known_ones_parts() -> None:
    known = view({CIDR: "eni-a"}, {CIDR: "eni-b"})
    now = view({CIDR: "eni-a"}, {CIDR: "eni-a"})
    found = now.shared(known)
    assert found == now
    assert found.tables[0] is known.tables[0]
    assert found.interfaces is known.interfaces
    assert found.interface_of is known.interface_of


def test_one_of_other_interfaces_keeps_its_own() -> None:
    known = view({CIDR: "eni-a"})
    now = replace(known, interfaces={})
    found = now.shared(known)
    assert found == now
    assert found.tables[0] is known.tables[0]
    assert found.interface_of == {}


def test_its_size_is_that_of_all_that_was_read() -> None:
    of = view({CIDR: Route(CIDR, "eni-a"), OTHER: LOCAL}, {CIDR: BLACKHOLE})
    assert of.size == len(of.interfaces) + 3


@pytest.mark.parametrize("scope", [None, Scope(frozenset({A})), Scope(frozenset(), "denied")])
def test_one_of_another_scope_keeps_it(scope: Scope | None) -> None:
    known = scoped(view({CIDR: "eni-a"}), A, B)
    now = replace(view({CIDR: "eni-a"}), scope=scope)
    assert now.shared(known) == now
    assert now.with_routes([(RouteKey("rtb-1", CIDR), None)]).scope == scope
