"""When many hosts fall silent at once: whether it is we who are cut off.

Pure: no clock, socket or process. Time is an argument, in monotonic seconds.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice

from vpcrouter.health.judge import HealthPolicy, Judge, Record
from vpcrouter.model.host_state import State
from vpcrouter.model.messages import HealthReport

MIN_HOSTS = 4
"""Of fewer known hosts, silence says nothing of us."""
NEVER_S = float("-inf")
KNOWN = (State.HEALTHY, State.QUESTIONABLE)


@dataclass(frozen=True, slots=True)
class Brake:
    """When silence is taken for our own. Times in seconds.

    More than `share` of the hosts must be silent; 1 lets every host fail. Hosts that fail within
    `together_s` fail at once. Whoever answers does so at least every `round_s`. Up to `witnesses`
    hosts are asked whether they answer, no oftener than every `gap_s`.
    """

    share: float
    together_s: float
    round_s: float
    gap_s: float = 0.0
    witnesses: int = 256


class BrakedJudge(Judge):
    """A Judge that lets no host fail until enough of the others are heard.

    A host that is one miss from failing is in doubt: the others are asked, and what counts is
    who answers after that. So one dead host fails at its last miss, without delay, and
    of hosts that fall silent together not even the first one fails.

    While cut off, nothing is judged: hosts are unknown, but for those that failed long before.
    Once enough of those that fell silent answer again, everything is judged afresh.
    """

    def __init__(self, policy: HealthPolicy, brake: Brake) -> None:
        super().__init__(policy)
        self._brake = brake
        self._order: list[str] = []
        """The hosts, mixed, so that the first of them stand for all, whatever their names."""
        self._doubted: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._fell: dict[str, float] = {}
        """When each host failed that had been known to be good."""
        self._asked_s = NEVER_S
        self._uplink = ""
        self._silenced: list[str] = []
        self._cut_s = NEVER_S

    def set_hosts(self, hosts: Iterable[str], now_s: float) -> None:
        super().set_hosts(hosts, now_s)
        self._order = sorted(self._records, key=_mixed)
        for each in (self._doubted, self._heard, self._fell):
            for host in each.keys() - self._records.keys():
                del each[host]

    def answered(self, host: str, now_s: float, questionable: bool = False) -> bool:
        has_changed = super().answered(host, now_s, questionable)
        if host in self._records:
            self._heard[host] = now_s
            self._doubted.pop(host, None)
        if self.cut_off:
            self.steady.discard(host)  # its next answer is news, too
        return has_changed

    def unsent(self, host: str, now_s: float) -> bool:
        has_changed = super().unsent(host, now_s)
        if host in self._doubted and not self._records[host].misses:
            del self._doubted[host]
        return has_changed

    def not_watched(self) -> None:
        super().not_watched()
        for host in self._doubted:
            record = self._records[host]
            record.misses = min(record.misses, self._policy.fall - 1)
        self._doubted.clear()

    def is_changing(self, host: str) -> bool:
        return not self.cut_off and self.misses_left(host) > 0 and super().is_changing(host)

    @property
    def has_doubts(self) -> bool:
        return bool(self._doubted)

    def set_uplink(self, lost: str) -> None:
        """Take note of why nothing can be reached from here, or that nothing is known to be wrong.

        It counts at the next `settle`.
        """
        self._uplink = lost

    def be_cut_off(self, reason: str, now_s: float) -> None:
        """Judge nothing until enough hosts are heard."""
        self.cut_off, self._cut_s = reason, now_s
        self._silenced = self._known(now_s)
        for host in self._together(now_s):
            self._failed_since.pop(host, None)
            self._move(host, self._records[host], State.UNKNOWN)
        for host in self.healthy | self.questionable:
            self._move(host, self._records[host], State.UNKNOWN)
        for host in self._in[State.UNKNOWN]:
            self._records[host].misses = 0
        for each in (self._doubted, self._fell, self.steady):
            each.clear()
        self.not_watched()

    def witnesses(self, now_s: float) -> Collection[str]:
        """The hosts that are to be probed now; a miss of such a probe must not be counted."""
        if now_s < self.ask_due_s():
            return ()
        self._asked_s = now_s
        asked = [host for host in self._panel(now_s) if host not in self._doubted]
        self.steady.difference_update(asked)
        return asked

    def ask_due_s(self) -> float:
        """When `witnesses` has some; infinity if nothing is in doubt that was not asked about."""
        newest_s = max(self._doubted.values(), default=NEVER_S)
        if newest_s <= self._asked_s or self._brake.share >= 1:
            return float("inf")
        return self._asked_s + self._brake.gap_s

    def settle(self, now_s: float, is_asking: bool = False) -> bool:
        """Judge the hosts that missed their last probe; whether anything changed.

        `is_asking`: witnesses may still answer.
        """
        if self._uplink and not self.cut_off:
            self.be_cut_off(self._uplink, now_s)
            return True
        if self.cut_off:
            return not self._uplink and self._is_back(now_s)
        condemned = {h: at for h, at in self._doubted.items() if self.misses_left(h) <= 0}
        return bool(condemned) and self._sentence(condemned, now_s, is_asking)

    def _sentence(self, condemned: Mapping[str, float], now_s: float, is_asking: bool) -> bool:
        """Let each fail of whose others enough were heard since it was in doubt."""
        panel = self._panel(now_s)
        heard = sorted(self._heard.get(host, NEVER_S) for host in panel)
        is_braked = len(panel) >= MIN_HOSTS and self._brake.share < 1
        needed = self._needed(panel) if is_braked else 0.0
        has_changed = False
        for host, since_s in condemned.items():
            count = len(heard) - bisect_left(heard, since_s)
            if count >= needed:
                has_changed = self._let_fail(host, now_s)
            elif self._asked_s >= since_s and not is_asking:
                silent, of = len(panel) - count, len(panel)
                self.be_cut_off(f"{silent} of {of} hosts do not answer, all at once", now_s)
                return True
        return has_changed

    def _let_fail(self, host: str, now_s: float) -> bool:
        record = self._records[host]
        if record.state in KNOWN:
            self._fell[host] = now_s
        del self._doubted[host]
        return self._fail(host, record, now_s)

    def _is_back(self, now_s: float) -> bool:
        """Whether enough hosts were heard in the last round; if so, judge again."""
        silenced = [host for host in self._silenced if host in self._records]
        panel = silenced or [host for host in self._order if self.state(host) is not State.FAILED]
        from_s = max(self._cut_s, now_s - self._brake.round_s)
        count = sum(self._heard.get(host, NEVER_S) >= from_s for host in panel)
        if not panel or count < max(1, self._needed(panel)):
            return False
        self.cut_off = ""
        return True

    def _count_miss(self, host: str, record: Record, now_s: float) -> bool:
        if self.cut_off:
            record.misses = 0
            return self._move(host, record, State.UNKNOWN)
        if record.misses >= self._policy.fall - 1:
            self._doubted.setdefault(host, now_s)
        return False

    def _needed(self, panel: Collection[str]) -> float:
        """How many of `panel` must be heard."""
        return len(panel) - self._brake.share * len(panel)

    def _panel(self, now_s: float) -> list[str]:
        """Hosts that stand for all known ones; for all, as long as none has ever answered."""
        known = self._known(now_s)
        if not known:
            known = [host for host in self._order if self.state(host) is State.UNKNOWN]
        return known[: self._brake.witnesses]

    def _known(self, now_s: float) -> list[str]:
        fell = self._together(now_s)
        known = (h for h in self._order if h in fell or self._records[h].state in KNOWN)
        return list(islice(known, self._brake.witnesses))

    def _together(self, now_s: float) -> Collection[str]:
        """The hosts that fell so shortly ago that they count as falling now."""
        from_s = now_s - self._brake.together_s
        self._fell = {
            host: at_s
            for host, at_s in self._fell.items()
            if at_s >= from_s and self.state(host) is State.FAILED
        }
        return self._fell


def _mixed(host: str) -> bytes:
    return blake2b(host.encode(), digest_size=8).digest()


def reason_to_hold(reports: Iterable[HealthReport]) -> str | None:
    """Why no route may be changed: every monitor that probes finds that we are cut off."""
    probing = [report for report in reports if report.probes]
    if not probing or not all(report.cut_off for report in probing):
        return None
    whys = "; ".join(cut_off_reasons(probing))
    return f"it is we who are cut off: {whys}; nothing is changed until probes come back"


def cut_off_reasons(reports: Iterable[HealthReport]) -> list[str]:
    """What each monitor says that finds us cut off."""
    return sorted(f"{report.monitor}: {report.cut_off}" for report in reports if report.cut_off)


def of_hearsay(report: HealthReport) -> HealthReport:
    """The report of a monitor that passes on somebody else's word and probes nothing."""
    return replace(report, probes=False)
