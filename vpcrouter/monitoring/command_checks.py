"""Health checks by user-supplied commands: one process per host, several in parallel."""

import heapq
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from vpcrouter.errors import PluginError
from vpcrouter.health.judge import Judge
from vpcrouter.linux.command_client import CommandClient, environment
from vpcrouter.linux.command_server import End, Ended, Order
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Seldom
from vpcrouter.logs.reasons import Reasons
from vpcrouter.model.messages import HealthReport
from vpcrouter.monitoring.timing import Timing

HOST = "{host}"
HEALTHY, QUESTIONABLE, FAILED = range(3)
"""The exit statuses that define a host's state."""
GRACE_S = 10.0
LATE_LOG_S = 60.0

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class CommandCheck:
    """The command for each host, its timing and parallelism. `argv` may contain `{host}`."""

    argv: tuple[str, ...]
    timing: Timing
    parallel: int

    def order(self, number: int, host: str) -> Order:
        argv = tuple(word.replace(HOST, host) for word in self.argv)
        return Order(number, argv, environment(os.environ, host), self.timing.timeout_s)


class CommandChecks:
    """A Probing (see `monitor_loop`). The command server waits for the commands.

    This is not a Prober of `scheduled_probes`, whose time-outs start when a probe is handed over:
    here the time-out starts when one of the `parallel` slots is free.
    """

    def __init__(
        self,
        monitor: str,
        check: CommandCheck,
        commands: CommandClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._check = check
        self._timing = check.timing
        self._commands = commands
        self._clock = clock
        isolation = replace(check.timing.isolation, witnesses=check.parallel)
        self.judge = Judge(check.timing.policy, isolation)
        self._asked: set[str] = set()
        """Witnesses that have not answered yet."""
        self._reasons = Reasons(monitor)
        self._due: list[tuple[float, int, str]] = []
        self._turn_of: dict[str, int] = {}
        """The number of the host's entry in `_due`; -1 while its command runs."""
        self._running: dict[int, tuple[str, float]] = {}
        """The host and start time of each running command."""
        self._number = 0
        self._late = Seldom(LATE_LOG_S)

    @property
    def fds(self) -> Collection[int]:
        return self._commands.filenos()

    def wake_s(self, now_s: float, latest_s: float) -> float:
        due_s = self._overdue_s() if self._running else latest_s
        if self._due and len(self._running) < self._check.parallel:
            due_s = min(due_s, self._due[0][0])
        return min(due_s, self.judge.ask_due_s(), latest_s)

    def turn(self, ready: Collection[int], hosts: Sequence[str] | None) -> None:
        """Raises PluginError when commands can no longer be run."""
        self._collect()
        if hosts is not None:
            self._set_hosts(hosts)
        self._settle()
        self._start_due()

    def report(self, monitor: str) -> HealthReport:
        return self.judge.report(monitor)

    def _collect(self) -> None:
        now_s = self._clock()
        for ended in self._commands.ended():
            self._on_end(ended)
        if self._running and now_s >= self._overdue_s():
            raise PluginError("the command server does not respond")

    def _overdue_s(self) -> float:
        """When the longest-running command should have been reported at the latest."""
        _, started_s = next(iter(self._running.values()))
        return started_s + self._timing.timeout_s + GRACE_S

    def _set_hosts(self, hosts: Sequence[str]) -> None:
        """Check these hosts from now on, new ones at once."""
        now_s = self._clock()
        self.judge.set_hosts(hosts, now_s)
        self._reasons.keep(hosts)
        self._asked &= set(hosts)
        for host in self._turn_of.keys() - set(hosts):
            del self._turn_of[host]
        busy = {host for host, _ in self._running.values()}
        for host in dict.fromkeys(hosts):
            if host in busy:
                self._turn_of[host] = -1
            elif host not in self._turn_of:
                self._plan(host, now_s)

    def _settle(self) -> None:
        """Schedule checks of witnesses at once, and settle with the results so far."""
        now_s = self._clock()
        for host in self.judge.witnesses(now_s):
            self._asked.add(host)
            if self._turn_of[host] != -1:
                self._plan(host, now_s)
        self.judge.settle(now_s, is_asking=bool(self._asked))

    def _plan(self, host: str, due_s: float) -> None:
        self._number += 1
        self._turn_of[host] = self._number
        heapq.heappush(self._due, (due_s, self._number, host))

    def _start_due(self) -> None:
        now_s = self._clock()
        while self._due and self._due[0][0] <= now_s:
            if len(self._running) >= self._check.parallel:
                self._note_late(now_s - self._due[0][0])
                return
            _, number, host = heapq.heappop(self._due)
            if self._turn_of.get(host) == number:
                self._start(number, host, now_s)

    def _start(self, number: int, host: str, now_s: float) -> None:
        trouble = self._commands.start(self._check.order(number, host))
        if trouble:
            self._on_unknown(host, f"could not start command: {trouble}")
            self._plan(host, now_s + self._timing.interval_s)
            return
        self._turn_of[host] = -1
        self._running[number] = host, now_s

    def _note_late(self, late_s: float) -> None:
        if late_s > self._timing.interval_s and self._late.is_time(self._clock()):
            log.warning(
                "check schedule overrun: more commands than can run in the interval",
                late_s=round(late_s, 3),
                parallel=self._check.parallel,
            )

    def _on_end(self, ended: Ended) -> None:
        host, started_s = self._running.pop(ended.number, ("", 0.0))
        if host not in self._turn_of:
            return
        self._asked.discard(host)
        now_s = self._clock()
        log.debug("command ended", host=host, **_shown(ended))
        due_s = started_s + self._timing.interval_s
        if ended.end is End.TIMEOUT:
            self._on_miss(host, f"command timed out after {self._timing.timeout_s:g} s")
        elif ended.end is End.EXIT and ended.status == FAILED:
            self._on_miss(host, f"exit status {FAILED}")
        elif ended.end is End.EXIT and ended.status in {HEALTHY, QUESTIONABLE}:
            self.judge.answered(host, now_s, ended.status == QUESTIONABLE)
            self._reasons.clear(host)
            self._plan(host, due_s)
            return
        else:
            self._on_unknown(host, _why_unknown(ended))
            self._plan(host, due_s)
            return
        is_hurried = self.judge.is_changing(host)
        self._plan(host, min(due_s, now_s + self._timing.fastinter_s) if is_hurried else due_s)

    def _on_miss(self, host: str, reason: str) -> None:
        self.judge.missed(host, self._clock())
        self._reasons.note(host, reason)

    def _on_unknown(self, host: str, reason: str) -> None:
        self.judge.unsent(host, self._clock())
        self._reasons.note(host, f"{reason}; not counted as a miss")


def _shown(ended: Ended) -> dict[str, object]:
    return {"end": ended.end.value, "status": ended.status, "output": ended.text}


def _why_unknown(ended: Ended) -> str:
    if ended.end is End.EXIT:
        return f"exit status {ended.status}"
    if ended.end is End.SIGNAL:
        return f"command killed by signal {ended.status}"
    if ended.end is End.NOT_STARTED:
        return f"could not start command: {ended.text}"
    return "command result unknown"
