"""A monitor's work loop: it receives the hosts, has them probed, and reports their states.

A Probing decides how they are probed: see `scheduled_probes`, `check_rounds`, `command_checks`.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from vpcrouter.health.judge import Judge
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Trouble
from vpcrouter.model.messages import HealthReport, HostList

IDLE_S = 60.0
REPORT_S_PER_HOST = 2e-6
"""The shortest time between reports, per host: each report costs all of its readers."""

log = logs.get(__name__)


class Probing(Protocol):
    """One way to probe hosts. Never waits. Owned by the loop's thread."""

    @property
    def judge(self) -> Judge:
        """The judge that gets the result of each probe."""

    @property
    def fds(self) -> Collection[int]:
        """Descriptors that become readable when a turn is due. They may change after each turn."""

    def wake_s(self, now_s: float, latest_s: float) -> float:
        """When the next turn is due if nothing is readable: `latest_s` or earlier."""

    def turn(self, ready: Collection[int], hosts: Sequence[str] | None) -> None:
        """Judge what has been received, and probe what is due.

        `ready` are the readable descriptors, `hosts` the hosts to probe from now on, if they
        have changed. An exception ends the worker.
        """

    def report(self, monitor: str) -> HealthReport: ...


class MonitorLoop:
    """Runs in the worker's main thread only."""

    def __init__(
        self, monitor: str, probing: Probing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._monitor = monitor
        self._probing = probing
        self._clock = clock
        self._hosts: frozenset[str] = frozenset()
        self._watched: frozenset[int] = frozenset()
        self._report_from_s = 0.0
        self._isolated = Trouble(
            log,
            "monitor is isolated: most hosts stopped answering at once; host states frozen",
            "monitor no longer isolated: hosts answer again",
        )

    def run(self, mailbox: Mailbox) -> None:
        """Probe until StopWorker."""
        while True:
            self.turn(mailbox)

    def turn(self, mailbox: Mailbox) -> None:
        """Wait for the next event and handle it."""
        self._watch(mailbox)
        now_s = self._clock()
        is_unreported = self._probing.judge.records.changed
        latest_s = min(now_s + IDLE_S, self._report_from_s) if is_unreported else now_s + IDLE_S
        wake_s = self._probing.wake_s(now_s, latest_s)
        ready = mailbox.wait(max(0.0, wake_s - now_s))
        self._probing.turn(ready, self._read_mail(mailbox))
        self._isolated.tell(self._probing.judge.isolated)
        self._report(mailbox)

    def _watch(self, mailbox: Mailbox) -> None:
        wanted = frozenset(self._probing.fds)
        if wanted != self._watched:
            for fd in self._watched - wanted:
                mailbox.unwatch(fd)
            for fd in wanted - self._watched:
                mailbox.watch(fd)
            self._watched = wanted

    def _read_mail(self, mailbox: Mailbox) -> Sequence[str] | None:
        """Take the previous generation's report, and the hosts if they have changed."""
        if (predecessor := mailbox.take(HealthReport)) is not None:
            self._probing.judge.seed(predecessor, self._clock())
        wanted = mailbox.take(HostList)
        if wanted is None or self._hosts == (hosts := frozenset(wanted.hosts)):
            return None
        self._hosts = hosts
        return tuple(dict.fromkeys(wanted.hosts))

    def _report(self, mailbox: Mailbox) -> None:
        now_s = self._clock()
        if self._probing.judge.records.changed and now_s >= self._report_from_s:
            self._probing.judge.records.changed = False
            self._report_from_s = now_s + len(self._hosts) * REPORT_S_PER_HOST
            mailbox.post(self._probing.report(self._monitor))
