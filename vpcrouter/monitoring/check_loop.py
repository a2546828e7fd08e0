"""The loop of a monitor that checks all its hosts in one call, every interval."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from vpcrouter.errors import PluginError
from vpcrouter.health.isolation import IsolationPolicy, of_hearsay
from vpcrouter.health.judge import HealthPolicy, Judge
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Trouble
from vpcrouter.model.messages import HealthReport, HostList

Check = Callable[[Sequence[str]], tuple[Iterable[str], ...]]
"""Given all hosts, returns those failed, those questionable and, where it gives a third
collection, those of which it knows nothing; all others are healthy."""

log = logs.get(__name__)


class Source(Protocol):
    """What learns of hosts between checks, in threads or by descriptors of its own."""

    @property
    def fds(self) -> Sequence[int]:
        """Descriptors that become readable when there is something to tend to."""

    def tend(self, hosts: Sequence[str]) -> bool:
        """Take what has come and ask for more; never waits. Whether it is reason to check now.

        Called at least every interval. What it raises ends the worker, which begins anew.
        """


class CheckLoop:
    """A failed host counts at once, and is healthy again after `hold_s` without a failure.

    A check that raises, or returns what it must not, is not knowing: its hosts are unknown.
    """

    def __init__(
        self,
        monitor: str,
        interval_s: float,
        hold_s: float,
        check: Check,
        isolation_share: float | None = None,
    ) -> None:
        """`isolation_share` is None where the check asks somebody else instead of the hosts."""
        self._monitor = monitor
        self._interval_s = interval_s
        self._check = check
        self._probes = isolation_share is not None
        isolation = None
        if isolation_share is not None:
            isolation = IsolationPolicy(isolation_share, interval_s, 2 * interval_s)
        self._judge = Judge(HealthPolicy(fall=1, rise=1, hold_s=hold_s), isolation)
        self._isolated = Trouble(
            log, "it is we who are cut off; no host is judged", "hosts answer again; judged afresh"
        )
        self._hosts: tuple[str, ...] = ()
        self._trouble = Trouble(
            log, "the check failed; it says nothing of the hosts", "the check works again"
        )
        self._reported: HealthReport | None = None

    def run(self, mailbox: Mailbox, source: Source | None = None) -> None:
        """Check every interval, and at once when `source` has news, until StopWorker."""
        for fd in source.fds if source else ():
            mailbox.watch(fd)
        due_s = time.monotonic()
        while True:
            mailbox.wait(due_s - time.monotonic())
            is_new = self._read_mail(mailbox)
            if source is not None and source.tend(self._hosts):
                is_new = True
            if is_new or time.monotonic() >= due_s:
                due_s = time.monotonic() + self._interval_s
                self.round()
                self._report(mailbox)

    def _read_mail(self, mailbox: Mailbox) -> bool:
        """Take the hosts to check; whether they changed."""
        predecessor = mailbox.take(HealthReport)
        if predecessor is not None:
            self._judge.seed(predecessor, time.monotonic())
        wanted = mailbox.take(HostList)
        if wanted is None or wanted.hosts == self._hosts:
            return False
        self._hosts = wanted.hosts
        self._judge.set_hosts(wanted.hosts, time.monotonic())
        return True

    def round(self) -> None:
        """Check all hosts once."""
        if not self._hosts:
            return
        try:
            failed, questionable, unknown = self._checked()
        except MemoryError:
            raise  # a new generation begins with an empty memory
        except Exception as error:  # whatever a plugin may raise says nothing of the hosts
            self._trouble.tell(repr(error))
            for host in self._hosts:
                self._judge.unsent(host, time.monotonic())
            return
        self._trouble.tell("")
        now_s = time.monotonic()
        for host in self._hosts:
            if host in failed:
                self._judge.missed(host, now_s)
            elif host in unknown:
                self._judge.unsent(host, now_s)
            else:
                self._judge.answered(host, now_s, host in questionable)
        self._judge.witnesses(now_s)  # who all have just been asked
        self._judge.settle(now_s)
        self._isolated.tell(self._judge.isolated)

    def _checked(self) -> tuple[frozenset[str], ...]:
        answer: Any = self._check(self._hosts)
        try:
            failed, questionable, *rest = (frozenset(part) for part in answer)
            [unknown] = rest or [frozenset()]
        except (TypeError, ValueError):
            raise PluginError(f"a check returns two lists of hosts, not {answer!r}") from None
        strange = (failed | questionable | unknown) - frozenset(self._hosts)
        if strange:
            raise PluginError(f"a check returned what is no host: {sorted(map(repr, strange))}")
        return failed, questionable, unknown

    def _report(self, mailbox: Mailbox) -> None:
        report = self._judge.report(self._monitor)
        report = report if self._probes else of_hearsay(report)
        if report != self._reported:
            self._reported = report
            mailbox.post(report)
