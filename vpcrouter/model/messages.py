"""What workers and supervisor tell each other: whole states, of which the newest counts.

`readers` says which roles the supervisor relays a message to. Every message may be lost,
repeated or overtaken at the cost of one cycle and no correctness.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from vpcrouter.model.spec import RouteSpec

RECONCILER = "reconciler"
API = "api"
CONTROL = "control"
SETTINGS = "settings"
WATCHER = "watcher"
MONITOR = "monitor"


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages."""

    readers: ClassVar[frozenset[str]] = frozenset()
    for_successor: ClassVar[bool] = False
    """Whether the next generation of the worker that sent it is given it too."""


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    """The work loop turns; the first one of a generation also says what the worker is."""

    info: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SpecReport(Message):
    """What the watcher has: the last good route spec, and what is wrong with a newer one."""

    readers = frozenset({RECONCILER, API})
    for_successor = True
    spec: RouteSpec | None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostList(Message):
    """The hosts to check: all of the route spec in force."""

    readers = frozenset({MONITOR})
    hosts: tuple[str, ...]


class Hosts(frozenset[str]):
    """Hosts that are told of again and again, by thousands: only the first time costs much.

    Who sends them keeps their written form, and who reads them the set, one for all senders.
    """

    @cached_property
    def text(self) -> str:
        return " ".join(sorted(self))

    @property
    def shared(self) -> "Hosts":
        """The very set that whoever reads of these hosts gets."""
        return hosts_of(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return hosts_of, (self.text,)


@lru_cache(maxsize=8)
def hosts_of(text: str) -> Hosts:
    """What `Hosts.text` stands for."""
    return Hosts(text.split())


@dataclass(frozen=True, slots=True)
class HealthReport(Message):
    """One monitor's judgement. A host in none of the sets is unknown.

    `changed_s` is the monotonic time of each failed host's judgement. `isolated` says why nothing
    can be judged from here, `doubt` why its answers are not to be believed; `probes` is False for
    a monitor that passes on somebody else's word. `judged` has all hosts, where that is known:
    then what is sent are the few not healthy.
    """

    readers = frozenset({RECONCILER, API})
    for_successor = True
    monitor: str
    healthy: frozenset[str] = frozenset()
    questionable: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    changed_s: Mapping[str, float] = field(default_factory=dict)
    isolated: str = ""
    probes: bool = True
    judged: Hosts = field(default=Hosts(), compare=False, repr=False)
    doubt: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        others = self.judged - self.healthy
        is_short = len(others) < len(self.healthy) == len(self.judged) - len(others)
        if not is_short:
            return HealthReport, tuple(getattr(self, each.name) for each in fields(self))
        return _all_healthy_but, (others, replace(self, healthy=frozenset()))

    def of_one_away(self) -> "HealthReport":
        """What still counts once the monitor is gone: nothing is known to be healthy."""
        nobody: frozenset[str] = frozenset()
        return replace(self, healthy=nobody, questionable=nobody)


def _all_healthy_but(others: frozenset[str], report: HealthReport) -> HealthReport:
    return replace(report, healthy=report.judged - others)


@dataclass(frozen=True, slots=True)
class Flaps:
    """How often a host has failed of late, in monotonic seconds.

    It takes no routes until `until_s` if there are others; `level` is how many times in a row
    it came to that.
    """

    failed_s: tuple[float, ...] = ()
    level: int = 0
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DampingReport(Message):
    """What the reconciler knows of the hosts that have failed of late."""

    readers = frozenset({API})
    for_successor = True
    flaps: Mapping[str, Flaps] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RoutingReport(Message):
    """Where the reconciler stands; plain values, as the API shows them.

    `sentence` is what the last cycle decided; `trouble` why EC2 can't be read or written;
    `cycles` counts completed cycles, 0 until the first full view was brought to the spec;
    `pending` the changes still to be made, which take `expected_s` at most.
    """

    readers = frozenset({API})
    sentence: str
    cycles: int
    trouble: str | None = None
    problems: tuple[str, ...] = ()
    recent: tuple[Mapping[str, Any], ...] = ()
    pending: int = 0
    expected_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ViewReport(Message):
    """The spec in force and what EC2 says, as `describe.body` writes them.

    It can be large: whoever passes it on need not look inside.
    """

    readers = frozenset({API})
    body: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker as the supervisor sees it; `state` is one of Supervisor's process states."""

    name: str
    role: str
    state: str
    pid: int | None
    generation: int
    started_at: float
    info: Mapping[str, Any]
    last_exit: str = ""
    exit_status: int = 0
    ended_at: float = 0.0
    spawn_error: str = ""


@dataclass(frozen=True, slots=True)
class Orders(Message):
    """All that operators have ordered since the daemon started; `number` grows with each order.

    `stopped` are the workers that are to stay stopped, `starts` says how often each was told
    to start, `signals` how often each was signalled, and with which number at last, and
    `reloads` how often the settings were to be read anew.
    """

    number: int = 0
    stopped: frozenset[str] = frozenset()
    starts: Mapping[str, int] = field(default_factory=dict)
    signals: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    shutdown: bool = False
    reloads: int = 0

    def to_reload(self) -> "Orders":
        return replace(self, number=self.number + 1, reloads=self.reloads + 1)

    def to_start(self, name: str) -> "Orders":
        starts = {**self.starts, name: self.starts.get(name, 0) + 1}
        return replace(self, number=self.number + 1, stopped=self.stopped - {name}, starts=starts)

    def to_stop(self, name: str) -> "Orders":
        return replace(self, number=self.number + 1, stopped=self.stopped | {name})

    def to_signal(self, name: str, number: int) -> "Orders":
        count = self.signals.get(name, (0, 0))[0] + 1
        signals = {**self.signals, name: (count, number)}
        return replace(self, number=self.number + 1, signals=signals)

    def to_shut_down(self) -> "Orders":
        return replace(self, number=self.number + 1, shutdown=True)


@dataclass(frozen=True, slots=True)
class WorkersReport(Message):
    """All workers, from the supervisor itself, and the orders that it has carried out.

    `reloads` counts the reloads that have ended, `reload_faults` says why the last one failed.
    """

    readers = frozenset({API, CONTROL})
    workers: tuple[WorkerStatus, ...]
    orders: Orders = field(default_factory=Orders)
    reloads: int = 0
    reload_faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingsReport(Message):
    """The settings read anew (a `config.Settings`), or what is wrong with them."""

    settings: Any
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message under way: which life of which worker sent it, and when (monotonic seconds).

    `pickled` is it as it came, so that passing it on costs no second pickling.
    """

    worker: str
    generation: int
    sent_s: float
    message: Message
    pickled: bytes = field(default=b"", compare=False, repr=False)
