"""The monitor `script`: a command of the user's own says how each host is."""

import heapq
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from vpcrouter.errors import PluginError
from vpcrouter.health.detection import detection_sentence, worst_case_detection_s
from vpcrouter.health.isolation import IsolationPolicy
from vpcrouter.health.judge import HealthPolicy, Judge
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.linux.command_client import Commands, environment
from vpcrouter.linux.command_server import End, Ended, Order
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Trouble
from vpcrouter.logs.reasons import Reasons
from vpcrouter.model.messages import HealthReport, HostList
from vpcrouter.options.kinds import Kind, Option, seconds, whole
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Monitor

PREFIX = "script"
HOST = "{host}"
HEALTHY, QUESTIONABLE, FAILED = range(3)
"""The exit statuses that say something of the host."""
HURRY = 10
"""A host that has begun to fail is checked again after this part of the interval."""
IDLE_S = 60.0
GRACE_S = 10.0
LATE_LOG_S = 60.0

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """What is run, and when. `argv` may have `{host}` in it."""

    argv: tuple[str, ...]
    interval_s: float
    timeout_s: float
    policy: HealthPolicy
    parallel: int
    isolation_share: float = 1.0

    @property
    def isolation(self) -> IsolationPolicy:
        round_s = self.interval_s + self.timeout_s
        return IsolationPolicy(
            self.isolation_share, self.worst_case_s, round_s, self.hurry_s / 2, self.parallel
        )

    @property
    def hurry_s(self) -> float:
        return self.interval_s / HURRY

    @property
    def worst_case_s(self) -> float:
        fall = self.policy.fall
        return worst_case_detection_s(self.interval_s, self.timeout_s, fall, self.hurry_s)

    def describe(self) -> str:
        return detection_sentence(self.interval_s, self.timeout_s, self.policy.fall, self.hurry_s)

    def order(self, number: int, host: str) -> Order:
        argv = tuple(word.replace(HOST, host) for word in self.argv)
        return Order(number, argv, environment(os.environ, host), self.timeout_s)


class ScriptLoop:
    """The work loop. All in the worker's main thread; commands are waited for by others."""

    def __init__(
        self,
        monitor: str,
        check: Check,
        commands: Commands,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monitor = monitor
        self._check = check
        self._commands = commands
        self._clock = clock
        self._judge = Judge(check.policy, check.isolation)
        self._asked: set[str] = set()
        """Witnesses that have not answered yet."""
        self._isolated = Trouble(
            log, "it is we who are cut off; no host is judged", "hosts answer again; judged afresh"
        )
        self._reasons = Reasons(monitor)
        self._due: list[tuple[float, int, str]] = []
        self._turn_of: dict[str, int] = {}
        """Which entry in `_due` is the host's; -1 while its command runs."""
        self._running: dict[int, tuple[str, float]] = {}
        """The host of each command under way, and since when."""
        self._number = 0
        self._reported: HealthReport | None = None
        self._late_logged_s = -LATE_LOG_S

    def run(self, mailbox: Mailbox) -> None:
        """Check until StopWorker. Raises PluginError when no command can be run any more."""
        log.info(self._check.describe(), monitor=self._monitor)
        for fd in self._commands.filenos():
            mailbox.watch(fd)
        while True:
            mailbox.wait(self._wait_s())
            self._collect()
            self._read_mail(mailbox)
            self._settle()
            self._start_due()
            self._report(mailbox)

    def _wait_s(self) -> float:
        due_s = self._clock() + IDLE_S
        if self._running:
            due_s = self._overdue_s()
        if self._due and len(self._running) < self._check.parallel:
            due_s = min(due_s, self._due[0][0])
        return min(due_s, self._judge.ask_due_s()) - self._clock()

    def _collect(self) -> None:
        now_s = self._clock()
        for ended in self._commands.ended():
            self._on_end(ended)
        if self._running and now_s >= self._overdue_s():
            raise PluginError("the keeper of the commands says nothing")

    def _overdue_s(self) -> float:
        """When something of the command that has run for longest should have been heard."""
        _, started_s = next(iter(self._running.values()))
        return started_s + self._check.timeout_s + GRACE_S

    def _read_mail(self, mailbox: Mailbox) -> None:
        if (predecessor := mailbox.take(HealthReport)) is not None:
            self._judge.seed(predecessor, self._clock())
        if (wanted := mailbox.take(HostList)) is not None:
            self._set_hosts(wanted.hosts)

    def _set_hosts(self, hosts: Sequence[str]) -> None:
        """Check these from now on, new ones at once."""
        now_s = self._clock()
        self._judge.set_hosts(hosts, now_s)
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
        """Have witnesses checked at once, and hear what follows from those that have been."""
        now_s = self._clock()
        for host in self._judge.witnesses(now_s):
            self._asked.add(host)
            if self._turn_of[host] != -1:
                self._plan(host, now_s)
        self._judge.settle(now_s, is_asking=bool(self._asked))
        self._isolated.tell(self._judge.isolated)

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
            self._on_unknown(host, f"the command cannot be started: {trouble}")
            self._plan(host, now_s + self._check.interval_s)
            return
        self._turn_of[host] = -1
        self._running[number] = host, now_s

    def _note_late(self, late_s: float) -> None:
        now_s = self._clock()
        if late_s > self._check.interval_s and now_s - self._late_logged_s >= LATE_LOG_S:
            self._late_logged_s = now_s
            log.warning(
                "checks are late: there are more than can be run in the interval",
                late_s=round(late_s, 3),
                parallel=self._check.parallel,
            )

    def _on_end(self, ended: Ended) -> None:
        host, started_s = self._running.pop(ended.number, ("", 0.0))
        if host not in self._turn_of:
            return
        self._asked.discard(host)
        now_s = self._clock()
        log.debug("the command ended", host=host, **_shown(ended))
        due_s = started_s + self._check.interval_s
        if ended.end is End.TIMEOUT:
            self._on_miss(host, f"the command did not end within {self._check.timeout_s:g} s")
        elif ended.end is End.EXIT and ended.status == FAILED:
            self._on_miss(host, f"exit status {FAILED}")
        elif ended.end is End.EXIT and ended.status in {HEALTHY, QUESTIONABLE}:
            self._judge.answered(host, now_s, ended.status == QUESTIONABLE)
            self._reasons.clear(host)
            self._plan(host, due_s)
            return
        else:
            self._on_unknown(host, _why_unknown(ended))
            self._plan(host, due_s)
            return
        is_hurried = self._judge.is_changing(host)
        self._plan(host, min(due_s, now_s + self._check.hurry_s) if is_hurried else due_s)

    def _on_miss(self, host: str, reason: str) -> None:
        self._judge.missed(host, self._clock())
        self._reasons.note(host, reason)

    def _on_unknown(self, host: str, reason: str) -> None:
        self._judge.unsent(host, self._clock())
        self._reasons.note(host, f"{reason}; it says nothing of the host")

    def _report(self, mailbox: Mailbox) -> None:
        report = self._judge.report(self._monitor)
        if report != self._reported:
            self._reported = report
            mailbox.post(report)


def _shown(ended: Ended) -> dict[str, object]:
    return {"end": ended.end.value, "status": ended.status, "output": ended.text}


def _why_unknown(ended: Ended) -> str:
    if ended.end is End.EXIT:
        return f"exit status {ended.status}"
    if ended.end is End.SIGNAL:
        return f"the command was ended by signal {ended.status}"
    if ended.end is End.NOT_STARTED:
        return f"the command cannot be started: {ended.text}"
    return "what became of the command is not known"


def _command(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"must be a command: {str(error).lower()}") from None
    if not words:
        raise ValueError("must not be empty")
    return value


class Script(Monitor):
    """Commands run as the daemon's user, without its capabilities unless that is root."""

    name: ClassVar[str] = "script"
    version: ClassVar[str] = "1"
    runs_commands: ClassVar[bool] = True

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        return (
            Option(
                f"{PREFIX}_command",
                Kind("COMMAND", _command),
                None,
                "what is run for each host, without a shell; {host} in it is the host's address. "
                "Exit status 0 is healthy, 1 questionable, 2 failed, any other not known",
                example="/usr/local/bin/check-router {host}",
            ),
            Option(f"{PREFIX}_interval", seconds(0.05), 10.0, "how often each host is checked"),
            Option(
                f"{PREFIX}_timeout",
                seconds(0.01),
                5.0,
                "when a command is killed with all that it has started, and the check has failed",
            ),
            Option(
                f"{PREFIX}_fall", whole(1, 100), 2, "so many misses in a row make a host failed"
            ),
            Option(
                f"{PREFIX}_rise",
                whole(1, 100),
                1,
                "so many answers in a row, and no miss for 10 intervals, "
                "make a failed host healthy",
            ),
            Option(f"{PREFIX}_parallel", whole(1, 512), 16, "how many commands may run at once"),
        )

    @classmethod
    def interval_s(cls, values: Values) -> float:
        return float(values[f"{PREFIX}_interval"])

    @classmethod
    def detection_s(cls, values: Values) -> float:
        return _check_of(values).worst_case_s

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        interval_s, timeout_s = values[f"{PREFIX}_interval"], values[f"{PREFIX}_timeout"]
        if timeout_s >= interval_s:
            yield (
                f"{PREFIX}_timeout ({timeout_s:g} s) must be less than "
                f"{PREFIX}_interval ({interval_s:g} s)"
            )
        if values[f"{PREFIX}_command"] is None:
            yield f"{PREFIX}_command: is needed, such as /usr/local/bin/check {HOST}"
            return
        program = shlex.split(values[f"{PREFIX}_command"])[0]
        if shutil.which(program) is None:
            yield f"{PREFIX}_command: {program} is no program that can be run"

    def run(self, mailbox: Mailbox) -> None:
        with Commands() as commands:
            ScriptLoop(self.name, _check_of(self.values), commands).run(mailbox)


def _check_of(values: Values) -> Check:
    program, *arguments = shlex.split(values[f"{PREFIX}_command"])
    policy = HealthPolicy(values[f"{PREFIX}_fall"], values[f"{PREFIX}_rise"], values["hold_s"])
    return Check(
        (shutil.which(program) or program, *arguments),
        values[f"{PREFIX}_interval"],
        values[f"{PREFIX}_timeout"],
        policy,
        values[f"{PREFIX}_parallel"],
        values["isolation_share"],
    )
