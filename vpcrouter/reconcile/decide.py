"""Decides what to change: plan and guard."""

from collections.abc import Callable, Iterable, Sequence

from vpcrouter.model.view import View
from vpcrouter.reconcile.facts import Decision, Wanted
from vpcrouter.routing.change import Change
from vpcrouter.routing.guard import guard, reason_to_wait
from vpcrouter.routing.incremental import Planner
from vpcrouter.routing.plan import Plan, Policy
from vpcrouter.routing.verify import changed

FIRST_DECISION = Decision(Plan(), waiting="waiting for the first route spec")


class Decider:
    """Pure, except for what it remembers of the last plan."""

    def __init__(
        self,
        ignore_routes: tuple[str, ...],
        delete_limit: float,
        choose: Callable[[Sequence[str]], str],
    ) -> None:
        """`choose` picks one of several equivalent hosts."""
        self._planner = Planner(Policy(ignore_routes), self._choose)
        self._delete_limit = delete_limit
        self._choose_any = choose
        self._last_host: dict[str, str] = {}

    def decide(
        self, wanted: Wanted, view: View | None, under_way: Iterable[Change], now_s: float
    ) -> Decision:
        """Plan from `view` as it will be after the changes `under_way`, and apply the guards."""
        if wanted.spec is None or view is None:
            reason = reason_to_wait(wanted.spec, view)
            return Decision(Plan(), waiting=f"waiting: {reason}")
        expected = changed(view, under_way)
        proposed = self._planner.plan(wanted.spec, wanted.health, expected)
        result = guard(proposed, expected, self._delete_limit, wanted.isolated)
        return Decision(result.plan, result.withheld, now_s)

    def _choose(self, cidr: str, hosts: Sequence[str]) -> str:
        """The last choice while it is still a candidate, so that a new plan keeps it."""
        if self._last_host.get(cidr) not in hosts:
            self._last_host[cidr] = self._choose_any(hosts)
        return self._last_host[cidr]
