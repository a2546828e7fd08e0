"""A network of hosts whose time is played, never slept."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence

from vpcrouter.ipc.mailbox import StopWorker
from vpcrouter.model.messages import HealthReport, HostList, Message
from vpcrouter.monitoring.monitor_loop import MonitorLoop
from vpcrouter.monitoring.prober import Uplink
from vpcrouter.monitoring.schedule import Outcome
from vpcrouter.monitoring.scheduled_probes import ScheduledProbes
from vpcrouter.monitoring.timing import Timing

TIMING = Timing(interval_s=1.0, timeout_s=0.4, fastinter_s=0.1, hold_s=10.0)
RTT_S = 0.001
Alive = Callable[[str, float], bool | None]


class PlayedNetwork:
    """A Prober on it, and the clock and mailbox of a MonitorLoop.

    `alive(host, now_s)` says what becomes of a probe: answered, lost, or (None) not sent.
    """

    def __init__(self, alive: Alive, timing: Timing = TIMING, uplink: Uplink | None = None) -> None:
        self.now_s = 1000.0
        self.began_s = self.now_s
        self.alive = alive
        self.trouble = "no route"
        self.answers = 0
        self.invented = 0
        """So many answers the kernel has never seen."""
        self.reports: list[tuple[float, HealthReport]] = []
        self.probes: list[tuple[float, str]] = []
        self.expired: list[int] = []
        self.forgotten: list[int] = []
        self.mail: dict[type[Message], Message] = {}
        self.watched: set[int] = set()
        self.stall_s = 0.0
        self.until_s = 0.0
        self._coming: list[Outcome] = []
        self.probing = ScheduledProbes(timing, self, uplink, clock=lambda: self.now_s)
        self.loop = MonitorLoop("icmpecho", self.probing, clock=lambda: self.now_s)

    # A Prober

    def fileno(self) -> int:
        return 99

    def set_hosts(self, hosts: Sequence[str]) -> None:
        self.hosts = hosts

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        unsent = []
        for index, host in enumerate(hosts):
            self.probes.append((self.now_s - self.began_s, host))
            fate = self.alive(host, self.now_s - self.began_s)
            if fate is None:
                unsent.append(index)
            elif fate:
                self._coming.append((first + index, True, self.now_s + RTT_S))
        return unsent

    def collect(self) -> Sequence[Outcome] | None:
        here = [outcome for outcome in self._coming if outcome[2] <= self.now_s]
        self._coming = [outcome for outcome in self._coming if outcome[2] > self.now_s]
        self.answers += len(here)
        return here or None

    def counted(self) -> int:
        waiting = sum(at_s <= self.now_s for _, _, at_s in self._coming)
        return self.answers + waiting - self.invented

    def expire(self, probes: Iterable[tuple[int, str]]) -> None:
        self.expired += [serial for serial, _ in probes]

    def revive(self, hosts: Iterable[str]) -> None:
        pass

    def forget(self, serials: Iterable[int]) -> None:
        self.forgotten += serials

    def close(self) -> None:
        self.closed = True

    # A Mailbox

    def watch(self, fd: int) -> None:
        self.watched.add(fd)

    def unwatch(self, fd: int) -> None:
        self.watched.discard(fd)

    def take(self, kind: type[Message]) -> Message | None:
        return self.mail.pop(kind, None)

    def post(self, message: HealthReport) -> None:
        self.reports.append((self.now_s - self.began_s, message))

    def wait(self, timeout_s: float) -> set[int]:
        if self.mail:
            return set()
        wake_s = self.now_s + timeout_s
        if self.watched and self._coming:
            wake_s = min(wake_s, *(outcome[2] for outcome in self._coming))
        if wake_s > self.until_s:
            self.now_s = self.until_s
            raise StopWorker
        self.now_s = wake_s + self.stall_s
        self.stall_s = 0.0
        return set()

    # The test's side

    def run(self, seconds: float) -> None:
        self.until_s = self.now_s + seconds
        self.probing._lateness.woken_s = self.now_s  # it was waiting when the last run ended
        with contextlib.suppress(StopWorker):
            while True:
                self.loop.turn(self)  # type: ignore[arg-type]

    def use(self, *hosts: str) -> None:
        self.mail[HostList] = HostList(hosts)

    def state(self, host: str) -> str:
        last = self.reports[-1][1]
        for name in ("healthy", "questionable", "failed"):
            if host in getattr(last, name):
                return name
        return "unknown"

    def ever_failed(self) -> set[str]:
        return {host for _, report in self.reports for host in report.failed}

    def failed_at_s(self, host: str) -> float:
        return next(at_s for at_s, report in self.reports if host in report.failed)


def all_alive(_host: str, _now_s: float) -> bool:
    return True


def names(count: int) -> tuple[str, ...]:
    return tuple(f"10.0.{i >> 8}.{i & 255}" for i in range(count))


class SlowNetwork(PlayedNetwork):
    """To send a probe takes `cost_s`."""

    cost_s = 40e-6

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        self.now_s += self.cost_s * len(hosts)
        return super().send(hosts, first)
