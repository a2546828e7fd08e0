"""Probes many hosts, each on its own schedule, with any kind of prober.

The schedule paces the probes, the prober sends and receives, and the judge gets the results.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Sequence

from vpcrouter.health.judge import Judge
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.linux import priority, privileges
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Seldom, Trouble
from vpcrouter.model.messages import HealthReport
from vpcrouter.monitoring.audit import Audit
from vpcrouter.monitoring.lanes import TICK_S
from vpcrouter.monitoring.lateness import Lateness
from vpcrouter.monitoring.monitor_loop import MonitorLoop
from vpcrouter.monitoring.prober import Prober, Uplink
from vpcrouter.monitoring.schedule import Schedule
from vpcrouter.monitoring.timing import Timing

RIGHTS = frozenset({priority.RIGHT})
"""The capability for real-time priority, which keeps probes on time."""
CHUNK = 128
"""Probes sent before answers are read again, of which a socket buffers few, and before time-outs
are checked: a connection takes 20 us."""
MAX_READS = 1_000
LATE_LOG_S = 60.0
PACE_S = 10.0
"""How often the schedule is checked for overrun, and the answers against the kernel's count."""
BEHIND_SHARE = 0.05

log = logs.get(__name__)


def run_probes(
    monitor: str, timing: Timing, prober: Prober, uplink: Uplink | None, mailbox: Mailbox
) -> None:
    """Probe until StopWorker, at real-time priority where permitted.

    All capabilities are dropped first: the prober has its sockets.
    """
    log.info(timing.describe(), monitor=monitor)
    refused = priority.go_first(_note_restless)
    if refused:
        log.info("no real-time priority; probes may be delayed under load", reason=refused)
    with contextlib.suppress(OSError):  # already logged where it is forbidden
        privileges.give_up()
    try:
        MonitorLoop(monitor, ScheduledProbes(timing, prober, uplink)).run(mailbox)
    finally:
        prober.close()


def _note_restless() -> None:
    log.warning(
        "real-time CPU limit exceeded; monitor continues at normal priority: "
        "probe fewer hosts, or less often"
    )


class ScheduledProbes:
    """A Probing (see `monitor_loop`)."""

    def __init__(
        self,
        timing: Timing,
        prober: Prober,
        uplink: Uplink | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.judge = Judge(timing.policy, timing.isolation)
        self.fds: Collection[int] = () if uplink is None else (uplink.fileno(),)
        self._timing = timing
        self._prober = prober
        self._clock = clock
        self._uplink = uplink
        self._uplink_lost = ""
        self._schedule = Schedule(timing, self.judge)
        self._behind = Trouble(
            log,
            "probe schedule overrun; detection is slower than configured",
            "probe schedule back on time",
        )
        self._audit = Audit(prober)
        self._doubt = Trouble(
            log,
            "more answers counted than the kernel received; failed hosts may be reported healthy",
            "answers match the kernel's count again",
        )
        self._paced_s = clock()
        self._unsent_s: float | None = None
        self._lateness = Lateness(clock)
        self._late = Seldom(LATE_LOG_S)

    def wake_s(self, now_s: float, latest_s: float) -> float:
        return self._lateness.plan(now_s, min(self._schedule.next_due_s(now_s), latest_s))

    def turn(self, ready: Collection[int], hosts: Sequence[str] | None) -> None:
        self._judge()
        if hosts is not None:
            self._set_hosts(hosts)
        self._look_at_uplink(ready, hosts is not None)
        self._schedule.settle(self._clock(), self._uplink_lost)
        self._send()
        self._schedule.settle(self._clock(), self._uplink_lost)
        self._look_back()

    def report(self, monitor: str) -> HealthReport:
        return self.judge.report(monitor, doubt=self._doubt.reason)

    def _judge(self) -> None:
        """Judge the answers and then, only if all have been read, the missing ones."""
        late_s = self._lateness.begin_turn()
        is_late = late_s > self._timing.timeout_s
        drained_s = self._drain(is_late)
        if is_late:
            self._forgive(late_s)
        elif drained_s is not None:
            self._prober.expire(self._schedule.expire(drained_s))

    def _drain(self, is_late: bool = False) -> float | None:
        """Read all answers; a time up to which everything received has been read, or None.

        If this loop was late, the whole machine may have been: then every answer counts.
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

    def _forgive(self, late_s: float) -> None:
        now_s = self._lateness.woken_s
        forgiven = self._schedule.forgive(now_s)
        self._prober.forget(forgiven)
        (log.warning if self._late.is_time(now_s) else log.debug)(
            "monitor was late; probes in flight ignored",
            late_s=round(late_s, 3),
            probes=len(forgiven),
        )

    def _set_hosts(self, hosts: Sequence[str]) -> None:
        self._schedule.set_hosts(hosts, self._clock())
        self._prober.set_hosts(hosts)
        wakers: list[Uplink | Prober] = [] if self._uplink is None else [self._uplink]
        if len(hosts) * TICK_S < self._timing.interval_s:
            wakers.append(self._prober)  # otherwise every tick reads answers anyway
        self.fds = [each.fileno() for each in wakers]

    def _look_at_uplink(self, ready: Collection[int], has_new_hosts: bool) -> None:
        """On changes, and before a host may fail: notice of a lost carrier can take a second."""
        if self._uplink is not None and (
            has_new_hosts or self.judge.has_doubts or self._uplink.fileno() in ready
        ):
            self._uplink_lost = self._uplink.lost(list(self._schedule.hosts))

    def _send(self) -> None:
        batch = self._schedule.take(self._clock(), CHUNK)
        if batch is not None:
            unsent = self._prober.send(batch.hosts, batch.first)
            self._schedule.sent(batch, unsent, self._clock())
            self._drain()
        self._note_unsent()

    def _note_unsent(self) -> None:
        """Log when probes can no longer be sent, and when they can be again."""
        now_s = self._clock()
        count, self._schedule.unsent = self._schedule.unsent, 0
        if count:
            if self._unsent_s is None:
                log.warning("could not send probes", probes=count, reason=self._prober.trouble)
            self._unsent_s = now_s
            return
        round_s = self._timing.interval_s + TICK_S  # a whole round
        if self._unsent_s is not None and now_s - self._unsent_s > round_s:
            log.info("all probes sent again")
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
            self.judge.records.changed = True
        if self._drain() is not None:
            self._audit.begin()

    def _note_pace(self, took_s: float) -> None:
        skipped, self._schedule.normal.skipped = self._schedule.normal.skipped, 0
        interval_s = self._timing.interval_s
        share = skipped * interval_s / (took_s * max(1, len(self._schedule.hosts)))
        every_s = interval_s / max(1e-3, 1 - share)
        is_behind = share > BEHIND_SHARE
        whys = (
            f"each host is probed every {every_s:.2g} s instead of {interval_s:g} s: "
            "probe fewer hosts, or less often"
        )
        self._behind.tell((self._behind.reason or whys) if is_behind else "")
