"""The second look: what is read again after a refusal, and what that makes of the view."""

import pytest

from tests.unit.building import CIDR, INTERFACES, OTHER, A, B, interface, table, view
from vpcrouter.routing.partial_read import MOST, Doubt, Doubts, Look, renewed
from vpcrouter.routing.plan import Action, Change, Urgency

TO_A = Change(Urgency.FAILED, "rtb-1", CIDR, Action.REPLACE, "eni-a", A, "eni-b", B)
TO_B = TO_A._replace(table="rtb-2", interface="eni-b", host=B)
NOT_THERE = "InvalidNetworkInterfaceID.NotFound"
NO_ROUTE = "InvalidRoute.NotFound"
ADDRESS_A = Doubt(addresses=frozenset({A}))
TABLE_1 = Doubt(tables=frozenset({"rtb-1"}))
VIEW = view({CIDR: "eni-a", OTHER: "eni-gone"}, {CIDR: "eni-a"})


def noted(change: Change, code: str) -> Doubt:
    doubts = Doubts()
    doubts.note(change, code)
    return doubts.take()


@pytest.mark.parametrize(
    ("code", "doubt"),
    [
        (NOT_THERE, Doubt(addresses=frozenset({A}))),
        (NO_ROUTE, Doubt(tables=frozenset({"rtb-1"}))),
        ("RouteAlreadyExists", Doubt(tables=frozenset({"rtb-1"}))),
        ("InvalidRouteTableID.NotFound", Doubt(tables=frozenset({"rtb-1"}))),
        ("InvalidParameterValue", Doubt(tables=frozenset({"rtb-1"}))),
    ],
)
def test_a_refusal_says_what_is_in_doubt(code: str, doubt: Doubt) -> None:
    assert noted(TO_A, code) == doubt


def test_a_delete_has_no_target_to_doubt() -> None:
    delete = TO_A._replace(action=Action.DELETE, interface=None, host=None)
    assert noted(delete, NOT_THERE) == Doubt(tables=frozenset({"rtb-1"}))


def test_what_is_taken_is_no_longer_to_be_read() -> None:
    doubts = Doubts()
    assert not doubts
    doubts.note(TO_A, NOT_THERE)
    assert doubts
    doubts.take()
    assert not doubts


def test_refusals_while_a_look_is_under_way_are_answered_by_it() -> None:
    doubts = Doubts()
    doubts.note(TO_A, NOT_THERE)
    doubts.take()
    doubts.note(TO_A._replace(table="rtb-2"), NOT_THERE)
    assert not doubts
    doubts.note(TO_B, NOT_THERE)
    assert doubts.take() == Doubt(addresses=frozenset({B}))
    doubts.answered(None)
    doubts.note(TO_A, NOT_THERE)
    assert doubts


def test_they_are_settled_once_all_is_read_and_answered() -> None:
    doubts = Doubts()
    assert doubts.are_settled()
    doubts.note(TO_A, NOT_THERE)
    assert not doubts.are_settled()
    doubts.take()
    assert not doubts.are_settled()
    doubts.answered(Look(ADDRESS_A))
    assert doubts.are_settled()


def test_no_more_than_a_filter_holds_is_read_at_once() -> None:
    doubts = Doubts()
    for number in range(MOST + 1):
        doubts.note(TO_A._replace(table=f"rtb-{number}"), NO_ROUTE)
    assert len(doubts.take().tables) == MOST
    assert len(doubts.take().tables) == 1
    assert not doubts


def test_an_interface_that_is_gone_leaves_the_view() -> None:
    found = renewed(VIEW, Look(ADDRESS_A))
    assert found is not None
    assert found.interfaces.keys() == VIEW.interfaces.keys() - {"eni-a"}
    assert A not in found.interface_of
    assert found.tables == VIEW.tables


def test_one_that_has_another_address_is_still_there() -> None:
    shared = interface("eni-a", A, "10.0.0.9")
    others = [each for each in INTERFACES if each.id != "eni-a"]
    found = renewed(view({CIDR: "eni-a"}, interfaces=[shared, *others]), Look(ADDRESS_A))
    assert found is not None
    assert found.interfaces["eni-a"].addresses == ("10.0.0.9",)
    assert A not in found.interface_of


def test_an_address_that_has_moved_is_found_where_it_is() -> None:
    now = interface("eni-new", A)
    found = renewed(VIEW, Look(ADDRESS_A, interfaces=(now,)))
    assert found is not None
    assert found.interface_of[A] == now
    assert "eni-a" not in found.interfaces


def test_a_table_is_as_it_was_read() -> None:
    now = table("rtb-1", {OTHER: "eni-b"})
    found = renewed(VIEW, Look(TABLE_1, tables=(now,)))
    assert found is not None
    assert found.tables == (now, VIEW.tables[1])
    assert found.interfaces == VIEW.interfaces


def test_a_table_that_is_gone_leaves_the_view() -> None:
    found = renewed(VIEW, Look(TABLE_1))
    assert found is not None
    assert found.tables == VIEW.tables[1:]


def test_a_target_not_heard_of_before_needs_all_of_the_vpc() -> None:
    unheard = table("rtb-1", {CIDR: "eni-unheard"})
    assert renewed(VIEW, Look(TABLE_1, tables=(unheard,))) is None


def test_one_that_was_gone_before_does_not() -> None:
    as_before = table("rtb-1", {OTHER: "eni-gone"})
    assert renewed(VIEW, Look(TABLE_1, tables=(as_before,))) is not None


def test_nor_does_one_that_was_read_in_the_same_look() -> None:
    both = Doubt(TABLE_1.tables, ADDRESS_A.addresses)
    now = interface("eni-new", A)
    look = Look(both, (table("rtb-1", {CIDR: "eni-new"}),), (now,))
    found = renewed(VIEW, look)
    assert found is not None
    assert found.tables[0].routes[CIDR].interface == "eni-new"


def test_what_was_seen_while_all_of_the_vpc_was_read_counts() -> None:
    doubts = Doubts()
    doubts.all_is_being_read()
    doubts.answered(Look(TABLE_1))
    doubts.answered(None)
    doubts.answered(Look(ADDRESS_A))
    found = doubts.correct(VIEW)
    assert found.tables == VIEW.tables[1:]
    assert A not in found.interface_of


def test_what_was_seen_before_does_not() -> None:
    doubts = Doubts()
    doubts.answered(Look(TABLE_1))
    doubts.all_is_being_read()
    assert doubts.correct(VIEW) == VIEW


def test_nor_does_what_only_all_of_the_vpc_can_explain() -> None:
    doubts = Doubts()
    doubts.answered(Look(TABLE_1, tables=(table("rtb-1", {CIDR: "eni-unheard"}),)))
    assert doubts.correct(VIEW) == VIEW
