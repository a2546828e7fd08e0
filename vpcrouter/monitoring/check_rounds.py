"""Checks of all hosts in one call, every interval."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

from vpcrouter.errors import PluginError
from vpcrouter.health.isolation import IsolationPolicy
from vpcrouter.health.judge import HealthPolicy, Judge
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Trouble
from vpcrouter.model.messages import HealthReport

CheckAll = Callable[[Sequence[str]], tuple[Iterable[str], ...]]
"""Given all hosts, returns the failed ones, the questionable ones and, optionally, the unknown
ones; all others are healthy."""

log = logs.get(__name__)


class Source(Protocol):
    """Receives news of hosts between checks, in threads or on descriptors of its own."""

    @property
    def fds(self) -> Sequence[int]:
        """Descriptors that become readable when `tend` has work to do."""

    def tend(self, hosts: Sequence[str]) -> bool:
        """Process news and request more, without waiting; return whether to check now.

        Called at least every interval. An exception ends the worker, which is then restarted.
        """


class CheckRounds:
    """A Probing (see `monitor_loop`). A host fails at once, and is healthy again after `hold_s`
    without a failure.

    When a check raises or returns an invalid result, its hosts are unknown.
    """

    def __init__(
        self,
        interval_s: float,
        hold_s: float,
        check: CheckAll,
        isolation_share: float | None = None,
        source: Source | None = None,
    ) -> None:
        """`isolation_share` is None for a check that does not probe the hosts itself.

        When `source` has news, all hosts are checked at once.
        """
        isolation = None
        if isolation_share is not None:
            isolation = IsolationPolicy(isolation_share, interval_s, 2 * interval_s)
        self.judge = Judge(HealthPolicy(fall=1, rise=1, hold_s=hold_s), isolation)
        self.fds = source.fds if source else ()
        self._interval_s = interval_s
        self._check = check
        self._asks_hosts = isolation_share is not None
        self._source = source
        self._hosts: tuple[str, ...] = ()
        self._due_s = time.monotonic()
        self._trouble = Trouble(
            log, "monitor error; host states unknown until a check succeeds", "monitor recovered"
        )

    def wake_s(self, now_s: float, latest_s: float) -> float:
        return min(self._due_s, latest_s)

    def turn(self, ready: Collection[int], hosts: Sequence[str] | None) -> None:
        is_wanted = hosts is not None
        if hosts is not None:
            self._hosts = tuple(hosts)
            self.judge.set_hosts(hosts, time.monotonic())
        if self._source is not None and self._source.tend(self._hosts):
            is_wanted = True
        if is_wanted or time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + self._interval_s
            self.round()

    def report(self, monitor: str) -> HealthReport:
        return self.judge.report(monitor, probes=self._asks_hosts)

    def round(self) -> None:
        """Check all hosts once."""
        if not self._hosts:
            return
        try:
            failed, questionable, unknown = self._checked()
        except MemoryError:
            raise  # a new generation starts with its memory freed
        except Exception as error:  # an exception in a plugin is no evidence about the hosts
            self._trouble.tell(repr(error))
            for host in self._hosts:
                self.judge.unsent(host, time.monotonic())
            return
        self._trouble.tell("")
        now_s = time.monotonic()
        for host in self._hosts:
            if host in failed:
                self.judge.missed(host, now_s)
            elif host in unknown:
                self.judge.unsent(host, now_s)
            else:
                self.judge.answered(host, now_s, host in questionable)
        self.judge.witnesses(now_s)  # all of them have just been checked
        self.judge.settle(now_s)

    def _checked(self) -> tuple[frozenset[str], ...]:
        answer: Any = self._check(self._hosts)
        try:
            failed, questionable, *rest = (frozenset(part) for part in answer)
            [unknown] = rest or [frozenset()]
        except (TypeError, ValueError):
            raise PluginError(
                f"a check must return two or three lists of hosts, not {answer!r}"
            ) from None
        strange = (failed | questionable | unknown) - frozenset(self._hosts)
        if strange:
            raise PluginError(f"a check returned unknown hosts: {sorted(map(repr, strange))}")
        return failed, questionable, unknown
