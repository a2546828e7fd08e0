"""Rules that withhold changes. Each returns the reason, or None."""

from dataclasses import dataclass, replace

from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import View
from vpcrouter.routing.change import Action
from vpcrouter.routing.plan import Plan

ALWAYS_DELETABLE = 10
"""Up to this many deletions are never withheld, however small the VPC."""


@dataclass(frozen=True, slots=True)
class GuardResult:
    """The part of a plan that may be applied, and why the rest may not."""

    plan: Plan
    withheld: tuple[str, ...] = ()


def reason_to_wait(spec: RouteSpec | None, view: View | None) -> str | None:
    """Why nothing can be planned yet."""
    if spec is None:
        return "no route spec received yet"
    if view is None:
        return "route tables not read yet"
    return None


def guard(plan: Plan, view: View, delete_limit: float, isolated: str | None = None) -> GuardResult:
    """`plan` without what the rules withhold: all changes if `isolated` gives a reason."""
    if isolated is not None:
        return GuardResult(replace(plan, changes=()), (isolated,))
    reason = too_many_deletions(plan, view, delete_limit)
    if reason is None:
        return GuardResult(plan)
    kept = tuple(change for change in plan.changes if change.action is not Action.DELETE)
    return GuardResult(replace(plan, changes=kept), (reason,))


def too_many_deletions(plan: Plan, view: View, delete_limit: float) -> str | None:
    """Why the deletions of `plan` are withheld."""
    deletions = sum(change.action is Action.DELETE for change in plan.changes)
    if deletions <= ALWAYS_DELETABLE:
        return None
    ours = view.count_ours()
    if deletions <= delete_limit * ours:
        return None
    return (
        f"{deletions} of {ours} instance routes would be deleted, more than delete_limit "
        f"{delete_limit:g} allows; deletions withheld: fix the route spec, or raise delete_limit"
    )
