"""What is read again after a refusal, and what that makes of the view."""

import pytest

from tests.unit.building import (
    CIDR,
    IN_PREFIX,
    INTERFACES,
    OTHER,
    PREFIX,
    A,
    B,
    interface,
    scoped,
    table,
    view,
)
from vpcrouter.routing.change import Action, Change, Urgency
from vpcrouter.routing.partial_read import MOST, PartialRead, ReadRequest, ReadRequests, renewed

TO_A = Change(Urgency.FAILED, "rtb-1", CIDR, Action.REPLACE, "eni-a", A, "eni-b", B)
TO_B = TO_A._replace(table="rtb-2", interface="eni-b", host=B)
NOT_THERE = "InvalidNetworkInterfaceID.NotFound"
NO_ROUTE = "InvalidRoute.NotFound"
ADDRESS_A = ReadRequest(addresses=frozenset({A}))
TABLE_1 = ReadRequest(tables=frozenset({"rtb-1"}))
VIEW = view({CIDR: "eni-a", OTHER: "eni-gone"}, {CIDR: "eni-a"})


def noted(change: Change, code: str) -> ReadRequest:
    requests = ReadRequests()
    requests.note(change, code)
    return requests.take()


@pytest.mark.parametrize(
    ("code", "asked_for"),
    [
        (NOT_THERE, ReadRequest(addresses=frozenset({A}))),
        (NO_ROUTE, ReadRequest(tables=frozenset({"rtb-1"}))),
        ("RouteAlreadyExists", ReadRequest(tables=frozenset({"rtb-1"}))),
        ("InvalidRouteTableID.NotFound", ReadRequest(tables=frozenset({"rtb-1"}))),
        ("InvalidParameterValue", ReadRequest(tables=frozenset({"rtb-1"}))),
    ],
)
def test_a_refusal_says_what_to_read_again(code: str, asked_for: ReadRequest) -> None:
    assert noted(TO_A, code) == asked_for


def test_a_delete_has_no_target_to_read_again() -> None:
    delete = TO_A._replace(action=Action.DELETE, interface=None, host=None)
    assert noted(delete, NOT_THERE) == ReadRequest(tables=frozenset({"rtb-1"}))


def test_what_is_taken_is_no_longer_to_be_read() -> None:
    requests = ReadRequests()
    assert not requests
    requests.note(TO_A, NOT_THERE)
    assert requests
    requests.take()
    assert not requests


def test_refusals_while_a_read_is_under_way_are_served_by_it() -> None:
    requests = ReadRequests()
    requests.note(TO_A, NOT_THERE)
    requests.take()
    requests.note(TO_A._replace(table="rtb-2"), NOT_THERE)
    assert not requests
    requests.note(TO_B, NOT_THERE)
    assert requests.take() == ReadRequest(addresses=frozenset({B}))
    requests.ended(None)
    requests.note(TO_A, NOT_THERE)
    assert requests


def test_they_are_settled_once_all_has_been_read() -> None:
    requests = ReadRequests()
    assert requests.are_settled()
    requests.note(TO_A, NOT_THERE)
    assert not requests.are_settled()
    requests.take()
    assert not requests.are_settled()
    requests.ended(PartialRead(ADDRESS_A))
    assert requests.are_settled()


def test_no_more_than_a_filter_holds_is_read_at_once() -> None:
    requests = ReadRequests()
    for number in range(MOST + 1):
        requests.note(TO_A._replace(table=f"rtb-{number}"), NO_ROUTE)
    assert len(requests.take().tables) == MOST
    assert len(requests.take().tables) == 1
    assert not requests


def test_an_interface_that_is_gone_leaves_the_view() -> None:
    found = renewed(VIEW, PartialRead(ADDRESS_A))
    assert found is not None
    assert found.interfaces.keys() == VIEW.interfaces.keys() - {"eni-a"}
    assert A not in found.interface_of
    assert found.tables == VIEW.tables


def test_one_that_has_another_address_is_still_there() -> None:
    shared = interface("eni-a", A, "10.0.0.9")
    others = [each for each in INTERFACES if each.id != "eni-a"]
    found = renewed(view({CIDR: "eni-a"}, interfaces=[shared, *others]), PartialRead(ADDRESS_A))
    assert found is not None
    assert found.interfaces["eni-a"].addresses == ("10.0.0.9",)
    assert A not in found.interface_of


def test_an_address_that_has_moved_is_found_where_it_is() -> None:
    now = interface("eni-new", A)
    found = renewed(VIEW, PartialRead(ADDRESS_A, interfaces=(now,)))
    assert found is not None
    assert found.interface_of[A] == now
    assert "eni-a" not in found.interfaces


def test_a_table_is_as_it_was_read() -> None:
    now = table("rtb-1", {OTHER: "eni-b"})
    found = renewed(VIEW, PartialRead(TABLE_1, tables=(now,)))
    assert found is not None
    assert found.tables == (now, VIEW.tables[1])
    assert found.interfaces == VIEW.interfaces


def test_a_table_that_is_gone_leaves_the_view() -> None:
    found = renewed(VIEW, PartialRead(TABLE_1))
    assert found is not None
    assert found.tables == VIEW.tables[1:]


def test_a_target_not_heard_of_before_needs_a_full_read() -> None:
    unheard = table("rtb-1", {CIDR: "eni-unheard"})
    assert renewed(VIEW, PartialRead(TABLE_1, tables=(unheard,))) is None


def test_one_that_was_gone_before_does_not() -> None:
    as_before = table("rtb-1", {OTHER: "eni-gone"})
    assert renewed(VIEW, PartialRead(TABLE_1, tables=(as_before,))) is not None


def test_nor_does_one_that_was_read_at_the_same_time() -> None:
    both = ReadRequest(TABLE_1.tables, ADDRESS_A.addresses)
    now = interface("eni-new", A)
    read = PartialRead(both, (table("rtb-1", {CIDR: "eni-new"}),), (now,))
    found = renewed(VIEW, read)
    assert found is not None
    assert found.tables[0].routes[CIDR].interface == "eni-new"


def test_what_was_read_during_a_full_read_counts() -> None:
    requests = ReadRequests()
    requests.full_read_begins()
    requests.ended(PartialRead(TABLE_1))
    requests.ended(None)
    requests.ended(PartialRead(ADDRESS_A))
    found = requests.correct(VIEW)
    assert found.tables == VIEW.tables[1:]
    assert A not in found.interface_of


def test_what_was_read_before_it_does_not() -> None:
    requests = ReadRequests()
    requests.ended(PartialRead(TABLE_1))
    requests.full_read_begins()
    assert requests.correct(VIEW) == VIEW


def test_nor_does_what_only_a_full_read_can_explain() -> None:
    requests = ReadRequests()
    requests.ended(PartialRead(TABLE_1, tables=(table("rtb-1", {CIDR: "eni-unheard"}),)))
    assert requests.correct(VIEW) == VIEW


def test_hosts_that_are_looked_for_are_read_once() -> None:
    requests = ReadRequests()
    requests.look_for(frozenset({A, B}))
    assert requests.take() == ReadRequest(addresses=frozenset({A, B}))
    requests.look_for(frozenset({A, B, IN_PREFIX}))
    assert requests.take() == ReadRequest(addresses=frozenset({IN_PREFIX}))
    requests.look_for(frozenset())
    assert not requests


def test_hosts_that_were_looked_for_are_known_wherever_they_are() -> None:
    of = scoped(view({CIDR: "eni-a"}, interfaces=[interface("eni-a", A)]), A)
    request = ReadRequest(addresses=frozenset({B, IN_PREFIX}))
    found = renewed(of, PartialRead(request, interfaces=(interface("eni-b", B),)))
    assert found is not None
    assert found.unread([A, B, IN_PREFIX]) == frozenset()
    assert set(found.interface_of) == {A, B}


def test_a_prefix_that_is_gone_leaves_its_interface() -> None:
    own = interface("eni-p", "10.0.0.9", prefixes=[PREFIX, "10.0.2.0/28"])
    of = view({CIDR: "eni-p"}, interfaces=[own])
    found = renewed(of, PartialRead(ReadRequest(addresses=frozenset({IN_PREFIX}))))
    assert found is not None
    assert found.carrier(IN_PREFIX) is None
    assert found.interfaces["eni-p"].prefixes == ("10.0.2.0/28",)
    assert found.interfaces["eni-p"].addresses == ("10.0.0.9",)


def test_where_prefixes_could_not_be_looked_for_a_full_read_is_needed() -> None:
    assert renewed(VIEW, PartialRead(ADDRESS_A, fault="denied")) is None
