"""The central process: the only one that talks to EC2; owns route spec, health and view.

One loop that never waits for EC2: calls are made in threads, their results come back as
events, and whatever is still to be done is planned anew from what is known then.
"""

import random
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from vpcrouter.aws.background import CALL_LIMIT_S, BackgroundCalls, Done
from vpcrouter.aws.ec2 import PARALLEL_CALLS, THROTTLE_CODES, Ec2
from vpcrouter.backoff import backoff_s
from vpcrouter.errors import Ec2Error
from vpcrouter.health.damping import Damping, DampingPolicy
from vpcrouter.health.isolation import reason_to_hold
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.linux import memory
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Trouble
from vpcrouter.model.host_state import Health, merge
from vpcrouter.model.messages import (
    DampingReport,
    HealthReport,
    HostList,
    Hosts,
    RoutingReport,
    SpecReport,
    ViewReport,
)
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import View
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Worker
from vpcrouter.reconcile import describe
from vpcrouter.reconcile.apply import Applying
from vpcrouter.reconcile.plan_log import PlanLog
from vpcrouter.routing.guard import guard, reason_to_wait
from vpcrouter.routing.incremental import Planner
from vpcrouter.routing.pace import Pace
from vpcrouter.routing.partial_read import STALE_VIEW_CODES, ReadRequests, renewed
from vpcrouter.routing.plan import Action, Change, Plan, Policy
from vpcrouter.routing.verify import Expectations, changed

OBSERVE, READ_PART, DESCRIBE = "observe", "read part", "describe"
"""The calls that change nothing: reading the VPC, reading a part of it again, and writing down for
the API what was read."""
VERIFY_AFTER_S = 0.2
FIRST_JUDGEMENT_S = 10.0
REPORT_GAP_S = 0.1
REST = 10
"""What was read is written down for the API at most one part in so many of the time."""
SWITCH_S = 0.0005
SENDING_FIRST_S, SENDING_S = 0.001, 0.003
STACK_BYTES = 1024 * 1024
RECENT_CHANGES = 100
EVENT = {Action.CREATE: "created", Action.REPLACE: "replaced", Action.DELETE: "deleted"}

log = logs.Later(logs.get(__name__))


class Reconciler(Worker):
    """Observe → plan → guard → apply → verify, over and over."""

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        self._planner = Planner(Policy(values["ignore_routes"]), self._choose)
        self._recheck_s: float = values["route_recheck_interval"]
        self._pace = Pace(values["ec2_burst"], values["ec2_rate"])
        self._spec: RouteSpec | None = None
        self._hosts: frozenset[str] = frozenset()
        self._reports: dict[str, HealthReport] = {}
        self._monitors: tuple[str, ...] = values["monitors"]
        self._health = Health()
        self._hold: str | None = None
        self._damping = Damping(DampingPolicy(values["flap_count"], values["flap_window_s"]))
        self._damping_end_s = float("inf")
        self._has_flapped = False
        self._view: View | None = None
        self._plan = Plan()
        self._decided_s = 0.0
        self._expectations = Expectations()
        self._requests = ReadRequests()
        self._last_host: dict[str, str] = {}
        self._observe_at_s = time.monotonic()
        self._rested_s = 0.0
        self._read_failures = 0
        self._verify_tries = 0
        self._unread = Trouble(
            logs.get(__name__),
            "EC2 cannot be read; routes stay as they are",
            "EC2 can be read again",
        )
        self._first_view_s: float | None = None
        self._must_plan = False
        self._cycle_open = False
        self._cycles = 0
        self._sentence = "waiting for the first route spec"
        self._withheld: tuple[str, ...] = ()
        self._plan_log = PlanLog(log, self._sentence)
        self._recent: deque[dict[str, Any]] = deque(maxlen=RECENT_CHANGES)
        self._is_news = True
        self._reported_s = 0.0
        self._is_view_news = False
        self._view_report_s = 0.0

    def run(self, mailbox: Mailbox) -> None:
        # So long must a thread that has a request to send wait for another that computes.
        sys.setswitchinterval(SWITCH_S)
        memory.keep_freed()
        threading.stack_size(STACK_BYTES)  # which count against memory_limit
        self._ec2 = Ec2(self.values["region"], self.values["vpc"])
        self._calls: BackgroundCalls[Change | str] = BackgroundCalls(PARALLEL_CALLS)
        self._applying = Applying(self._calls, self._pace, self._ec2.change)
        mailbox.watch(self._calls.fd)
        try:
            while True:
                self._turn(mailbox)
        finally:
            log.flush()

    def _turn(self, mailbox: Mailbox) -> None:
        self._hear(mailbox)
        for done in self._calls.collect():
            self._on_done(done, mailbox)
        if self._applying.retries.release(time.monotonic()) or self._must_plan:
            self._decide()
        self._start_changes(mailbox)
        self._observe_if_due()
        self._read_part_if_due()
        self._plan_log.write(self._plan, self._withheld, self._sentence)
        self._close_cycle()
        self._report(mailbox)
        mailbox.wait(self._time_left())
        self._calls.raise_if_stuck("EC2")

    def _time_left(self) -> float:
        now_s = time.monotonic()
        deadlines = [self._observe_at_s, self._damping_end_s]
        if OBSERVE in self._calls.under_way:
            deadlines[0] = now_s + CALL_LIMIT_S
        if (next_s := self._applying.next_s()) is not None:
            deadlines.append(next_s)
        if self._is_news:
            deadlines.append(self._reported_s + REPORT_GAP_S)
        if self._is_view_news and DESCRIBE not in self._calls.under_way:
            deadlines.append(self._view_report_s)
        return max(0.0, min(deadlines) - now_s)

    # What others say

    def _hear(self, mailbox: Mailbox) -> None:
        if (flaps := mailbox.take(DampingReport)) is not None:
            self._damping.go_on_from(flaps)
        spec_report = mailbox.take(SpecReport)
        if spec_report is not None and spec_report.spec not in (None, self._spec):
            self._spec = spec_report.spec
            assert self._spec is not None  # noqa: S101
            hosts = self._spec.hosts
            self._hosts = Hosts(hosts).shared
            log.info("route spec in force", cidrs=len(self._spec.routes))
            for warning in self._spec.warnings:
                log.warning(warning)
            mailbox.post(HostList(hosts))
            self._damping.keep(self._hosts)
            self._must_plan = self._is_news = self._is_view_news = True
        health_reports = mailbox.take_all(HealthReport)
        for report in health_reports:
            self._reports[report.monitor] = report
        has_news = health_reports or spec_report or time.monotonic() >= self._damping_end_s
        if has_news and self._spec is not None:
            self._judge()

    def _judge(self) -> None:
        hold = reason_to_hold(self._reports[m] for m in self._monitors if m in self._reports)
        self._must_plan = self._must_plan or hold != self._hold
        self._hold = hold
        before = self._health
        merged = merge(self._reports.values(), self._hosts, self._monitors)
        now_s = time.monotonic()
        for host in sorted(merged.failed - before.failed):
            log.warning("host failed", host=host)
            self._has_flapped = True
            if self._damping.failed(host, merged.failed_since.get(host, now_s)):
                for_s = round(self._damping.until_s(host) - now_s, 1)
                log.warning("host fails too often; others are preferred", host=host, for_s=for_s)
        self._health = replace(merged, damped=self._damping.damped(now_s))
        self._damping_end_s = self._damping.next_end_s(now_s)
        if before == self._health:
            return
        for host in sorted(before.failed - self._health.failed):
            log.info("host no longer failed", host=host, state=str(self._health.state(host)))
        for host in sorted(before.damped - self._health.damped):
            log.info("host is as good as others again", host=host)
        self._must_plan = True

    # Observe and verify

    def _observe_if_due(self) -> None:
        if time.monotonic() >= self._observe_at_s and OBSERVE not in self._calls.under_way:
            self._requests.full_read_begins()
            self._calls.start(OBSERVE, self._ec2.observe)

    def _read_part_if_due(self) -> None:
        if self._requests and READ_PART not in self._calls.under_way:
            self._calls.start(READ_PART, partial(self._ec2.read_part, self._requests.take()))

    def _on_done(self, done: Done[Change | str], mailbox: Mailbox) -> None:
        if isinstance(done.what, Change):
            self._on_changed(done.what, done)
        elif done.what == DESCRIBE:
            self._view_report_s = done.ended_s + max(REPORT_GAP_S, REST * done.took_s)
            mailbox.post(ViewReport(done.result))
        elif done.what == READ_PART:
            self._on_partial_read(done)
        elif done.error is not None:
            self._on_unreadable(done.error)
        else:
            self._rested_s = done.ended_s + done.took_s
            self._on_view(self._requests.correct(done.result), done.ended_s)

    def _on_unreadable(self, error: Ec2Error) -> None:
        now_s = time.monotonic()
        self._read_failures += 1
        delay_s = min(backoff_s(self._read_failures), self._recheck_s)
        self._observe_at_s = now_s + delay_s
        self._unread.tell(str(error))
        self._applying.retries.view_is_unknown(now_s)
        self._is_news = True

    def _on_view(self, view: View, now_s: float) -> None:
        self._unread.tell("")
        self._read_failures = 0
        self._take_over(view, now_s)
        self._first_view_s = self._first_view_s or now_s
        memory.search_rarely(view.size)
        tries = self._verify_tries = self._verify_tries + 1 if self._expectations.unseen() else 0
        delay_s = VERIFY_AFTER_S * 2.0**tries if tries else self._recheck_s
        self._observe_at_s = now_s + min(delay_s, self._recheck_s)

    def _on_partial_read(self, done: Done[Change | str]) -> None:
        self._requests.ended(done.result)
        assert self._view is not None  # noqa: S101
        view = None if done.error is not None else renewed(self._view, done.result)
        if view is None:
            self._observe_at_s = done.ended_s
        else:
            self._take_over(view, done.ended_s)

    def _take_over(self, view: View, now_s: float) -> None:
        """What was read counts, but where it is older than our own changes."""
        before = self._view
        self._view, seen = self._expectations.correct(view, now_s)
        self._is_view_news = self._is_view_news or self._view != before
        if seen:
            slowest_s = max(now_s - each.accepted_s for each in seen)
            log.info("changes seen", count=len(seen), slowest_ms=round(1000 * slowest_s, 1))
        for entry in self._recent:
            if any(entry["change"] is each.change for each in seen):
                entry["times"]["seen"] = now_s
        if self._requests.are_settled():
            self._applying.retries.view_is_fresh()
        self._must_plan = self._is_news = True

    # Plan and guard

    def _decide(self) -> None:
        self._must_plan = False
        reason = reason_to_wait(self._spec, self._view)
        if self._spec is None or self._view is None:
            self._sentence = f"waiting: {reason}"
            self._plan = Plan()
            return
        self._decided_s = time.monotonic()
        view = changed(self._view, self._applying.under_way)
        proposed = self._planner.plan(self._spec, self._health, view)
        result = guard(proposed, view, self.values["delete_limit"], self._hold)
        self._withheld, self._plan = result.withheld, result.plan
        self._applying.renew(result.plan.changes)
        self._cycle_open = self._is_news = True
        said = (result.plan.sentence(), self._applying.sentence(), *result.withheld)
        self._sentence = "; ".join(filter(None, said))

    def _choose(self, cidr: str, hosts: Sequence[str]) -> str:
        """At random, but the same again while the first answer is good: plans are made anew."""
        if self._last_host.get(cidr) not in hosts:
            self._last_host[cidr] = random.choice(hosts)  # noqa: S311
        return self._last_host[cidr]

    # Apply

    def _start_changes(self, mailbox: Mailbox) -> None:
        """Only one thread at a time runs Python: first that of one request, then all the others."""
        has_started = not self._applying.under_way and self._applying.start(most=1)
        if has_started:
            mailbox.wait(SENDING_FIRST_S)
        if self._applying.start() or has_started:
            mailbox.wait(SENDING_S)

    def _on_changed(self, change: Change, done: Done[Change | str]) -> None:
        self._is_news = True
        if done.error is not None:
            self._on_refused(change, done.error, done.ended_s)
            return
        self._is_view_news = True
        if self._applying.retries.succeeded(change.key):
            log.info("accepted after all", change=str(change))
        assert self._view is not None  # noqa: S101
        self._view = changed(self._view, [change])
        self._expectations.accept(change, done.ended_s)
        # Reading a large VPC takes longer than that; nor is it done without a pause.
        verify_s = max(done.ended_s + VERIFY_AFTER_S, self._rested_s)
        self._observe_at_s = min(self._observe_at_s, verify_s)
        times_s = {"decided": self._decided_s, "accepted": done.ended_s}
        failed_s = self._health.failed_since.get(change.was_host or "")
        if failed_s is not None:
            times_s = {"detected": failed_s, **times_s}
        self._recent.append({"change": change, "times": times_s})
        log.info(
            f"route {EVENT[change.action]}",
            cidr=change.cidr,
            table=change.table,
            was=change.was_host or change.was,
            host=change.host,
            interface=change.interface,
            took_ms=round(1000 * (done.ended_s - min(times_s.values())), 1),
        )

    def _on_refused(self, change: Change, error: Ec2Error, now_s: float) -> None:
        if error.code in THROTTLE_CODES:
            self._on_throttled(change, now_s)
            return
        retries = self._applying.retries
        is_stale = error.code in STALE_VIEW_CODES
        if retries.failed(change, str(error), is_stale, now_s):
            log.error("EC2 refused a change", change=str(change), reason=str(error))
        if is_stale and retries.awaits_view(change.key):
            self._requests.note(change, error.code)
        elif is_stale:
            self._observe_at_s = min(self._observe_at_s, now_s + retries.pause_s(change.key))

    def _on_throttled(self, change: Change, now_s: float) -> None:
        if not self._pace.is_throttled:
            log.warning("EC2 throttles", calls_per_s=self._pace.rate, left=self._applying.pending)
        self._pace.refused(change, now_s)
        self._must_plan = True  # for its route, too, from what is known by now

    # Report

    def _close_cycle(self) -> None:
        if not self._cycle_open or not self._applying.is_idle:
            return
        if not self._cycles and self._is_view_news:
            return  # who is told that all is done may want to see it
        waits = any(problem.is_wait for problem in self._plan.problems)
        now_s = time.monotonic()
        if waits and now_s - (self._first_view_s or now_s) < FIRST_JUDGEMENT_S:
            return
        self._cycle_open = False
        self._cycles += 1
        self._is_news = True

    def _report(self, mailbox: Mailbox) -> None:
        now_s = time.monotonic()
        if self._has_flapped:
            self._has_flapped = False
            mailbox.post(self._damping.report())
        self._describe_if_due(now_s)
        if not self._is_news or now_s - self._reported_s < REPORT_GAP_S:
            return
        self._is_news, self._reported_s = False, now_s
        refused = "; ".join(sorted(set(self._applying.retries.reasons)))
        mailbox.post(
            RoutingReport(
                self._sentence,
                self._cycles,
                self._unread.reason or refused or None,
                (*self._withheld, *(str(problem) for problem in self._plan.problems)),
                tuple(describe.change(each["change"], each["times"]) for each in self._recent),
                self._applying.pending,
                self._applying.expected_s(),
            )
        )

    def _describe_if_due(self, now_s: float) -> None:
        """Write down what was read for the API, in a thread, as that may take long."""
        is_due = self._is_view_news and now_s >= self._view_report_s
        if self._view is None or not is_due or DESCRIBE in self._calls.under_way:
            return
        self._is_view_news = False
        body = partial(describe.body, self._spec, self._view, self._ec2.region)
        self._calls.start(DESCRIBE, body)
