"""Reporting: when a cycle is complete, and what is reported to the API, and how often.

Times are monotonic seconds.
"""

import math
from functools import partial

from vpcrouter.aws.background import BackgroundCalls, Done
from vpcrouter.model.messages import RoutingReport, ViewReport
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import View
from vpcrouter.reconcile import describe
from vpcrouter.reconcile.facts import ChangeOutcome, Decision, Observation, Progress
from vpcrouter.routing.change import Change

DESCRIBE = "describe"
FIRST_JUDGEMENT_S = 10.0
"""How long after the first view the first cycle waits for hosts in state unknown."""
REPORT_GAP_S = 0.1
REST = 10
"""Serializing the view for the API takes at most 1/REST of the time."""


class Status:
    """Owned by the reconciler's loop; the view is serialized in the background."""

    def __init__(self, calls: "BackgroundCalls[Change | str]", region: str) -> None:
        self._calls = calls
        self._region = region
        self._cycles = 0
        self._is_cycle_open = False
        self._first_view_at: float | None = None
        self._is_news = True
        self._reported_at = 0.0
        self._is_view_news = False
        self._describe_at = 0.0

    # Collecting

    def spec_changed(self) -> None:
        self._is_news = self._is_view_news = True

    def observed(self, observation: Observation) -> None:
        if observation.has_view or observation.is_unreadable:
            self._is_news = True
        if observation.has_view and self._first_view_at is None:
            self._first_view_at = observation.at_s
        self._is_view_news = self._is_view_news or observation.is_new

    def change_ended(self, outcome: ChangeOutcome) -> None:
        self._is_news = True
        self._is_view_news = self._is_view_news or outcome.is_accepted

    def decided(self, decision: Decision) -> None:
        """A cycle begins or continues."""
        if not decision.waiting:
            self._is_cycle_open = self._is_news = True

    def close_cycle(self, decision: Decision, is_idle: bool, now_s: float) -> None:
        """The cycle is complete once no change is left to be tried now."""
        if not self._is_cycle_open or not is_idle:
            return
        if not self._cycles and self._is_view_news:
            return  # the view must be reported before the cycle is said to be complete
        waits = any(problem.is_wait for problem in decision.plan.problems)
        first_view_at = now_s if self._first_view_at is None else self._first_view_at
        if waits and now_s - first_view_at < FIRST_JUDGEMENT_S:
            return
        self._is_cycle_open = False
        self._cycles += 1
        self._is_news = True

    # Reporting

    def next_at(self) -> float:
        """When the next report is due; infinity: nothing to report."""
        routing_at = self._reported_at + REPORT_GAP_S if self._is_news else math.inf
        has_view = self._first_view_at is not None
        may_describe = self._is_view_news and has_view and DESCRIBE not in self._calls.under_way
        return min(routing_at, self._describe_at if may_describe else math.inf)

    def describe_if_due(self, spec: RouteSpec | None, view: View | None, now_s: float) -> None:
        """Serialize the view for the API, in a thread, as that may take long."""
        is_due = self._is_view_news and now_s >= self._describe_at
        if view is None or not is_due or DESCRIBE in self._calls.under_way:
            return
        self._is_view_news = False
        self._calls.start(DESCRIBE, partial(describe.body, spec, view, self._region))

    def described(self, done: Done[Change | str]) -> ViewReport:
        """The serialized view; the next one is made after a pause."""
        self._describe_at = done.ended_s + max(REPORT_GAP_S, REST * done.took_s)
        return ViewReport(done.result)

    def is_report_due(self, now_s: float) -> bool:
        return self._is_news and now_s - self._reported_at >= REPORT_GAP_S

    def report(
        self, decision: Decision, unreadable: str, progress: Progress, now_s: float
    ) -> RoutingReport:
        """The reconciler's status; `unreadable` says why EC2 cannot be read."""
        self._is_news, self._reported_at = False, now_s
        return RoutingReport(
            decision.sentence(progress.outlook),
            self._cycles,
            unreadable or progress.refusals or None,
            (*decision.withheld, *(str(problem) for problem in decision.plan.problems)),
            tuple(describe.change(change, times_s) for change, times_s in progress.recent),
            progress.pending,
            progress.expected_s,
        )
