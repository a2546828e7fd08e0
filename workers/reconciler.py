"""The central process: the only one that talks to EC2; owns route spec, health and view.

One loop that never waits for EC2: calls run in threads, and when one has ended, the remaining work
is planned again. The steps do not know each other; this module passes their results on.
"""

import random
import sys
import threading
import time

from vpcrouter.aws.background import BackgroundCalls, Done
from vpcrouter.aws.ec2 import PARALLEL_CALLS, Ec2
from vpcrouter.health.damping import DampingPolicy
from vpcrouter.ipc.mailbox import WorkerMailbox
from vpcrouter.linux import memory
from vpcrouter.logs import setup as logs
from vpcrouter.model.messages import DampingReport, HealthReport, HostList, SpecReport
from vpcrouter.plugins.contract import Worker
from vpcrouter.reconcile import apply, decide, inbox, observe, plan_log, status
from vpcrouter.routing.change import Change
from vpcrouter.routing.pace import Pace

SWITCH_S = 0.0005
STACK_BYTES = 1024 * 1024

log = logs.Later(logs.get(__name__))


class Reconciler(Worker):
    """Observe → plan → guard → apply → verify → report, over and over."""

    def run(self, mailbox: WorkerMailbox) -> None:
        # The longest that a thread with a request to send waits for one that computes.
        sys.setswitchinterval(SWITCH_S)
        memory.keep_freed()
        threading.stack_size(STACK_BYTES)  # stacks count against memory_limit
        values, now_s = self.values, time.monotonic()
        self._calls: BackgroundCalls[Change | str] = BackgroundCalls(PARALLEL_CALLS)
        ec2 = Ec2(values["region"], values["vpc"], self._calls.progressed)
        reads = (ec2.observe, ec2.read_part, values["route_recheck_interval"])
        damping = DampingPolicy(values["flap_count"], values["flap_window_s"])
        pace = Pace(values["ec2_burst"], values["ec2_rate"])
        limit = values["delete_limit"]
        self._inbox = inbox.Inbox(values["monitors"], damping, log)
        self._observer = observe.Observer(self._calls, *reads, log, now_s)
        self._decider = decide.Decider(values["ignore_routes"], limit, random.choice)
        self._decision = decide.FIRST_DECISION
        self._applier = apply.Applier(self._calls, pace, ec2.change, log)
        self._status = status.Status(self._calls, ec2.region)
        self._plan_log = plan_log.PlanLog(log, self._decision)
        mailbox.watch(self._calls.fd)
        try:
            while True:
                self._turn(mailbox)
        finally:
            log.flush()

    def _turn(self, mailbox: WorkerMailbox) -> None:
        must_plan = self._hear(mailbox)
        for done in self._calls.collect():
            must_plan = self._observe(done, mailbox) or must_plan
        if self._applier.release_retries(time.monotonic()) or must_plan:
            self._plan_and_guard(time.monotonic())
        self._applier.start_all(mailbox.wait, time.monotonic())
        self._observer.start_reads(time.monotonic())  # these also verify changes
        self._report(mailbox)
        now_s = time.monotonic()
        steps_at = (self._inbox.next_at(), self._status.next_at())
        calls_at = (self._observer.next_at(now_s), self._applier.next_at(now_s))
        mailbox.wait(min(*steps_at, *calls_at) - now_s)
        self._calls.raise_if_stuck("EC2")

    def _hear(self, mailbox: WorkerMailbox) -> bool:
        """Process messages; whether they require a new plan."""
        flaps, spec_report = mailbox.take(DampingReport), mailbox.take(SpecReport)
        health_reports = mailbox.take_all(HealthReport)
        news = self._inbox.read(flaps, spec_report, health_reports, time.monotonic())
        if news.hosts is not None:
            mailbox.post(HostList(news.hosts))
            self._observer.look_for(news.hosts)
            self._status.spec_changed()
        return news.must_plan

    def _observe(self, done: Done[Change | str], mailbox: WorkerMailbox) -> bool:
        """Process the end of a call; whether it requires a new plan."""
        if isinstance(done.what, Change):
            failed_since = self._inbox.wanted.health.failed_since
            outcome = self._applier.ended(done.what, done, self._decision.made_at, failed_since)
            self._observer.change_ended(outcome)
            self._status.change_ended(outcome)
            return outcome.is_throttled
        if done.what == status.DESCRIBE:
            mailbox.post(self._status.described(done))
            return False
        observation = self._observer.read_ended(done, time.monotonic())
        self._applier.observed(observation)
        self._status.observed(observation)
        if observation.size:
            memory.search_rarely(observation.size)
        return observation.has_view

    def _plan_and_guard(self, now_s: float) -> None:
        wanted, view = self._inbox.wanted, self._observer.view
        self._decision = self._decider.decide(wanted, view, self._applier.under_way, now_s)
        self._applier.renew(self._decision.plan.changes, now_s)
        self._status.decided(self._decision)

    def _report(self, mailbox: WorkerMailbox) -> None:
        self._plan_log.write(self._decision, self._applier.outlook)
        now_s = time.monotonic()
        self._status.close_cycle(self._decision, self._applier.is_idle, now_s)
        if (flaps := self._inbox.damping_report()) is not None:
            mailbox.post(flaps)
        self._status.describe_if_due(self._inbox.wanted.spec, self._observer.view, now_s)
        if self._status.is_report_due(now_s):
            progress, trouble = self._applier.progress(now_s), self._observer.trouble
            mailbox.post(self._status.report(self._decision, trouble, progress, now_s))
