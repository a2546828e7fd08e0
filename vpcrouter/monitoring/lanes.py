"""The two lanes of a schedule: which hosts are due next. Pure: time is an argument."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from vpcrouter.health.judge import Judge

TICK_S = 0.01
"""Probes due within this time are sent together: a turn of the loop costs more than a probe."""
EARLY_S = 0.002
FAST_PER_S = 20_000
"""The fast lane's rate limit, for when thousands of hosts start or fail at once."""
FAST_BURST = 256
NEVER_S = float("inf")
ROUNDING = 1e-4
"""In slots; a due slot must not be missed because of float rounding."""


class NormalLane:
    """Probes all hosts in turn, spread evenly over the interval: each has a slot in the round.

    `skipped` counts slots that were missed; whoever reports them resets it.
    """

    def __init__(self, interval_s: float) -> None:
        self.hosts: list[str] = []
        self.skipped = 0
        self._interval_s = interval_s
        self._next_slot = 0
        self._round_s = 0.0
        self._slots_done = 0

    def set_hosts(self, wanted: Collection[str], now_s: float) -> Sequence[str]:
        """Set the hosts; return the new ones. A new round begins."""
        at = self._next_slot
        staying = [host for host in self.hosts[at:] + self.hosts[:at] if host in wanted]
        known = set(staying)
        new = [host for host in wanted if host not in known]
        self.hosts = staying + new
        self._next_slot = 0
        self.begin_round(now_s)
        return new

    def begin_round(self, now_s: float) -> None:
        self._round_s = now_s
        self._slots_done = 0

    def due_s(self) -> float:
        """When enough slots are due to go out together."""
        if not self.hosts:
            return NEVER_S
        spacing_s = self._interval_s / len(self.hosts)
        together = max(1, int(TICK_S / spacing_s))
        return self._round_s + (self._slots_done + together) * spacing_s

    def take(self, now_s: float, limit: int) -> list[str]:
        size = len(self.hosts)
        if not size:
            return []
        due = int((now_s - self._round_s) * size / self._interval_s + ROUNDING)
        # After a late turn no host is probed twice at once.
        skipped = max(0, due - size - self._slots_done)
        self.skipped += skipped
        self._slots_done += skipped
        count = min(due - self._slots_done, limit, size)
        if count <= 0:
            return []
        start, end = self._next_slot, self._next_slot + count
        self._slots_done += count
        self._next_slot = end % size
        hosts = self.hosts[start:end]
        if end > size:
            hosts += self.hosts[: end - size]
        return hosts


@dataclass(slots=True, eq=False)
class _Place:
    """A host in the fast lane: its probes in flight, and how many in a row were not sent."""

    serials: list[int] = field(default_factory=list)
    unsent: int = 0


class FastLane:
    """Hosts that are changing state: probed at once, and then every `fastinter_s`, until they
    are judged."""

    def __init__(self, judge: Judge, fastinter_s: float, fall: int) -> None:
        self._judge = judge
        self._fastinter_s = fastinter_s
        self._fall = fall
        self._places: dict[str, _Place] = {}
        self._queue: deque[tuple[float, str, _Place]] = deque()
        self._credit = float(FAST_BURST)
        self._credited_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._places)

    def __contains__(self, host: str) -> bool:
        return host in self._places

    def keep(self, wanted: Collection[str]) -> None:
        for host in self._places.keys() - set(wanted):
            del self._places[host]

    def enter(self, host: str) -> None:
        """Probe the host at once."""
        place = self._places[host] = _Place()
        self._queue.appendleft((-NEVER_S, host, place))

    def due_s(self, now_s: float) -> float:
        if not self._queue:
            return NEVER_S
        due_s = self._queue[0][0]
        if due_s > now_s:
            return due_s
        return now_s if self._credit >= 1 else now_s + TICK_S / 2

    def take(self, now_s: float, limit: int) -> list[str]:
        if not self._queue:
            return []
        earned = (now_s - self._credited_s) * FAST_PER_S
        self._credit = min(FAST_BURST, self._credit + earned)
        self._credited_s = now_s
        limit = min(limit, int(self._credit))
        hosts: list[str] = []
        while self._queue and len(hosts) < limit and self._queue[0][0] <= now_s + EARLY_S:
            _, host, place = self._queue.popleft()
            if self._places.get(host) is not place:
                continue  # it left the lane
            if not self._judge.is_changing(host):
                del self._places[host]
                continue
            self._queue.append((now_s + self._fastinter_s, host, place))
            # More probes in flight than misses left would add no information.
            if len(place.serials) < self._judge.misses_left(host):
                hosts.append(host)
        self._credit -= len(hosts)
        return hosts

    def sent(self, host: str, serial: int) -> None:
        """A probe to any host is in flight."""
        place = self._places.get(host)
        if place is not None:
            place.serials.append(serial)

    def forget_probes(self) -> None:
        for place in self._places.values():
            place.serials.clear()

    def on_answer(self, host: str, serial: int) -> list[int]:
        """The host's earlier probes in flight, which no longer need an answer."""
        place = self._places.get(host)
        if place is None:
            return []
        place.unsent = 0
        earlier = [older for older in place.serials if older < serial]
        place.serials = [later for later in place.serials if later > serial]
        if not self._judge.is_changing(host):
            del self._places[host]
        return earlier

    def on_miss(self, host: str, serial: int) -> None:
        place = self._places.get(host)
        if place is not None and serial in place.serials:
            place.serials.remove(serial)
        if not self._judge.is_changing(host):
            self._places.pop(host, None)
        elif place is None:
            self.enter(host)

    def on_unsent(self, host: str, serial: int) -> None:
        place = self._places.get(host)
        if place is None:
            return
        if serial in place.serials:
            place.serials.remove(serial)
        place.unsent += 1
        if place.unsent >= self._fall:
            del self._places[host]  # probing faster is pointless while nothing can be sent
