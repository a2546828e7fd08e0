"""What is planned of what is wanted and seen, and what is said of it."""

from collections.abc import Sequence

import pytest

from tests.unit.building import CIDR, OTHER, A, B, C, health, said, spec, view
from tests.unit.reconcile.playing import TO_B
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import View
from vpcrouter.reconcile.decide import FIRST_DECISION, Decider
from vpcrouter.reconcile.facts import Wanted
from vpcrouter.routing.guard import ALWAYS_DELETABLE

SPEC = spec({CIDR: (A, B)})
ON_A = view({CIDR: "eni-a"})
A_FAILED = Wanted(SPEC, health("b", failed="a"))


def decider(choose: Sequence[str] = (), ignore_routes: tuple[str, ...] = ()) -> Decider:
    """It chooses these hosts, one after the other, or the first there is."""
    to_come = iter(choose)
    return Decider(ignore_routes, 0.5, lambda hosts: next(to_come, hosts[0]))


@pytest.mark.parametrize(
    ("wanted", "of", "sentence"),
    [
        (None, None, "waiting: no route spec received yet"),
        (None, ON_A, "waiting: no route spec received yet"),
        (SPEC, None, "waiting: route tables not read yet"),
    ],
)
def test_without_spec_or_view_there_is_nothing_to_decide(
    wanted: RouteSpec | None, of: View | None, sentence: str
) -> None:
    found = decider().decide(Wanted(wanted), of, [], 5.0)
    assert found.waiting
    assert found.sentence() == sentence
    assert found.plan.changes == ()


def test_before_anything_is_known_it_waits() -> None:
    assert FIRST_DECISION.waiting
    assert FIRST_DECISION.sentence() == "waiting for the first route spec"


def test_a_failed_hosts_route_is_to_be_moved() -> None:
    found = decider().decide(A_FAILED, ON_A, [], 5.0)
    assert found.plan.changes == (TO_B,)
    assert found.sentence() == "1 route to move off failed targets"
    assert not found.waiting
    assert found.made_at == 5.0
    assert found.withheld == ()


def test_what_is_under_way_is_not_decided_again() -> None:
    assert decider().decide(A_FAILED, ON_A, [TO_B], 5.0).sentence() == "nothing to do"


def test_isolated_nothing_is_to_be_changed_and_the_sentence_says_why() -> None:
    found = decider().decide(A_FAILED._replace(isolated="all silent"), ON_A, [], 5.0)
    assert found.plan.changes == ()
    assert found.withheld == ("all silent",)
    assert found.sentence() == "nothing to do; all silent"


def test_too_many_deletions_are_withheld() -> None:
    routes = {f"172.16.{n}.0/24": "eni-other" for n in range(ALWAYS_DELETABLE + 1)}
    found = decider().decide(Wanted(SPEC, health("a")), view(routes), [], 5.0)
    assert said(found.plan) == [f"create {CIDR} in rtb-1 to {A} (eni-a)"]
    assert len(found.withheld) == 1
    assert found.withheld[0] in found.sentence()


def test_ignored_routes_are_not_deleted() -> None:
    of = view({CIDR: "eni-a", OTHER: "eni-b"})
    wanted = Wanted(SPEC, health("ab"))
    assert said(decider().decide(wanted, of, [], 5.0).plan) == [
        f"delete {OTHER} in rtb-1 (to eni-b)"
    ]
    found = decider(ignore_routes=(OTHER,)).decide(wanted, of, [], 5.0)
    assert found.sentence() == "nothing to do"


def test_the_outlook_stands_between_what_is_decided_and_what_is_withheld() -> None:
    found = decider().decide(A_FAILED._replace(isolated="all silent"), ON_A, [], 5.0)
    assert found.sentence("5 to go") == "nothing to do; 5 to go; all silent"


def test_a_choice_stands_while_it_is_good_however_often_plans_are_made() -> None:
    our = decider(choose=[C, B])
    wanted = Wanted(spec(), health("bc", failed="a"))
    for _ in range(2):  # another reading each time, so that it is planned anew
        assert our.decide(wanted, view({CIDR: "eni-a"}, {}), [], 5.0).plan.changes[0].host == C
    without_c = Wanted(spec(), health("b", failed="ac"))
    assert our.decide(without_c, view({CIDR: "eni-a"}), [], 5.0).plan.changes[0].host == B
