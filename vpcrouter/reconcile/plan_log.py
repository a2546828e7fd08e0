"""Logs decisions: only what differs from the last one."""

from collections.abc import Sequence

from vpcrouter.logs.setup import Later
from vpcrouter.reconcile.facts import Decision
from vpcrouter.routing.plan import Plan, Problem

LOGGED_AT_ONCE = 20
"""At most this many problems are logged one by one."""


class PlanLog:
    """Remembers what was logged last."""

    def __init__(self, log: Later, first: Decision) -> None:
        self._log = log
        self._plan = Plan()
        self._withheld: tuple[str, ...] = ()
        self._sentence = first.sentence()

    def write(self, decision: Decision, outlook: str = "") -> None:
        """Log the decision, what is withheld and why, and the problems no change can solve."""
        for reason in set(decision.withheld) - set(self._withheld):
            self._log.error("changes withheld", reason=reason)
        self._withheld = decision.withheld
        if decision.plan is not self._plan:
            self._write_problems(decision.plan.problems)
            sentence = decision.sentence(outlook)
            is_news = sentence != self._sentence and not self._is_progress(decision.plan)
            self._log.log(20 if is_news else 10, "cycle", decided=sentence)
            self._plan, self._sentence = decision.plan, sentence
        self._log.flush()

    def _is_progress(self, plan: Plan) -> bool:
        """Whether the changes are a proper subset of those planned before."""
        left = {change.key for change in plan.changes}
        return bool(left) and left < {change.key for change in self._plan.changes}

    def _write_problems(self, now: Sequence[Problem]) -> None:
        before = self._plan.problems
        if before == now:
            return
        new, gone = sorted(set(now) - set(before)), sorted(set(before) - set(now))
        for problem in new[:LOGGED_AT_ONCE]:
            self._log.log(20 if problem.is_wait else 30, problem.text, cidr=problem.cidr)
        for problem in gone[:LOGGED_AT_ONCE]:
            self._log.info("problem resolved", cidr=problem.cidr, problem=problem.text)
        more, more_gone = (max(0, len(each) - LOGGED_AT_ONCE) for each in (new, gone))
        if more or more_gone:
            text = "further problems not logged; see /route_info"
            self._log.warning(text, new=more, resolved=more_gone)
