"""Isolation: whether many hosts failed at once, or the monitor lost its connection to them.

Pure: no clock, socket or process. Time is an argument, in monotonic seconds.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from vpcrouter.model.host_state import State
from vpcrouter.model.messages import HealthReport

MIN_HOSTS = 4
"""With fewer known hosts, isolation cannot be told from failures."""
NEVER_S = float("-inf")
KNOWN = (State.HEALTHY, State.QUESTIONABLE)


@dataclass(frozen=True, slots=True)
class IsolationPolicy:
    """When missing answers mean that the monitor is isolated. Times in seconds.

    More than `share` of the hosts must stop answering; 1 lets every host fail. Hosts that fail
    within `together_s` count as failing at once. A reachable host answers at least every
    `round_s`. Up to `witnesses` hosts are probed for comparison, at most every `gap_s`.
    """

    share: float
    together_s: float
    round_s: float
    gap_s: float = 0.0
    witnesses: int = 256


class Finding(NamedTuple):
    """The result for hosts in doubt: which fail, and why the monitor is isolated, if it is."""

    failed: list[str]
    isolated: str = ""


class IsolationWatch:
    """Tracks when each host last answered, and decides whether the monitor is isolated.

    A host that is one miss from failing is in doubt: other hosts, its witnesses, are probed, and
    only answers after that count. So a single failed host fails at its last miss, without delay;
    when many hosts stop answering together, none of them is judged failed.

    It only decides; the judge owns the states of hosts, which `state` returns.
    """

    def __init__(self, policy: IsolationPolicy, state: Callable[[str], State]) -> None:
        self.reason = ""
        """Why the monitor is isolated; empty while it is not."""
        self._policy = policy
        self._state = state
        self._order: dict[str, None] = {}
        """The hosts in hash order, so that the first ones are a fair sample."""
        self._doubted: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._fell: dict[str, float] = {}
        """When each host failed that was healthy or questionable before."""
        self._asked_s = NEVER_S
        self._silenced: list[str] = []
        self._isolated_s = NEVER_S

    def set_hosts(self, hosts: Collection[str]) -> None:
        self._order = dict.fromkeys(sorted(hosts, key=_mixed))
        for each in (self._doubted, self._heard, self._fell):
            for host in each.keys() - self._order.keys():
                del each[host]

    def hear(self, host: str, now_s: float) -> None:
        """The host has answered."""
        self._heard[host] = now_s
        self._doubted.pop(host, None)

    def doubt(self, host: str, now_s: float) -> None:
        """The host is one miss from failing, or has missed that, too."""
        self._doubted.setdefault(host, now_s)

    def clear(self, host: str) -> None:
        """The host is no longer about to fail."""
        self._doubted.pop(host, None)

    @property
    def doubted(self) -> Mapping[str, float]:
        """The hosts about to fail, and since when they are in doubt."""
        return self._doubted

    def clear_all(self) -> None:
        """No host is about to fail any more."""
        self._doubted.clear()

    def ask_due_s(self) -> float:
        """When to probe `witnesses`; infinity if every host in doubt has been dealt with."""
        newest_s = max(self._doubted.values(), default=NEVER_S)
        if newest_s <= self._asked_s or self._policy.share >= 1:
            return float("inf")
        return self._asked_s + self._policy.gap_s

    def witnesses(self, now_s: float) -> Collection[str]:
        """The hosts to probe now; pass their answers to `hear`."""
        if now_s < self.ask_due_s():
            return ()
        self._asked_s = now_s
        return [host for host in self._panel(now_s) if host not in self._doubted]

    def find(self, silent: Iterable[str], now_s: float, is_asking: bool) -> Finding:
        """Of the doubted hosts that missed their last probe, find those that fail: since they
        came into doubt, enough other hosts have answered.

        `is_asking`: witnesses may still answer. Pass each host that fails to `fall` before its
        state changes.
        """
        panel = self._panel(now_s)
        heard = sorted(self._heard.get(host, NEVER_S) for host in panel)
        is_limited = len(panel) >= MIN_HOSTS and self._policy.share < 1
        needed = self._needed(panel) if is_limited else 0.0
        failed: list[str] = []
        for host in silent:
            since_s = self._doubted[host]
            count = len(heard) - bisect_left(heard, since_s)
            if count >= needed:
                failed.append(host)
            elif self._asked_s >= since_s and not is_asking:
                unheard, of = len(panel) - count, len(panel)
                return Finding(failed, f"{unheard} of {of} hosts not answering")
        return Finding(failed)

    def fall(self, host: str, now_s: float) -> None:
        """The host fails now."""
        if self._state(host) in KNOWN:
            self._fell[host] = now_s
        del self._doubted[host]

    def begin(self, reason: str, now_s: float) -> Collection[str]:
        """Begin isolation; return the hosts that failed so recently that isolation explains it."""
        self.reason, self._isolated_s = reason, now_s
        self._silenced = self._known(now_s)
        fell, self._fell = self._together(now_s), {}
        self._doubted.clear()
        return fell

    def end(self, now_s: float) -> bool:
        """End the isolation if enough hosts answered in the last round; whether it ended."""
        silenced = [host for host in self._silenced if host in self._order]
        panel = silenced or [h for h in self._order if self._state(h) is not State.FAILED]
        from_s = max(self._isolated_s, now_s - self._policy.round_s)
        count = sum(self._heard.get(host, NEVER_S) >= from_s for host in panel)
        if not panel or count < max(1, self._needed(panel)):
            return False
        self.reason = ""
        return True

    def _needed(self, panel: Collection[str]) -> float:
        """How many of `panel` must answer."""
        return len(panel) - self._policy.share * len(panel)

    def _panel(self, now_s: float) -> list[str]:
        """A sample of all known hosts, or of all hosts while none has ever answered."""
        known = self._known(now_s)
        if not known:
            known = [host for host in self._order if self._state(host) is State.UNKNOWN]
        return known[: self._policy.witnesses]

    def _known(self, now_s: float) -> list[str]:
        fell = self._together(now_s)
        known = (h for h in self._order if h in fell or self._state(h) in KNOWN)
        return list(islice(known, self._policy.witnesses))

    def _together(self, now_s: float) -> Mapping[str, float]:
        """The hosts that failed so recently that they count as failing now."""
        from_s = now_s - self._policy.together_s
        self._fell = {
            host: at_s
            for host, at_s in self._fell.items()
            if at_s >= from_s and self._state(host) is State.FAILED
        }
        return self._fell


def _mixed(host: str) -> bytes:
    return blake2b(host.encode(), digest_size=8).digest()


def isolation_of_all(reports: Iterable[HealthReport]) -> str | None:
    """Why no route may be changed, if every monitor that probes hosts is isolated."""
    probing = [report for report in reports if report.probes]
    if not probing or not all(report.isolated for report in probing):
        return None
    whys = "; ".join(isolation_reasons(probing))
    return f"daemon is isolated: {whys}; no route is changed until hosts answer again"


def isolation_reasons(reports: Iterable[HealthReport]) -> list[str]:
    """The reason of each isolated monitor."""
    return sorted(f"{report.monitor}: {report.isolated}" for report in reports if report.isolated)
