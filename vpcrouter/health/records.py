"""The judge's record of each host, and the hosts in each state.

Pure: no clock, socket or process. Time is an argument, in monotonic seconds.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from vpcrouter.model.host_state import State
from vpcrouter.model.messages import HealthReport, Hosts


@dataclass(slots=True)
class Record:
    """One host. The counters count consecutive events."""

    state: State = State.UNKNOWN
    misses: int = 0
    answers: int = 0
    unsent: int = 0
    hold_from_s: float | None = None
    """Since when there was no miss; None until the first answer."""

    def recovering(self, now_s: float) -> tuple[int, float]:
        """Count an answer; the consecutive answers, and the time without a miss."""
        self.answers += 1
        if self.hold_from_s is None:
            self.hold_from_s = now_s
        return self.answers, now_s - self.hold_from_s

    def restart_recovery(self) -> None:
        """Discard what has been counted towards recovery."""
        self.answers = 0
        self.hold_from_s = None


class Records:
    """A record for each host. Only `move` and `fail` change states."""

    def __init__(self) -> None:
        self.changed = False
        """Whether the report differs from the last one sent; reset by whoever sends it."""
        self._records: dict[str, Record] = {}
        self._hosts = Hosts()
        self._in: dict[State, set[str]] = {state: set() for state in State}
        self._failed_since: dict[str, float] = {}

    def __getitem__(self, host: str) -> Record:
        return self._records[host]

    def get(self, host: str) -> Record | None:
        return self._records.get(host)

    def state(self, host: str) -> State:
        record = self._records.get(host)
        return State.UNKNOWN if record is None else record.state

    def in_state(self, state: State) -> Iterator[Record]:
        return (self._records[host] for host in self._in[state])

    def set_hosts(self, wanted: Collection[str]) -> None:
        """Keep these: new ones are unknown, gone ones forgotten."""
        gone = self._records.keys() - set(wanted)
        new = [host for host in wanted if host not in self._records]
        for host in gone:
            self._in[self._records.pop(host).state].discard(host)
            self._failed_since.pop(host, None)
        for host in new:
            self._records[host] = Record()
            self._in[State.UNKNOWN].add(host)
        self._hosts = Hosts(self._records)
        self.changed = self.changed or bool(gone or new)

    def fail(self, host: str, at_s: float) -> None:
        record = self._records[host]
        self._failed_since[host] = at_s
        record.misses = record.answers = 0
        self._put(host, record, State.FAILED)

    def move(self, host: str, state: State) -> None:
        """To any state but failed."""
        self._failed_since.pop(host, None)
        self._put(host, self._records[host], state)

    def _put(self, host: str, record: Record, state: State) -> None:
        if record.state is not state:
            self._in[record.state].discard(host)
            self._in[state].add(host)
            record.state = state
            self.changed = True

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

    def report(self, monitor: str, isolated: str, doubt: str, probes: bool) -> HealthReport:
        return HealthReport(
            monitor,
            self.healthy,
            self.questionable,
            self.failed,
            self.failed_since,
            isolated,
            probes,
            self._hosts,
            doubt,
        )
