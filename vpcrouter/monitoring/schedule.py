"""When each host is probed, and the result of each probe. Pure: time is an argument.

There are two lanes (`lanes`). In the normal one all hosts take turns, spread evenly over the
interval. Hosts that are changing state are probed at once and then every `fastinter` instead,
until they are judged. Both have constant intervals, so no heap is needed.

In addition, hosts that the judge names as witnesses are probed once, without counting misses.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vpcrouter.health.judge import Judge
from vpcrouter.monitoring.lanes import NEVER_S, FastLane, NormalLane
from vpcrouter.monitoring.timing import Timing

Outcome = tuple[int, bool | None, float]
"""A probe's serial number; answered, missed, or (None) not sent after all; and when."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Probes to be sent: one to each of `hosts`, numbered from `first` on."""

    first: int
    hosts: list[str]


class Schedule:
    """The probes of one monitor. Reports the result of each to the judge, exactly once.

    `unsent` counts probes that could not be sent; whoever reports them resets it.
    """

    def __init__(self, timing: Timing, judge: Judge) -> None:
        self.timing = timing
        self.judge = judge
        self.unsent = 0
        self.normal = NormalLane(timing.interval_s)
        self._fast = FastLane(judge, timing.fastinter_s, timing.fall)
        self._next_serial = 0
        self._pending: dict[int, str] = {}
        self._batches: deque[tuple[int, int, float]] = deque()
        """First serial, end and deadline of what was sent together, oldest first."""
        self._asks: deque[str] = deque()
        self._asked: set[int] = set()
        """Probes to witnesses that may be in flight."""
        self._withdrawn: list[int] = []
        self._revived: list[str] = []

    @property
    def hosts(self) -> Collection[str]:
        return self.normal.hosts

    def set_hosts(self, hosts: Iterable[str], now_s: float) -> None:
        """Probe these hosts from now on, new ones at once; a new round begins."""
        wanted = dict.fromkeys(hosts)
        self.judge.set_hosts(wanted, now_s)
        self._fast.keep(wanted)
        for host in self.normal.set_hosts(wanted, now_s):
            self._fast.enter(host)
        self._asks = deque(host for host in self._asks if host in wanted)

    # Sending

    def take(self, now_s: float, limit: int) -> Batch | None:
        """Up to `limit` probes that are due. Pass the batch to `sent` afterwards."""
        # However far behind a lane is, the other gets half of the probes. Hosts not in doubt come
        # first: if not all probes can be sent, their answers tell whether the monitor is isolated.
        urgent = self._fast.take(now_s, limit // 2)
        asks = min(len(self._asks), limit // 2 - len(urgent))
        hosts = self.normal.take(now_s, limit - len(urgent) - asks)
        if self._fast:
            hosts = [host for host in hosts if host not in self._fast]
        hosts += urgent
        hosts += [self._asks.popleft() for _ in range(asks)]
        if not hosts:
            return None
        batch = Batch(self._next_serial, hosts)
        self._next_serial += len(hosts)
        self._asked.update(range(self._next_serial - asks, self._next_serial))
        return batch

    def sent(self, batch: Batch, unsent: Collection[int], sent_s: float) -> None:
        """Record a batch; `unsent` has the indexes of probes that could not be sent.

        `sent_s` is a time after the last of them was sent, from which the time-outs run.
        """
        first, hosts = batch.first, batch.hosts
        end = first + len(hosts)
        self._pending.update(zip(range(first, end), hosts, strict=True))
        self._batches.append((first, end, sent_s + self.timing.timeout_s))
        if self._fast:
            for serial, host in enumerate(hosts, first):
                if serial not in self._asked:
                    self._fast.sent(host, serial)
        for index in unsent:
            del self._pending[first + index]
            self._on_unsent(hosts[index], first + index, sent_s)

    def next_due_s(self, now_s: float) -> float:
        """When the next probe is to be sent or judged; NEVER_S without hosts."""
        due_s = min(self.normal.due_s(), self._fast.due_s(now_s))
        if self._pending:
            due_s = min(due_s, self._batches[0][2])
        return now_s if self._asks else min(due_s, self.judge.ask_due_s())

    # Judging

    def collected(self, outcomes: Iterable[Outcome], now_s: float, lenient: bool = False) -> None:
        """Judge probes by the prober's outcomes, none of which is later than `now_s`.

        An answer later than the time-out is a miss, unless `lenient`.
        """
        surely_in_time = 0 if lenient else self._first_within(now_s)
        take_pending = self._pending.pop
        steady = self.judge.steady
        for serial, was_answered, at_s in outcomes:
            host = take_pending(serial, None)
            if was_answered and serial >= surely_in_time and host in steady:
                continue  # the common case
            if host is None:
                continue  # already judged: a duplicate or late answer
            if was_answered is None:
                self._on_unsent(host, serial, at_s)
            elif was_answered and (serial >= surely_in_time or at_s <= self._deadline_s(serial)):
                self._on_answer(host, serial, at_s)
            else:
                self._on_miss(host, serial, at_s)

    def expire(self, drained_s: float) -> list[tuple[int, str]]:
        """Judge probes that timed out by `drained_s` as missed; return them.

        All that had arrived by `drained_s` must have been collected.
        """
        expired: list[tuple[int, str]] = []
        if not self._pending:
            self._batches.clear()
        while self._batches and self._batches[0][2] <= drained_s:
            first, end, _ = self._batches.popleft()
            for serial in range(first, end):
                host = self._pending.pop(serial, None)
                if host is not None:
                    expired.append((serial, host))
                    self._on_miss(host, serial, drained_s)
        return expired

    def settle(self, now_s: float, uplink: str) -> None:
        """Let the judge settle with all that was collected and expired.

        `uplink` is the reason why no host is reachable from here.
        """
        self._asks.extend(self.judge.witnesses(now_s))
        self._asked = {serial for serial in self._asked if serial in self._pending}
        self.judge.settle(now_s, bool(self._asks or self._asked), uplink)

    def forgive(self, now_s: float) -> list[int]:
        """Discard the probes in flight and begin a new round; return those probes.

        For a loop that was late itself, which must not count against hosts.
        """
        forgiven = list(self._pending)
        for each in (self._pending, self._batches, self._asks, self._asked):
            each.clear()
        self._fast.forget_probes()
        self.judge.not_watched()
        self.normal.begin_round(now_s)
        return forgiven

    def take_withdrawn(self) -> list[int]:
        """Probes that need no judging any more because a later one was answered."""
        withdrawn, self._withdrawn = self._withdrawn, []
        return withdrawn

    def take_revived(self) -> list[str]:
        """Hosts that have answered since an earlier probe was missed."""
        revived, self._revived = self._revived, []
        return revived

    def _first_within(self, now_s: float) -> int:
        """The first serial whose deadline is not before `now_s`."""
        for first, _, deadline_s in self._batches:
            if deadline_s >= now_s:
                return first
        return self._next_serial

    def _deadline_s(self, serial: int) -> float:
        for _, end, deadline_s in self._batches:
            if serial < end:
                return deadline_s
        return -NEVER_S

    def _on_answer(self, host: str, serial: int, at_s: float) -> None:
        self.judge.answered(host, at_s)
        self._revived.append(host)
        for older in self._fast.on_answer(host, serial):
            if self._pending.pop(older, None) is not None:
                self._withdrawn.append(older)

    def _on_miss(self, host: str, serial: int, at_s: float) -> None:
        if serial in self._asked:
            return  # close to a regular probe: it may be the same loss
        self.judge.missed(host, at_s)
        self._fast.on_miss(host, serial)

    def _on_unsent(self, host: str, serial: int, at_s: float) -> None:
        self.unsent += 1
        if serial in self._asked:
            return
        self.judge.unsent(host, at_s)
        self._fast.on_unsent(host, serial)
