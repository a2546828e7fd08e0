"""What keeps a plan from being applied. Each rule returns the reason, or None."""

from dataclasses import dataclass, replace

from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import View
from vpcrouter.routing.plan import Action, Plan

ALWAYS_DELETABLE = 10
"""So many deletions are never held back, however small the VPC."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The part of a plan that may be applied, and why the rest may not."""

    plan: Plan
    held: tuple[str, ...] = ()


def reason_to_wait(spec: RouteSpec | None, view: View | None) -> str | None:
    """Why nothing can be planned yet."""
    if spec is None:
        return "there is no route spec yet"
    if view is None:
        return "the route tables have not been read yet"
    return None


def guard(plan: Plan, view: View, delete_limit: float, hold: str | None = None) -> Verdict:
    """Take out of `plan` what the rules hold back; all of it if there is a reason to `hold`."""
    if hold is not None:
        return Verdict(replace(plan, changes=()), (hold,))
    reason = too_many_deletions(plan, view, delete_limit)
    if reason is None:
        return Verdict(plan)
    kept = tuple(change for change in plan.changes if change.action is not Action.DELETE)
    return Verdict(replace(plan, changes=kept), (reason,))


def too_many_deletions(plan: Plan, view: View, delete_limit: float) -> str | None:
    """Why the deletions of `plan` are not to be made."""
    deletions = sum(change.action is Action.DELETE for change in plan.changes)
    if deletions <= ALWAYS_DELETABLE:
        return None
    ours = view.count_ours()
    if deletions <= delete_limit * ours:
        return None
    return (
        f"{deletions} of {ours} instance routes would be deleted, more than the share of "
        f"{delete_limit:g}; none is: mend the route spec, or raise delete_limit"
    )
