"""One monitor's judgement of its hosts.

Pure: no clock, socket or process. Time is an argument, in monotonic seconds.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from vpcrouter.health.isolation import IsolationPolicy, IsolationWatch
from vpcrouter.health.records import Records
from vpcrouter.model.host_state import State
from vpcrouter.model.messages import HealthReport


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """When a host changes state.

    `fall` misses in a row fail it; `rise` answers in a row, with no miss for `hold_s` seconds,
    make a failed one healthy again.
    """

    fall: int = 3
    rise: int = 2
    hold_s: float = 20.0


NO_ISOLATION = IsolationPolicy(share=1.0, together_s=0.0, round_s=0.0)


class Judge:
    """One monitor's judgement of its hosts. Events of other hosts are ignored.

    A healthy host stays healthy until it fails: one lost packet never moves a route.

    With an IsolationPolicy no host fails until `settle` finds that enough other hosts answer.
    While the monitor is isolated, nothing is judged: all hosts are unknown, except those that
    failed long before. Judging resumes once enough of the lost hosts answer again. Without an
    IsolationPolicy, a host fails at its last miss.
    """

    def __init__(self, policy: HealthPolicy, isolation: IsolationPolicy | None = None) -> None:
        self.records = Records()
        self.steady: set[str] = set()
        """Healthy hosts without any miss, whose next answer changes nothing. Read-only for
        others; it keeps the common path cheap."""
        self._policy = policy
        self._seeds: dict[str, float] = {}
        self._can_be_isolated = isolation is not None
        self._isolation = IsolationWatch(isolation or NO_ISOLATION, self.records.state)

    def set_hosts(self, hosts: Iterable[str], now_s: float) -> None:
        """Judge these from `now_s` on: new ones are unknown, gone ones forgotten."""
        wanted = dict.fromkeys(hosts)
        self.records.set_hosts(wanted)
        self.steady.intersection_update(wanted)
        if self._can_be_isolated:
            self._isolation.set_hosts(wanted)
        seeds, self._seeds = self._seeds, {}
        self.seed_failed({h: min(at_s, now_s) for h, at_s in seeds.items() if h in wanted})

    def seed(self, predecessor: HealthReport, now_s: float) -> None:
        """Take over failed hosts and isolation from the monitor's previous generation."""
        since = {host: predecessor.failed_since_at.get(host, now_s) for host in predecessor.failed}
        self.seed_failed(since)
        if predecessor.isolated and self._can_be_isolated:
            self.isolate(predecessor.isolated, now_s)
        self.records.changed = True

    def seed_failed(self, hosts: Mapping[str, float]) -> None:
        """Set hosts failed, since the given times, that a predecessor judged failed.

        This judge's own judgements take precedence. Hosts not yet known wait for `set_hosts`.
        """
        for host, at_s in hosts.items():
            record = self.records.get(host)
            if record is None:
                self._seeds[host] = at_s
            elif record.state is State.UNKNOWN:
                self.records.fail(host, at_s)
                record.hold_from_s = None  # the last miss is not known

    # Results of probes

    def answered(self, host: str, now_s: float, questionable: bool = False) -> None:
        """Count an answer.

        `questionable`: the host is alive, but it or the check reports that it is likely to fail.
        """
        record = self.records.get(host)
        if record is None:
            return
        if self._can_be_isolated:
            self._isolation.hear(host, now_s)
        if host in self.steady and not questionable:
            return
        record.misses = record.unsent = 0
        if record.state is State.FAILED:
            answers, held_s = record.recovering(now_s)
            if answers < self._policy.rise or held_s < self._policy.hold_s:
                return
        if questionable:
            self.steady.discard(host)
        elif not self.isolated:  # then its next answer counts, too
            self.steady.add(host)
        self.records.move(host, State.QUESTIONABLE if questionable else State.HEALTHY)

    def missed(self, host: str, now_s: float) -> None:
        """Count a probe without an answer."""
        record = self.records.get(host)
        if record is None:
            return
        self.steady.discard(host)
        record.unsent = record.answers = 0
        record.hold_from_s = now_s
        if record.state is State.FAILED:
            return
        if self.isolated:
            self.records.move(host, State.UNKNOWN)
            return
        record.misses += 1
        if self._can_be_isolated:
            if record.misses >= self._policy.fall - 1:
                self._isolation.doubt(host, now_s)
        elif record.misses >= self._policy.fall:
            self.records.fail(host, now_s)

    def unsent(self, host: str, now_s: float) -> None:
        """Count a probe that could not be sent, which is no evidence about the host.

        After `fall` of them in a row its state is stale: it becomes unknown, or, if it has
        failed, stays failed and its recovery restarts.
        """
        record = self.records.get(host)
        if record is None:
            return
        self.steady.discard(host)
        record.unsent += 1
        if record.unsent < self._policy.fall:
            return
        record.misses = 0
        record.restart_recovery()
        self._isolation.clear(host)
        if record.state is not State.FAILED:
            self.records.move(host, State.UNKNOWN)

    def not_watched(self) -> None:
        """Nothing was probed for some time: the recovery of failed hosts restarts, and no host
        is about to fail."""
        for record in self.records.in_state(State.FAILED):
            record.restart_recovery()
        for host in self._isolation.doubted:
            record = self.records[host]
            record.misses = min(record.misses, self._policy.fall - 1)
        self._isolation.clear_all()

    # Hosts that are about to fail

    @property
    def has_doubts(self) -> bool:
        """Whether a host is about to fail."""
        return bool(self._isolation.doubted)

    @property
    def isolated(self) -> str:
        """Why the monitor is isolated; empty while it is not."""
        return self._isolation.reason

    def witnesses(self, now_s: float) -> Collection[str]:
        """The hosts to probe now to learn whether the monitor is isolated; do not count a miss
        of such a probe."""
        asked = self._isolation.witnesses(now_s)
        self.steady.difference_update(asked)
        return asked

    def ask_due_s(self) -> float:
        """When `witnesses` has hosts to probe."""
        return self._isolation.ask_due_s()

    def settle(self, now_s: float, is_asking: bool = False, uplink: str = "") -> None:
        """Judge the hosts that missed their last probe, by the answers of the others.

        `is_asking`: witnesses may still answer. `uplink`: why no host is reachable from here.
        """
        if self.isolated:
            if not uplink and self._isolation.end(now_s):
                self.records.changed = True
            return
        reason = uplink
        silent = [host for host in self._isolation.doubted if self.misses_left(host) <= 0]
        if silent and not reason:
            failed, reason = self._isolation.find(silent, now_s, is_asking)
            for host in failed:
                self._isolation.fall(host, now_s)
                self.records.fail(host, now_s)
        if reason:
            self.isolate(reason, now_s)

    def isolate(self, reason: str, now_s: float) -> None:
        """Judge nothing until enough hosts answer."""
        fell = self._isolation.begin(reason, now_s)
        for host in {*fell, *self.records.healthy, *self.records.questionable}:
            self.records.move(host, State.UNKNOWN)
        for record in self.records.in_state(State.UNKNOWN):
            record.misses = 0
        self.steady.clear()
        self.not_watched()
        self.records.changed = True

    # Results

    def state(self, host: str) -> State:
        return self.records.state(host)

    def is_changing(self, host: str) -> bool:
        """Whether the host has misses counted or is not yet judged, so that more probes help."""
        record = self.records.get(host)
        if record is None or self.isolated or record.misses >= self._policy.fall:
            return False
        return record.misses > 0 or record.state is State.UNKNOWN

    def misses_left(self, host: str) -> int:
        """How many further misses fail the host."""
        record = self.records.get(host)
        return self._policy.fall - (record.misses if record else 0)

    def report(self, monitor: str, doubt: str = "", probes: bool = True) -> HealthReport:
        """The report; `doubt` and `probes` as in HealthReport."""
        return self.records.report(monitor, self.isolated, doubt, probes)
