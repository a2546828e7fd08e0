"""One monitor's judgement of its hosts.

Pure: no clock, socket or process. Time is an argument, in monotonic seconds.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from vpcrouter.model.host_state import State
from vpcrouter.model.messages import HealthReport, Hosts


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """When a host changes state.

    `fall` misses in a row fail it; `rise` answers in a row, with no miss for `hold_s` seconds,
    make a failed one healthy again.
    """

    fall: int = 3
    rise: int = 2
    hold_s: float = 20.0


@dataclass(slots=True)
class Record:
    """One host. The counters are of events in a row."""

    state: State = State.UNKNOWN
    misses: int = 0
    answers: int = 0
    unsent: int = 0
    hold_from_s: float | None = None
    """Since when there was no miss; None until the first answer tells."""


class Judge:
    """One monitor's judgement of its hosts. Events of hosts it was not given are ignored.

    A healthy host stays healthy until it fails: one lost packet never moves a route.
    """

    def __init__(self, policy: HealthPolicy) -> None:
        self._policy = policy
        self._records: dict[str, Record] = {}
        self._hosts = Hosts()
        self._in: dict[State, set[str]] = {state: set() for state in State}
        self.steady: set[str] = set()
        """Hosts whose answer is no news: healthy, with nothing counted against them. To be
        read only; it keeps the path cheap that nearly every probe takes."""
        self.cut_off = ""
        """Why nothing can be judged from here."""
        self._failed_since: dict[str, float] = {}
        self._seeds: dict[str, float] = {}

    def set_hosts(self, hosts: Iterable[str], now_s: float) -> None:
        """Judge these from `now_s` on: new ones are unknown, gone ones forgotten."""
        wanted = dict.fromkeys(hosts)
        for host in self._records.keys() - wanted.keys():
            self._in[self._records.pop(host).state].discard(host)
            self.steady.discard(host)
            self._failed_since.pop(host, None)
        for host in wanted:
            if host not in self._records:
                self._records[host] = Record()
                self._in[State.UNKNOWN].add(host)
        self._hosts = Hosts(self._records)
        seeds, self._seeds = self._seeds, {}
        self.seed_failed({h: min(at_s, now_s) for h, at_s in seeds.items() if h in wanted})

    def seed_failed(self, hosts: Mapping[str, float]) -> None:
        """Count as failed, since the given times, what a predecessor called failed.

        What this judge has judged itself stands. Hosts not yet given wait for `set_hosts`.
        """
        for host, at_s in hosts.items():
            record = self._records.get(host)
            if record is None:
                self._seeds[host] = at_s
            elif record.state is State.UNKNOWN:
                self._fail(host, record, at_s)
                record.hold_from_s = None  # the last miss is not known

    def answered(self, host: str, now_s: float, questionable: bool = False) -> bool:
        """Count an answer; whether the state changed.

        `questionable`: the host is alive, but it, or who looked, says that it is likely to fail.
        """
        if host in self.steady and not questionable:
            return False
        record = self._records.get(host)
        if record is None:
            return False
        record.misses = record.unsent = 0
        if record.state is State.FAILED and not self._has_recovered(record, now_s):
            return False
        self._failed_since.pop(host, None)
        if questionable:
            self.steady.discard(host)
            return self._move(host, record, State.QUESTIONABLE)
        self.steady.add(host)
        return self._move(host, record, State.HEALTHY)

    def missed(self, host: str, now_s: float) -> bool:
        """Count a probe that got no answer; whether the state changed."""
        record = self._records.get(host)
        if record is None:
            return False
        self.steady.discard(host)
        record.unsent = record.answers = 0
        record.hold_from_s = now_s
        if record.state is State.FAILED:
            return False
        record.misses += 1
        return self._count_miss(host, record, now_s)

    def unsent(self, host: str, now_s: float) -> bool:
        """Count a probe that could not be sent, which says nothing of the host.

        After `fall` in a row, what was known of it is too old: all but failed become unknown,
        and a failed one's recovery begins anew. Whether the state changed.
        """
        record = self._records.get(host)
        if record is None:
            return False
        self.steady.discard(host)
        record.unsent += 1
        if record.unsent < self._policy.fall:
            return False
        record.misses = record.answers = 0
        record.hold_from_s = None
        return record.state is not State.FAILED and self._move(host, record, State.UNKNOWN)

    def not_watched(self) -> None:
        """For some time nothing was probed: failed hosts' recovery begins anew."""
        for host in self._in[State.FAILED]:
            record = self._records[host]
            record.answers = 0
            record.hold_from_s = None

    def state(self, host: str) -> State:
        record = self._records.get(host)
        return State.UNKNOWN if record is None else record.state

    def is_changing(self, host: str) -> bool:
        """Whether more probes would settle its state soon: misses counted, or not yet judged."""
        record = self._records.get(host)
        return record is not None and (record.misses > 0 or record.state is State.UNKNOWN)

    def misses_left(self, host: str) -> int:
        """How many further misses fail the host."""
        record = self._records.get(host)
        return self._policy.fall - (record.misses if record else 0)

    @property
    def healthy(self) -> frozenset[str]:
        return frozenset(self._in[State.HEALTHY])

    @property
    def questionable(self) -> frozenset[str]:
        return frozenset(self._in[State.QUESTIONABLE])

    @property
    def failed(self) -> frozenset[str]:
        return frozenset(self._in[State.FAILED])

    @property
    def failed_since(self) -> Mapping[str, float]:
        """When each failed host was judged so."""
        return dict(self._failed_since)

    def report(self, monitor: str) -> HealthReport:
        return HealthReport(
            monitor,
            self.healthy,
            self.questionable,
            self.failed,
            self.failed_since,
            self.cut_off,
            judged=self._hosts,
        )

    # What a judge may do that also looks at how the other hosts are (see `isolation`)

    @property
    def has_doubts(self) -> bool:
        """Whether a host is about to fail."""
        return False

    def witnesses(self, now_s: float) -> Collection[str]:
        """The hosts that are to be probed now, to learn whether anybody answers."""
        return ()

    def ask_due_s(self) -> float:
        """When there are such hosts."""
        return float("inf")

    def settle(self, now_s: float, is_asking: bool = False) -> bool:
        """Judge what waits for what is heard of others; whether anything changed."""
        return False

    def set_uplink(self, lost: str) -> None:
        """Take note of why nothing can be reached from here."""

    def be_cut_off(self, reason: str, now_s: float) -> None:
        """Judge nothing until enough hosts are heard."""

    def _count_miss(self, host: str, record: Record, now_s: float) -> bool:
        """Draw the conclusion from the misses of a host that has not failed."""
        return record.misses >= self._policy.fall and self._fail(host, record, now_s)

    def _has_recovered(self, record: Record, now_s: float) -> bool:
        record.answers += 1
        if record.hold_from_s is None:
            record.hold_from_s = now_s
        held_s = now_s - record.hold_from_s
        return record.answers >= self._policy.rise and held_s >= self._policy.hold_s

    def _fail(self, host: str, record: Record, at_s: float) -> bool:
        self._failed_since[host] = at_s
        record.misses = record.answers = 0
        return self._move(host, record, State.FAILED)

    def _move(self, host: str, record: Record, state: State) -> bool:
        if record.state is state:
            return False
        self._in[record.state].discard(host)
        self._in[state].add(host)
        record.state = state
        return True
