"""Which host is probed when, and what became of each probe. Pure: time is an argument.

Two lanes. In the normal one all hosts take turns, spread evenly over the interval. Hosts
that are changing state are probed at once and then every `fastinter` instead, until they are
judged. Both have constant intervals, so positions and FIFOs do without a heap.

Beside them, hosts that the judge calls as witnesses are asked once; their silence is no miss.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from vpcrouter.health.judge import Judge
from vpcrouter.monitoring.timing import Timing

TICK_S = 0.01
"""Probes due within so long go out together: a turn of the loop costs more than a probe."""
EARLY_S = 0.002
FAST_PER_S = 20_000
"""The fast lane's pace; thousands of hosts starting, or failing, at once must not burst."""
FAST_BURST = 256
NEVER_S = float("inf")
ROUNDING = 1e-4
"""Of a slot; a slot that is due must not be missed by the last bit of a float."""

Outcome = tuple[int, bool | None, float]
"""A probe's serial number; answered, missed, or (None) not sent after all; and when."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Probes to be sent: one to each of `hosts`, numbered from `first` on."""

    first: int
    hosts: list[str]


@dataclass(slots=True, eq=False)
class _Fast:
    """A host in the fast lane: its probes under way, and how many in a row were not sent."""

    serials: list[int] = field(default_factory=list)
    unsent: int = 0


class Schedule:
    """Probes of one monitor. Tells the judge what became of each, exactly once.

    `unsent` counts probes that could not be sent, `skipped` those for which there was no time;
    whoever reports them resets them.
    """

    def __init__(self, timing: Timing, judge: Judge) -> None:
        self.timing = timing
        self.judge = judge
        self.unsent = 0
        self.skipped = 0
        self._ring: list[str] = []
        self._next_slot = 0
        self._round_s = 0.0
        self._slots_done = 0
        self._fast: dict[str, _Fast] = {}
        self._lane: deque[tuple[float, str, _Fast]] = deque()
        self._fast_credit = float(FAST_BURST)
        self._credited_s = 0.0
        self._next_serial = 0
        self._pending: dict[int, str] = {}
        self._batches: deque[tuple[int, int, float]] = deque()
        """First serial, end and deadline of what was sent together, oldest first."""
        self._asks: deque[str] = deque()
        self._asked: set[int] = set()
        """Probes to witnesses that may be under way."""
        self._withdrawn: list[int] = []
        self._revived: list[str] = []

    @property
    def hosts(self) -> Collection[str]:
        return self._ring

    def set_hosts(self, hosts: Iterable[str], now_s: float) -> None:
        """Probe these from now on, new ones at once; a new round begins."""
        wanted = dict.fromkeys(hosts)
        self.judge.set_hosts(wanted, now_s)
        at = self._next_slot
        staying = [h for h in self._ring[at:] + self._ring[:at] if h in wanted]
        known = set(staying)
        new = [host for host in wanted if host not in known]
        self._ring = staying + new
        self._next_slot = 0
        self._begin_round(now_s)
        for host in self._fast.keys() - wanted.keys():
            del self._fast[host]
        for host in new:
            self._hurry(host)
        self._asks = deque(host for host in self._asks if host in wanted)

    # Sending

    def take(self, now_s: float, limit: int) -> Batch | None:
        """Up to `limit` probes that are due. Pass what became of them to `sent`."""
        # However far behind a lane is, half of the probes are the other's. Hosts in no doubt come
        # first: where not all can be sent, they are who can say whether the monitor is isolated.
        urgent = self._take_fast(now_s, limit // 2) if self._lane else []
        asks = min(len(self._asks), limit // 2 - len(urgent))
        hosts = self._take_normal(now_s, limit - len(urgent) - asks) + urgent
        hosts += [self._asks.popleft() for _ in range(asks)]
        if not hosts:
            return None
        batch = Batch(self._next_serial, hosts)
        self._next_serial += len(hosts)
        self._asked.update(range(self._next_serial - asks, self._next_serial))
        return batch

    def sent(self, batch: Batch, unsent: Collection[int], sent_s: float) -> None:
        """Take note of a batch; `unsent` has the indexes of probes that could not be sent.

        `sent_s` is a moment after the last of it was sent: the time-outs run from there.
        """
        first, hosts = batch.first, batch.hosts
        end = first + len(hosts)
        self._pending.update(zip(range(first, end), hosts, strict=True))
        self._batches.append((first, end, sent_s + self.timing.timeout_s))
        if self._fast:
            for serial, host in enumerate(hosts, first):
                fast = self._fast.get(host)
                if fast is not None and serial not in self._asked:
                    fast.serials.append(serial)
        for index in unsent:
            del self._pending[first + index]
            self._on_unsent(hosts[index], first + index, sent_s)

    def next_due_s(self, now_s: float) -> float:
        """When there is something to send or to judge; NEVER_S without hosts."""
        due_s = NEVER_S
        if self._ring:
            spacing_s = self.timing.interval_s / len(self._ring)
            together = max(1, int(TICK_S / spacing_s))
            due_s = self._round_s + (self._slots_done + together) * spacing_s
        if self._lane:
            lane_s = self._lane[0][0]
            due_s = min(due_s, lane_s if lane_s > now_s else self._credit_due_s(now_s))
        if self._pending:
            due_s = min(due_s, self._batches[0][2])
        return now_s if self._asks else min(due_s, self.judge.ask_due_s())

    def _credit_due_s(self, now_s: float) -> float:
        return now_s if self._fast_credit >= 1 else now_s + TICK_S / 2

    def _take_normal(self, now_s: float, limit: int) -> list[str]:
        size = len(self._ring)
        if not size:
            return []
        due = int((now_s - self._round_s) * size / self.timing.interval_s + ROUNDING)
        # After a late turn nobody is probed twice at once.
        skipped = max(0, due - size - self._slots_done)
        self.skipped += skipped
        self._slots_done += skipped
        count = min(due - self._slots_done, limit, size)
        if count <= 0:
            return []
        start, end = self._next_slot, self._next_slot + count
        self._slots_done += count
        self._next_slot = end % size
        hosts = self._ring[start:end]
        if end > size:
            hosts += self._ring[: end - size]
        if self._fast:
            hosts = [host for host in hosts if host not in self._fast]
        return hosts

    def _take_fast(self, now_s: float, limit: int) -> list[str]:
        earned = (now_s - self._credited_s) * FAST_PER_S
        self._fast_credit = min(FAST_BURST, self._fast_credit + earned)
        self._credited_s = now_s
        limit = min(limit, int(self._fast_credit))
        hosts: list[str] = []
        while self._lane and len(hosts) < limit and self._lane[0][0] <= now_s + EARLY_S:
            _, host, fast = self._lane.popleft()
            if self._fast.get(host) is not fast:
                continue  # it left the lane
            if not self.judge.is_changing(host):
                del self._fast[host]
                continue
            self._lane.append((now_s + self.timing.fastinter_s, host, fast))
            # More probes under way than misses lacking would tell nothing new.
            if len(fast.serials) < self.judge.misses_left(host):
                hosts.append(host)
        self._fast_credit -= len(hosts)
        return hosts

    def _hurry(self, host: str) -> None:
        """Let `host` into the fast lane, to be probed at once."""
        fast = self._fast[host] = _Fast()
        self._lane.appendleft((-NEVER_S, host, fast))

    # Judging

    def collected(self, outcomes: Iterable[Outcome], now_s: float, lenient: bool = False) -> None:
        """Judge probes by what the prober knows of them; `now_s` is not before any of it.

        An answer later than the time-out is a miss, unless `lenient`.
        """
        surely_in_time = 0 if lenient else self._first_within(now_s)
        take_pending = self._pending.pop
        steady = self.judge.steady
        for serial, was_answered, at_s in outcomes:
            host = take_pending(serial, None)
            if was_answered and serial >= surely_in_time and host in steady:
                continue  # nearly always
            if host is None:
                continue  # judged before: a second or a late answer
            if was_answered is None:
                self._on_unsent(host, serial, at_s)
            elif was_answered and (serial >= surely_in_time or at_s <= self._deadline_s(serial)):
                self._on_answer(host, serial, at_s)
            else:
                self._on_miss(host, serial, at_s)

    def expire(self, drained_s: float) -> list[tuple[int, str]]:
        """Judge as missed what timed out by `drained_s`; return those probes.

        All that had come in by `drained_s` must have been collected.
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
        """Let the judge draw its conclusions from all that was collected and expired.

        `uplink` says why no host can be reached from here.
        """
        self._asks.extend(self.judge.witnesses(now_s))
        self._asked = {serial for serial in self._asked if serial in self._pending}
        self.judge.settle(now_s, bool(self._asks or self._asked), uplink)

    def forgive(self, now_s: float) -> list[int]:
        """Judge nothing of what is under way and begin a new round; return those probes.

        For a loop that was late itself: its lateness is never a host's failure.
        """
        forgiven = list(self._pending)
        for each in (self._pending, self._batches, self._asks, self._asked):
            each.clear()
        for fast in self._fast.values():
            fast.serials.clear()
        self.judge.not_watched()
        self._begin_round(now_s)
        return forgiven

    def take_withdrawn(self) -> list[int]:
        """Probes that need no judging any more, as a later one to the host was answered."""
        withdrawn, self._withdrawn = self._withdrawn, []
        return withdrawn

    def take_revived(self) -> list[str]:
        """Hosts that answered after a probe of theirs had not been answered."""
        revived, self._revived = self._revived, []
        return revived

    def _begin_round(self, now_s: float) -> None:
        self._round_s = now_s
        self._slots_done = 0

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
        fast = self._fast.get(host)
        if fast is None:
            return
        fast.unsent = 0
        for older in fast.serials:
            if older < serial and self._pending.pop(older, None) is not None:
                self._withdrawn.append(older)
        fast.serials = [later for later in fast.serials if later > serial]
        if not self.judge.is_changing(host):
            del self._fast[host]

    def _on_miss(self, host: str, serial: int, at_s: float) -> None:
        if serial in self._asked:
            return  # soon before or after a regular one: it may be the same loss
        self.judge.missed(host, at_s)
        fast = self._fast.get(host)
        if fast is not None and serial in fast.serials:
            fast.serials.remove(serial)
        if not self.judge.is_changing(host):
            self._fast.pop(host, None)
        elif fast is None:
            self._hurry(host)

    def _on_unsent(self, host: str, serial: int, at_s: float) -> None:
        self.unsent += 1
        if serial in self._asked:
            return
        self.judge.unsent(host, at_s)
        fast = self._fast.get(host)
        if fast is None:
            return
        if serial in fast.serials:
            fast.serials.remove(serial)
        fast.unsent += 1
        if fast.unsent >= self.timing.fall:
            del self._fast[host]  # hurry is of no use while nothing can be sent
