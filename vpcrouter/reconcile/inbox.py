"""Messages from other workers: the route spec, and the state of each host from all reports.

Pure, except for log lines, which are written later. Times are monotonic seconds.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from vpcrouter.health.damping import Damping, DampingPolicy
from vpcrouter.health.isolation import isolation_of_all
from vpcrouter.logs.setup import Later
from vpcrouter.model.host_state import Health, merge
from vpcrouter.model.messages import DampingReport, HealthReport, Hosts, SpecReport
from vpcrouter.model.spec import RouteSpec
from vpcrouter.reconcile.facts import News, Wanted


class Inbox:
    """Owned by the reconciler's loop; knows the newest message of each kind and sender."""

    def __init__(self, monitors: Collection[str], damping: DampingPolicy, log: Later) -> None:
        """`monitors` names all monitors in use."""
        self.wanted = Wanted()
        self._monitors = monitors
        self._hosts: frozenset[str] = frozenset()
        self._reports: dict[str, HealthReport] = {}
        self._damping = Damping(damping)
        self._damping_ends_at = math.inf
        self._has_failures = False
        self._log = log

    def read(
        self,
        flaps: DampingReport | None,
        spec_report: SpecReport | None,
        health_reports: Sequence[HealthReport],
        now_s: float,
    ) -> News:
        """Process a turn's messages; `flaps` is the state of the last generation."""
        if flaps is not None:
            self._damping.go_on_from(flaps)
        hosts = self._put_in_force(spec_report.spec) if spec_report is not None else None
        for report in health_reports:
            self._reports[report.monitor] = report
        must_plan = hosts is not None
        has_news = health_reports or spec_report or now_s >= self._damping_ends_at
        if has_news and self.wanted.spec is not None:
            must_plan = self._judge(now_s) or must_plan
        return News(hosts, must_plan)

    def next_at(self) -> float:
        """When the state changes without a message; infinity: never."""
        return self._damping_ends_at

    def damping_report(self) -> DampingReport | None:
        """The record of failures, if there were any since the last time."""
        has_failures, self._has_failures = self._has_failures, False
        return self._damping.report() if has_failures else None

    def _put_in_force(self, spec: RouteSpec | None) -> tuple[str, ...] | None:
        """All hosts of the spec if it is new; None otherwise."""
        if spec is None or spec == self.wanted.spec:
            return None
        self.wanted = self.wanted._replace(spec=spec)
        hosts = spec.hosts
        self._hosts = Hosts(hosts).shared
        self._log.info("route spec in force", cidrs=len(spec.routes))
        for warning in spec.warnings:
            self._log.warning(warning)
        self._damping.keep(self._hosts)
        return hosts

    def _judge(self, now_s: float) -> bool:
        """Merge the monitors' reports; whether that changes anything."""
        before = self.wanted
        known = (self._reports[name] for name in self._monitors if name in self._reports)
        isolated = isolation_of_all(known)
        merged = merge(self._reports.values(), self._hosts, self._monitors)
        self._count_failures(before.health, merged, now_s)
        health = replace(merged, damped=self._damping.damped(now_s))
        self._damping_ends_at = self._damping.next_end_s(now_s)
        self.wanted = Wanted(before.spec, health, isolated)
        if before.health == health:
            return isolated != before.isolated
        for host in sorted(before.health.failed - health.failed):
            self._log.info("host no longer failed", host=host, state=str(health.state(host)))
        for host in sorted(before.health.damped - health.damped):
            self._log.info("host no longer damped", host=host)
        return True

    def _count_failures(self, before: Health, merged: Health, now_s: float) -> None:
        for host in sorted(merged.failed - before.failed):
            self._log.warning("host failed", host=host)
            self._has_failures = True
            if self._damping.failed(host, merged.failed_since.get(host, now_s)):
                for_s = round(self._damping.until_s(host) - now_s, 1)
                text = "host damped: failed too often; other hosts are preferred"
                self._log.warning(text, host=host, for_s=for_s)
