"""What keeps a plan from being applied."""

import pytest

from tests.unit.building import CIDR, NAT, A, health, planned, said, spec, view
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import Route, View
from vpcrouter.routing.change import Action
from vpcrouter.routing.guard import ALWAYS_DELETABLE, guard, reason_to_wait, too_many_deletions
from vpcrouter.routing.plan import Plan


@pytest.mark.parametrize(
    ("wanted", "of", "reason"),
    [
        (None, None, "no route spec received yet"),
        (None, view(), "no route spec received yet"),
        (spec(), None, "route tables not read yet"),
        (spec(), view(), None),
    ],
)
def test_reason_to_wait(wanted: RouteSpec | None, of: View | None, reason: str | None) -> None:
    assert reason_to_wait(wanted, of) == reason


def with_unwanted(number: int, kept: int = 0) -> tuple[Plan, View]:
    """A plan that creates one route and deletes `number` of the `number + kept` there are."""
    unwanted = {f"172.16.{n}.0/24": "eni-other" for n in range(number)}
    wanted = {f"172.17.{n}.0/24": "eni-a" for n in range(kept)}
    foreign = {f"172.18.{n}.0/24": NAT for n in range(50)}
    of = view({**unwanted, **wanted, **foreign})
    return planned(of, health("a"), spec({CIDR: [A], **{cidr: [A] for cidr in wanted}})), of


@pytest.mark.parametrize(
    ("unwanted", "kept", "limit", "is_withheld"),
    [
        pytest.param(0, 5, 0.0, False, id="none"),
        pytest.param(ALWAYS_DELETABLE, 0, 0.0, False, id="ten may be at any time"),
        pytest.param(ALWAYS_DELETABLE + 1, 0, 0.5, True, id="eleven of eleven"),
        pytest.param(20, 20, 0.5, False, id="just the share"),
        pytest.param(21, 19, 0.5, True, id="one more than the share"),
        pytest.param(11, 1000, 0.0, True, id="a share of nothing"),
        pytest.param(40, 0, 1.0, False, id="a share of all"),
    ],
)
def test_deletions_are_withheld_and_nothing_else(
    unwanted: int, kept: int, limit: float, is_withheld: bool
) -> None:
    found, of = with_unwanted(unwanted, kept)
    result = guard(found, of, limit)
    if is_withheld:
        assert result.withheld == (too_many_deletions(found, of, limit),)
        assert said(result.plan) == [f"create {CIDR} in rtb-1 to {A} (eni-a)"]
        assert result.plan.problems == found.problems
    else:
        assert result.plan == found
        assert result.withheld == ()
        deletions = [each for each in found.changes if each.action is Action.DELETE]
        assert len(deletions) == unwanted


def test_isolation_takes_out_all_changes_and_leaves_what_is_told() -> None:
    found, of = with_unwanted(3)
    result = guard(found, of, 1.0, "we are cut off")
    assert found.changes
    assert result.plan == Plan((), found.problems)
    assert result.withheld == ("we are cut off",)


def test_the_reason_says_how_many_of_how_many_and_what_to_do() -> None:
    reason = too_many_deletions(*with_unwanted(15, 5), delete_limit=0.25)
    assert reason is not None
    assert reason.startswith("15 of 20 instance routes would be deleted")
    assert "0.25" in reason
    assert "delete_limit" in reason


def test_the_share_is_of_instance_routes_alone() -> None:
    of = view({CIDR: NAT, "172.16.0.0/24": Route("172.16.0.0/24", "eni-a")})
    assert of.count_ours() == 1
