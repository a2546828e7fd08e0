"""The central process: the only one that talks to EC2; owns route spec, health and view.

One loop that never waits for EC2: calls are made in threads, their results come back as
events, and whatever is still to be done is planned anew from what is known then.
"""

import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from vpcrouter import describe
from vpcrouter import log as logs
from vpcrouter.backoff import backoff_s
from vpcrouter.calls import Calls, Done
from vpcrouter.damping import Damping, DampingPolicy
from vpcrouter.ec2 import PARALLEL_CALLS, STALE_VIEW_CODES, Ec2
from vpcrouter.errors import Ec2Error
from vpcrouter.guard import guard, reason_to_wait
from vpcrouter.health import Health, merge
from vpcrouter.isolation import reason_to_hold
from vpcrouter.mailbox import Mailbox
from vpcrouter.messages import (
    DampingReport,
    HealthReport,
    HostList,
    RoutingReport,
    SpecReport,
)
from vpcrouter.plan import Action, Change, Plan, Policy, Problem
from vpcrouter.planner import Planner
from vpcrouter.plugins import Values, Worker
from vpcrouter.retry import Retries
from vpcrouter.spec import RouteSpec
from vpcrouter.trouble import Trouble
from vpcrouter.verify import Expectations, changed
from vpcrouter.view import View

OBSERVE = "observe"
CALL_LIMIT_S = 60.0
VERIFY_AFTER_S = 0.2
FIRST_JUDGEMENT_S = 10.0
REPORT_GAP_S = 0.1
RECENT_CHANGES = 100
EVENT = {Action.CREATE: "created", Action.REPLACE: "replaced", Action.DELETE: "deleted"}

log = logs.get(__name__)


class Reconciler(Worker):
    """Observe → plan → guard → apply → verify, over and over."""

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        self._planner = Planner(Policy(values["ignore_routes"]), self._choose)
        self._recheck_s: float = values["route_recheck_interval"]
        self._spec: RouteSpec | None = None
        self._reports: dict[str, HealthReport] = {}
        self._monitors: tuple[str, ...] = values["monitors"]
        self._health = Health()
        self._hold: str | None = None
        self._damping = Damping(DampingPolicy(values["flap_count"], values["flap_window_s"]))
        self._damping_end_s = float("inf")
        self._has_flapped = False
        self._view: View | None = None
        self._plan = Plan()
        self._queue: deque[Change] = deque()
        self._decided_s = 0.0
        self._retries = Retries()
        self._expectations = Expectations()
        self._last_host: dict[str, str] = {}
        self._observe_at_s = time.monotonic()
        self._read_failures = 0
        self._verify_tries = 0
        self._unread = Trouble(
            log, "EC2 cannot be read; routes stay as they are", "EC2 can be read again"
        )
        self._first_view_s: float | None = None
        self._must_plan = False
        self._cycle_open = False
        self._cycles = 0
        self._sentence = "waiting for the first route spec"
        self._held: tuple[str, ...] = ()
        self._recent: deque[dict[str, Any]] = deque(maxlen=RECENT_CHANGES)
        self._is_news = True
        self._reported_s = 0.0

    def run(self, mailbox: Mailbox) -> None:
        self._ec2 = Ec2(self.values["region"], self.values["vpc"])
        self._calls: Calls[Change | str] = Calls(PARALLEL_CALLS)
        mailbox.watch(self._calls.fd)
        while True:
            self._hear(mailbox)
            for done in self._calls.collect():
                self._on_done(done)
            self._observe_if_due()
            if self._retries.release(time.monotonic()) or self._must_plan:
                self._decide()
            self._apply()
            self._close_cycle()
            self._report(mailbox)
            mailbox.wait(self._time_left())
            if self._calls.longest_s() > CALL_LIMIT_S:
                raise Ec2Error("EC2", "NoReturn", f"a call has not ended in {CALL_LIMIT_S:g} s")

    def _time_left(self) -> float:
        now_s = time.monotonic()
        deadlines = [self._observe_at_s, self._damping_end_s]
        if OBSERVE in self._calls.under_way:
            deadlines[0] = now_s + CALL_LIMIT_S
        if (retry_s := self._retries.next_s()) is not None:
            deadlines.append(retry_s)
        if self._is_news:
            deadlines.append(self._reported_s + REPORT_GAP_S)
        return max(0.0, min(deadlines) - now_s)

    # What others say

    def _hear(self, mailbox: Mailbox) -> None:
        if (flaps := mailbox.take(DampingReport)) is not None:
            self._damping.go_on_from(flaps)
        spec_report = mailbox.take(SpecReport)
        if spec_report is not None and spec_report.spec not in (None, self._spec):
            self._spec = spec_report.spec
            assert self._spec is not None  # noqa: S101
            log.info("route spec in force", cidrs=len(self._spec.routes))
            for warning in self._spec.warnings:
                log.warning(warning)
            mailbox.post(HostList(self._spec.hosts))
            self._damping.keep(self._spec.hosts)
            self._must_plan = self._is_news = True
        health_reports = mailbox.take_all(HealthReport)
        for report in health_reports:
            self._reports[report.monitor] = report
        has_news = health_reports or spec_report or time.monotonic() >= self._damping_end_s
        if has_news and self._spec is not None:
            self._judge(self._spec.hosts)

    def _judge(self, hosts: Sequence[str]) -> None:
        hold = reason_to_hold(self._reports[m] for m in self._monitors if m in self._reports)
        self._must_plan = self._must_plan or hold != self._hold
        self._hold = hold
        before, merged = self._health, merge(self._reports.values(), hosts, self._monitors)
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
            self._calls.start(OBSERVE, self._ec2.observe)

    def _on_done(self, done: Done[Change | str]) -> None:
        if isinstance(done.what, Change):
            self._on_changed(done.what, done)
        elif done.error is not None:
            self._on_unreadable(done.error)
        else:
            self._on_view(done.result, done.ended_s)

    def _on_unreadable(self, error: Ec2Error) -> None:
        self._read_failures += 1
        delay_s = min(backoff_s(self._read_failures), self._recheck_s)
        self._observe_at_s = time.monotonic() + delay_s
        self._unread.tell(str(error))
        self._is_news = True

    def _on_view(self, view: View, now_s: float) -> None:
        self._unread.tell("")
        self._read_failures = 0
        self._view, seen = self._expectations.correct(view, now_s)
        if seen:
            slowest_s = max(now_s - each.accepted_s for each in seen)
            log.info("changes seen", count=len(seen), slowest_ms=round(1000 * slowest_s, 1))
        for entry in self._recent:
            if any(entry["change"] is each.change for each in seen):
                entry["times"]["seen"] = now_s
        self._first_view_s = self._first_view_s or now_s
        self._verify_tries = self._verify_tries + 1 if self._expectations.unseen() else 0
        delay_s = (
            VERIFY_AFTER_S * 2.0**self._verify_tries if self._verify_tries else self._recheck_s
        )
        self._observe_at_s = now_s + min(delay_s, self._recheck_s)
        self._retries.view_is_fresh()
        self._must_plan = self._is_news = True

    # Plan and guard

    def _decide(self) -> None:
        self._must_plan = False
        reason = reason_to_wait(self._spec, self._view)
        if self._spec is None or self._view is None:
            self._say(f"waiting: {reason}")
            return
        self._decided_s = time.monotonic()
        view = changed(self._view, self._under_way())
        proposed = self._planner.plan(self._spec, self._health, view)
        verdict = guard(proposed, view, self.values["delete_limit"], self._hold)
        self._tell_problems(self._plan.problems, verdict.plan.problems)
        for held in set(verdict.held) - set(self._held):
            log.error("held back", reason=held)
        self._held, self._plan = verdict.held, verdict.plan
        self._queue = deque(verdict.plan.changes)
        planned = (*self._queue, *self._under_way())
        self._retries.keep_only({change.key for change in planned})
        self._cycle_open = self._is_news = True
        self._say("; ".join((verdict.plan.sentence(), *verdict.held)))

    def _choose(self, cidr: str, hosts: Sequence[str]) -> str:
        """At random, but the same again while the first answer is good: plans are made anew."""
        if self._last_host.get(cidr) not in hosts:
            self._last_host[cidr] = random.choice(hosts)  # noqa: S311
        return self._last_host[cidr]

    def _say(self, sentence: str) -> None:
        log.log(20 if sentence != self._sentence else 10, "cycle", decided=sentence)
        self._sentence = sentence

    def _tell_problems(self, before: Sequence[Problem], now: Sequence[Problem]) -> None:
        for problem in sorted(set(now) - set(before)):
            log.log(20 if problem.is_wait else 30, problem.text, cidr=problem.cidr)
        for problem in sorted(set(before) - set(now)):
            log.info("no longer so", cidr=problem.cidr, problem=problem.text)

    # Apply

    def _under_way(self) -> list[Change]:
        return [what for what in self._calls.under_way if isinstance(what, Change)]

    def _apply(self) -> None:
        if not self._queue:
            return
        busy = {change.key for change in self._under_way()}
        left: deque[Change] = deque()
        while self._queue and self._calls.has_room:
            change = self._queue.popleft()
            if change.key in busy:
                left.append(change)
            elif not self._retries.must_wait(change):
                self._calls.start(change, partial(self._ec2.change, change))
        self._queue.extendleft(reversed(left))

    def _on_changed(self, change: Change, done: Done[Change | str]) -> None:
        self._is_news = True
        if done.error is not None:
            self._on_refused(change, done.error, done.ended_s)
            return
        if self._retries.succeeded(change.key):
            log.info("accepted after all", change=str(change))
        assert self._view is not None  # noqa: S101
        self._view = changed(self._view, [change])
        self._expectations.accept(change, done.ended_s)
        self._observe_at_s = min(self._observe_at_s, done.ended_s + VERIFY_AFTER_S)
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
        is_stale = error.code in STALE_VIEW_CODES
        if self._retries.failed(change, str(error), is_stale, now_s):
            log.error("EC2 refused a change", change=str(change), reason=str(error))
        if is_stale:
            self._observe_at_s = min(self._observe_at_s, now_s + self._retries.pause_s(change.key))

    # Report

    def _close_cycle(self) -> None:
        if not self._cycle_open or self._queue or self._under_way():
            return
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
        if not self._is_news or now_s - self._reported_s < REPORT_GAP_S:
            return
        self._is_news, self._reported_s = False, now_s
        spec, view = self._spec, self._view
        refused = "; ".join(sorted(set(self._retries.reasons)))
        problems = (*self._held, *(str(problem) for problem in self._plan.problems))
        mailbox.post(
            RoutingReport(
                self._sentence,
                self._cycles,
                self._unread.reason or refused or None,
                problems,
                spec,
                describe.routes(spec, view) if spec and view else {},
                describe.vpc(view, self._ec2.region) if view else {},
                tuple(describe.change(each["change"], each["times"]) for each in self._recent),
            )
        )
