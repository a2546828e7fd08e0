"""When many hosts fall silent at once: whether it is the monitor that is isolated.

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
"""Of fewer known hosts, silence says nothing of the monitor."""
NEVER_S = float("-inf")
KNOWN = (State.HEALTHY, State.QUESTIONABLE)


@dataclass(frozen=True, slots=True)
class IsolationPolicy:
    """When the silence of hosts is taken for the monitor's own isolation. Times in seconds.

    More than `share` of the hosts must be silent; 1 lets every host fail. Hosts that fail within
    `together_s` fail at once. Whoever answers does so at least every `round_s`. Up to `witnesses`
    hosts are asked whether they answer, no oftener than every `gap_s`.
    """

    share: float
    together_s: float
    round_s: float
    gap_s: float = 0.0
    witnesses: int = 256


class Finding(NamedTuple):
    """What follows for hosts in doubt: who fails, and why the monitor is isolated, if it is."""

    failed: list[str]
    isolated: str = ""


class IsolationWatch:
    """Who was heard when, and what that says of a monitor whose hosts are about to fail.

    A host that is one miss from failing is in doubt: the others, its witnesses, are asked, and
    what counts is who answers after that. So one dead host fails at its last miss, without
    delay, and of hosts that fall silent together not even the first one fails.

    It only finds out; the states of hosts are the judge's, which `state` tells.
    """

    def __init__(self, policy: IsolationPolicy, state: Callable[[str], State]) -> None:
        self.reason = ""
        """Why the monitor is isolated; empty while it is not."""
        self._policy = policy
        self._state = state
        self._order: dict[str, None] = {}
        """The hosts, mixed, so that the first of them stand for all, whatever their names."""
        self._doubted: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._fell: dict[str, float] = {}
        """When each host failed that had been known to be good."""
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
        """The hosts about to fail, and since when."""
        return self._doubted

    def clear_all(self) -> None:
        """Nobody is about to fail any more."""
        self._doubted.clear()

    def ask_due_s(self) -> float:
        """When there are `witnesses`; infinity if nothing is in doubt that was not asked about."""
        newest_s = max(self._doubted.values(), default=NEVER_S)
        if newest_s <= self._asked_s or self._policy.share >= 1:
            return float("inf")
        return self._asked_s + self._policy.gap_s

    def witnesses(self, now_s: float) -> Collection[str]:
        """The hosts to be asked now; what they answer must be told to `hear`."""
        if now_s < self.ask_due_s():
            return ()
        self._asked_s = now_s
        return [host for host in self._panel(now_s) if host not in self._doubted]

    def find(self, silent: Iterable[str], now_s: float, is_asking: bool) -> Finding:
        """Of doubted hosts that missed their last probe, those fail of whose others enough were
        heard since.

        `is_asking`: witnesses may still answer. Each that fails must be told to `fall`, before
        its state changes.
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
        """The monitor is isolated; the hosts that failed so shortly ago that it is why."""
        self.reason, self._isolated_s = reason, now_s
        self._silenced = self._known(now_s)
        fell, self._fell = self._together(now_s), {}
        self._doubted.clear()
        return fell

    def end(self, now_s: float) -> bool:
        """End the isolation if enough hosts were heard in the last round; whether it ended."""
        silenced = [host for host in self._silenced if host in self._order]
        panel = silenced or [h for h in self._order if self._state(h) is not State.FAILED]
        from_s = max(self._isolated_s, now_s - self._policy.round_s)
        count = sum(self._heard.get(host, NEVER_S) >= from_s for host in panel)
        if not panel or count < max(1, self._needed(panel)):
            return False
        self.reason = ""
        return True

    def _needed(self, panel: Collection[str]) -> float:
        """How many of `panel` must be heard."""
        return len(panel) - self._policy.share * len(panel)

    def _panel(self, now_s: float) -> list[str]:
        """Hosts that stand for all known ones; for all, as long as none has ever answered."""
        known = self._known(now_s)
        if not known:
            known = [host for host in self._order if self._state(host) is State.UNKNOWN]
        return known[: self._policy.witnesses]

    def _known(self, now_s: float) -> list[str]:
        fell = self._together(now_s)
        known = (h for h in self._order if h in fell or self._state(h) in KNOWN)
        return list(islice(known, self._policy.witnesses))

    def _together(self, now_s: float) -> Mapping[str, float]:
        """The hosts that fell so shortly ago that they count as falling now."""
        from_s = now_s - self._policy.together_s
        self._fell = {
            host: at_s
            for host, at_s in self._fell.items()
            if at_s >= from_s and self._state(host) is State.FAILED
        }
        return self._fell


def _mixed(host: str) -> bytes:
    return blake2b(host.encode(), digest_size=8).digest()


def reason_to_hold(reports: Iterable[HealthReport]) -> str | None:
    """Why no route may be changed: every monitor that probes is isolated."""
    probing = [report for report in reports if report.probes]
    if not probing or not all(report.isolated for report in probing):
        return None
    whys = "; ".join(isolation_reasons(probing))
    return f"daemon is isolated: {whys}; no route is changed until hosts answer again"


def isolation_reasons(reports: Iterable[HealthReport]) -> list[str]:
    """What each isolated monitor says of why it is."""
    return sorted(f"{report.monitor}: {report.isolated}" for report in reports if report.isolated)
