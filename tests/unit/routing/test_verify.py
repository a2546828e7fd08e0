"""Reading changes back in the face of stale reads."""

import pytest

from tests.unit.building import CIDR, OTHER, A, B, view
from vpcrouter.model.view import View
from vpcrouter.routing.change import Action, Change, Urgency
from vpcrouter.routing.verify import SETTLE_S, Expectations, changed

REPLACED = Change(Urgency.FAILED, "rtb-1", CIDR, Action.REPLACE, "eni-b", B, "eni-a", A)
CREATED = Change(Urgency.MISSING, "rtb-1", CIDR, Action.CREATE, "eni-a", A, None)
DELETED = Change(Urgency.UNWANTED, "rtb-1", CIDR, Action.DELETE, None, None, "eni-a")

TO_A, TO_B, TO_OTHER = view({CIDR: "eni-a"}), view({CIDR: "eni-b"}), view({CIDR: "eni-other"})
NO_ROUTE, NO_TABLE = view({}), view()


@pytest.mark.parametrize(
    ("change", "shown", "corrected", "is_seen"),
    [
        pytest.param(REPLACED, TO_B, TO_B, True, id="replaced: the new target"),
        pytest.param(REPLACED, TO_A, TO_B, False, id="replaced: a stale read"),
        pytest.param(REPLACED, TO_OTHER, TO_OTHER, False, id="replaced: somebody else's change"),
        pytest.param(REPLACED, NO_ROUTE, NO_ROUTE, False, id="replaced: somebody deleted it"),
        pytest.param(REPLACED, NO_TABLE, NO_TABLE, False, id="replaced: the table is gone"),
        pytest.param(CREATED, TO_A, TO_A, True, id="created: it is there"),
        pytest.param(CREATED, NO_ROUTE, TO_A, False, id="created: a stale read"),
        pytest.param(CREATED, TO_B, TO_B, False, id="created: somebody else's change"),
        pytest.param(CREATED, NO_TABLE, NO_TABLE, False, id="created: the table is gone"),
        pytest.param(DELETED, NO_ROUTE, NO_ROUTE, True, id="deleted: it is gone"),
        pytest.param(DELETED, TO_A, NO_ROUTE, False, id="deleted: a stale read"),
        pytest.param(DELETED, TO_B, TO_B, False, id="deleted: somebody made another"),
    ],
)
def test_one_read(change: Change, shown: View, corrected: View, is_seen: bool) -> None:
    expectations = Expectations()
    expectations.accept(change, 100.0)
    assert expectations.unseen()
    found, seen = expectations.correct(shown, 101.0)
    assert found.tables == corrected.tables
    assert [(each.change, each.accepted_s, each.seen_s) for each in seen] == (
        [(change, 100.0, 101.0)] if is_seen else []
    )
    assert expectations.unseen() is not is_seen


def test_a_stale_answer_after_a_fresh_one_is_corrected_too() -> None:
    expectations = Expectations()
    expectations.accept(REPLACED, 100.0)
    expectations.correct(TO_B, 101.0)
    found, seen = expectations.correct(TO_A, 102.0)
    assert found.tables == TO_B.tables
    assert seen == ()


@pytest.mark.parametrize(
    ("shown", "believed"),
    [
        pytest.param(TO_A, TO_B, id="as it was before the last change"),
        pytest.param(TO_OTHER, TO_B, id="as it was before others"),
        pytest.param(NO_ROUTE, TO_B, id="not there yet"),
        pytest.param(TO_B, TO_B, id="as it is"),
        pytest.param(NO_TABLE, NO_TABLE, id="its table is gone"),
    ],
)
def test_a_read_that_began_before_the_change_does_not_undo_it(shown: View, believed: View) -> None:
    expectations = Expectations()
    expectations.accept(REPLACED, 100.0)
    found, _ = expectations.correct(shown, 170.0, took_s=71.0)
    assert found.tables == believed.tables
    assert expectations.unseen() is (shown is not TO_B)


def test_one_that_began_after_it_shows_what_others_changed_since() -> None:
    expectations = Expectations()
    expectations.accept(REPLACED, 100.0)
    found, _ = expectations.correct(TO_OTHER, 170.0, took_s=69.0)
    assert found.tables == TO_OTHER.tables


def test_a_change_is_seen_once() -> None:
    expectations = Expectations()
    expectations.accept(REPLACED, 100.0)
    assert len(expectations.correct(TO_B, 101.0)[1]) == 1
    assert expectations.correct(TO_B, 102.0)[1] == ()


@pytest.mark.parametrize(
    ("after_s", "believed"), [(SETTLE_S - 0.1, TO_B), (SETTLE_S, TO_A), (SETTLE_S + 60, TO_A)]
)
def test_the_old_value_is_believed_once_all_must_have_settled(
    after_s: float, believed: View
) -> None:
    expectations = Expectations()
    expectations.accept(REPLACED, 100.0)
    found, _ = expectations.correct(TO_A, 100.0 + after_s)
    assert found.tables == believed.tables
    assert expectations.unseen() is (believed is TO_B)


def test_the_last_accepted_change_of_a_route_counts() -> None:
    back = Change(Urgency.HOUSEKEEPING, "rtb-1", CIDR, Action.REPLACE, "eni-a", A, "eni-b", B)
    expectations = Expectations()
    expectations.accept(REPLACED, 100.0)
    expectations.accept(back, 101.0)
    found, _ = expectations.correct(TO_B, 102.0)
    assert found.tables == TO_A.tables


def test_without_expectations_a_view_is_what_it_is() -> None:
    expectations = Expectations()
    assert expectations.correct(TO_A, 100.0) == (TO_A, ())
    assert not expectations.unseen()


def test_changed() -> None:
    other = Change(Urgency.MISSING, "rtb-2", OTHER, Action.CREATE, "eni-b", B, None)
    found = changed(view({CIDR: "eni-a"}, {}), [REPLACED, other])
    assert found.tables == view({CIDR: "eni-b"}, {OTHER: "eni-b"}).tables
    assert changed(view({CIDR: "eni-a"}), [DELETED]).tables == NO_ROUTE.tables
