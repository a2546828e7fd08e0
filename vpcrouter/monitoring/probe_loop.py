"""The loop of a monitor that probes in its own time: schedule, judge, and a prober of its kind.

A monitor's `run` makes a Prober and hands it to a ProbeLoop.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from vpcrouter.health.judge import Judge
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.linux import priority, privileges
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Trouble
from vpcrouter.model.messages import HealthReport, HostList
from vpcrouter.monitoring.audit import Audit
from vpcrouter.monitoring.schedule import TICK_S, Outcome, Schedule
from vpcrouter.monitoring.timing import Timing

CHUNK = 128
"""So many probes are sent before answers are read again, of which a socket holds few, and before
time-outs are looked for: a connection takes 20 us."""
MAX_READS = 1_000
IDLE_S = 60.0
REPORT_S_PER_HOST = 2e-6
"""The shortest time between reports, for each host: a report costs all who read it."""
LATE_LOG_S = 60.0
PACE_S = 10.0
"""Over so long it is seen whether there is time for all probes, and whether answers are real."""
BEHIND_SHARE = 0.05

log = logs.get(__name__)


class Prober(Protocol):
    """Sends probes and reads answers; never waits. Owned by the loop's thread."""

    @property
    def trouble(self) -> str:
        """Why the last probe that was not sent was not."""

    @property
    def answers(self) -> int:
        """How many answers `collect` has told of."""

    def counted(self) -> int | None:
        """How many the kernel has seen, others' among them; None where it does not say."""

    def fileno(self) -> int:
        """Readable when `collect` has something."""

    def set_hosts(self, hosts: Sequence[str]) -> None:
        """These hosts are probed from now on."""

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        """Send a probe to each host, numbered from `first`; return the indexes not sent."""

    def collect(self) -> Sequence[Outcome] | None:
        """Some of what came in; None when there is nothing more to read.

        The times are of the arrival where that is known.
        """

    def expire(self, probes: Iterable[tuple[int, str]]) -> None:
        """These probes (number and host) timed out; an answer would come too late."""

    def revive(self, hosts: Iterable[str]) -> None:
        """These hosts answered; each whose probe had timed out is among them."""

    def forget(self, serials: Iterable[int]) -> None:
        """These probes are of no interest any more."""

    def close(self) -> None: ...


class Uplink(Protocol):
    """Our own way to the hosts. Owned by the loop's thread."""

    def fileno(self) -> int:
        """Readable when something of it has changed."""

    def lost(self, hosts: Sequence[str]) -> str:
        """Why none of the hosts can be reached from here, or nothing; never waits."""


class ProbeLoop:
    """A monitor's work loop. All in the worker's main thread."""

    def __init__(
        self,
        monitor: str,
        timing: Timing,
        prober: Prober,
        clock: Callable[[], float] = time.monotonic,
        uplink: Uplink | None = None,
    ) -> None:
        self._monitor = monitor
        self._timing = timing
        self._prober = prober
        self._clock = clock
        self._uplink = uplink
        self._uplink_lost = ""
        self._uplink_fds = {uplink.fileno()} if uplink else set[int]()
        self._schedule = Schedule(timing, Judge(timing.policy, timing.isolation))
        self._isolated = Trouble(
            log, "it is we who are cut off; no host is judged", "hosts answer again; judged afresh"
        )
        self._behind = Trouble(
            log,
            "there is no time for all probes; deaths are found later than promised",
            "there is time for all probes again",
        )
        self._audit = Audit(prober)
        self._doubt = Trouble(
            log,
            "this monitor counts answers that never came; failed hosts may count as healthy",
            "answers are as many as have come",
        )
        self._wake_s = self._woken_s = self._paced_s = clock()
        self._turn_s = 0.0
        self._watching = False
        self._report_from_s = 0.0
        self._unsent_s: float | None = None
        self._late_logged_s = -LATE_LOG_S

    def run(self, mailbox: Mailbox) -> None:
        """Probe until StopWorker, at real-time priority where that is allowed.

        The process has no rights any more then: the prober has its sockets.
        """
        log.info(self._timing.describe(), monitor=self._monitor)
        refused = priority.go_first(self._note_restless)
        if refused:
            log.info("no real-time priority, so a busy machine delays probes", reason=refused)
        with contextlib.suppress(OSError):  # said already, where it is forbidden
            privileges.give_up()
        for fd in self._uplink_fds:
            mailbox.watch(fd)
        try:
            while True:
                self.turn(mailbox)
        finally:
            self._prober.close()

    def _note_restless(self) -> None:
        log.warning(
            "this monitor worked without a pause for too long, and goes on at ordinary priority: "
            "probe fewer hosts, or less often"
        )

    def turn(self, mailbox: Mailbox) -> None:
        """Wait for what is next, and do it."""
        ready = mailbox.wait(self._plan_wait())
        self._judge()
        is_new = self._read_mail(mailbox)
        self._look_at_uplink(is_new or not ready.isdisjoint(self._uplink_fds))
        self._schedule.settle(self._clock(), self._uplink_lost)
        self._send()
        self._schedule.settle(self._clock(), self._uplink_lost)
        self._isolated.tell(self._schedule.judge.isolated)
        self._look_back()
        self._report(mailbox)

    def _look_at_uplink(self, is_news: bool) -> None:
        """At news, and before a host may fail: news of a lost carrier can take a second."""
        judge = self._schedule.judge
        if self._uplink is not None and (is_news or judge.has_doubts):
            self._uplink_lost = self._uplink.lost(list(self._schedule.hosts))

    def _plan_wait(self) -> float:
        now_s = self._clock()
        due_s = min(self._schedule.next_due_s(now_s), now_s + IDLE_S)
        if self._schedule.judge.records.changed:
            due_s = min(due_s, self._report_from_s)
        self._turn_s = now_s - self._woken_s
        self._wake_s = max(now_s, due_s)
        return self._wake_s - now_s

    def _judge(self) -> None:
        """Judge what came in, and then, only if all of it was read, what did not."""
        self._woken_s = self._clock()
        late_s = max(self._woken_s - self._wake_s, self._turn_s)
        is_late = late_s > self._timing.timeout_s
        drained_s = self._drain(is_late)
        if is_late:
            self._forgive(self._woken_s, late_s)
        elif drained_s is not None:
            self._prober.expire(self._schedule.expire(drained_s))

    def _drain(self, is_late: bool = False) -> float | None:
        """Read all answers; a time by which everything that had come in was read, or None.

        When we are late ourselves, so may the whole machine have been: every answer counts.
        """
        started_s = self._clock()
        for _ in range(MAX_READS):
            outcomes = self._prober.collect()
            if outcomes is None:
                self._prober.forget(self._schedule.take_withdrawn())
                self._prober.revive(self._schedule.take_revived())
                return started_s
            if outcomes:
                self._schedule.collected(outcomes, self._clock(), is_late)
        return None

    def _forgive(self, now_s: float, late_s: float) -> None:
        forgiven = self._schedule.forgive(now_s)
        self._prober.forget(forgiven)
        is_new = now_s - self._late_logged_s >= LATE_LOG_S
        (log.warning if is_new else log.debug)(
            "this monitor was late; probes under way are not judged",
            late_s=round(late_s, 3),
            probes=len(forgiven),
        )
        if is_new:
            self._late_logged_s = now_s

    def _read_mail(self, mailbox: Mailbox) -> bool:
        """Take what we are told; whether the hosts are new."""
        now_s = self._clock()
        if (report := mailbox.take(HealthReport)) is not None:
            self._schedule.judge.seed(report, now_s)
        if (wanted := mailbox.take(HostList)) is None:
            return False
        self._schedule.set_hosts(wanted.hosts, now_s)
        hosts = tuple(self._schedule.hosts)
        self._prober.set_hosts(hosts)
        self._watch(mailbox, len(hosts) * TICK_S < self._timing.interval_s)
        return True

    def _watch(self, mailbox: Mailbox, wanted: bool) -> None:
        """Be woken by answers only where they are rarer than ticks, each of which reads them."""
        if wanted and not self._watching:
            mailbox.watch(self._prober.fileno())
        elif self._watching and not wanted:
            mailbox.unwatch(self._prober.fileno())
        self._watching = wanted

    def _send(self) -> None:
        batch = self._schedule.take(self._clock(), CHUNK)
        if batch is not None:
            unsent = self._prober.send(batch.hosts, batch.first)
            self._schedule.sent(batch, unsent, self._clock())
            self._drain()
        self._note_unsent()

    def _note_unsent(self) -> None:
        """Log the first probe of many that could not be sent, and the end of it."""
        now_s = self._clock()
        count, self._schedule.unsent = self._schedule.unsent, 0
        if count:
            if self._unsent_s is None:
                log.warning("probes cannot be sent", probes=count, reason=self._prober.trouble)
            self._unsent_s = now_s
            return
        round_s = self._timing.interval_s + TICK_S  # a whole round
        if self._unsent_s is not None and now_s - self._unsent_s > round_s:
            log.info("all probes are sent again")
            self._unsent_s = None

    def _look_back(self) -> None:
        now_s = self._clock()
        took_s = now_s - self._paced_s
        if took_s >= PACE_S:
            self._paced_s = now_s
            self._note_pace(took_s)
            self._audit_answers()

    def _audit_answers(self) -> None:
        found = self._audit.look()
        if bool(found) != bool(self._doubt.reason):  # the numbers change all the time
            self._doubt.tell(found)
            self._schedule.judge.records.changed = True
        if self._drain() is not None:
            self._audit.begin()

    def _note_pace(self, took_s: float) -> None:
        skipped, self._schedule.skipped = self._schedule.skipped, 0
        interval_s = self._timing.interval_s
        share = skipped * interval_s / (took_s * max(1, len(self._schedule.hosts)))
        every_s = interval_s / max(1e-3, 1 - share)
        is_behind = share > BEHIND_SHARE
        whys = (
            f"each host is probed every {every_s:.2g} s instead of {interval_s:g} s: "
            "probe fewer hosts, or less often"
        )
        self._behind.tell((self._behind.reason or whys) if is_behind else "")

    def _report(self, mailbox: Mailbox) -> None:
        now_s = self._clock()
        if self._schedule.judge.records.changed and now_s >= self._report_from_s:
            self._schedule.judge.records.changed = False
            self._report_from_s = now_s + len(self._schedule.hosts) * REPORT_S_PER_HOST
            report = self._schedule.judge.report(self._monitor)
            if self._doubt.reason:
                report = replace(report, doubt=self._doubt.reason)
            mailbox.post(report)
