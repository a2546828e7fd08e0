"""Messages between workers and the supervisor: whole states, of which the newest counts.

`senders` names the roles whose messages of a kind the supervisor accepts, `readers` those that it
relays them to. A message that is lost, repeated or overtaken costs one cycle and never correctness.
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
ALL_ROLES = frozenset({RECONCILER, API, CONTROL, SETTINGS, WATCHER, MONITOR})


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages."""

    senders: ClassVar[frozenset[str]] = frozenset()
    """Empty for what the supervisor alone sends."""
    readers: ClassVar[frozenset[str]] = frozenset()
    for_successor: ClassVar[bool] = False
    """Whether the supervisor also passes it to the next generation of its sender."""


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    """The work loop is alive; the first one of a generation also carries the worker's info."""

    senders = ALL_ROLES
    info: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SpecReport(Message):
    """The watcher's last accepted route spec, and the faults of a newer one that was refused.

    The API sends it in mode http, in which there is no watcher.
    """

    senders = frozenset({WATCHER, API})
    readers = frozenset({RECONCILER, API})
    for_successor = True
    spec: RouteSpec | None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostList(Message):
    """The hosts to check: all of the route spec in force."""

    senders = frozenset({RECONCILER})
    readers = frozenset({MONITOR})
    hosts: tuple[str, ...]


class Hosts(frozenset[str]):
    """A set of hosts, possibly thousands, that is sent repeatedly at little cost.

    The sender caches the encoded text, the reader the set, one for all senders.
    """

    @cached_property
    def text(self) -> str:
        return " ".join(sorted(self))

    @property
    def shared(self) -> "Hosts":
        """The cached set that every reader of these hosts gets."""
        return hosts_of(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return hosts_of, (self.text,)

    def __setstate__(self, _state: object) -> None:
        """A pickle can otherwise set the attributes of an object that all readers share."""
        raise TypeError("hosts cannot be changed")


@lru_cache(maxsize=8)
def hosts_of(text: str) -> Hosts:
    """The inverse of `Hosts.text`."""
    return Hosts(str.split(text))


@dataclass(frozen=True, slots=True)
class HealthReport(Message):
    """One monitor's judgement. A host in none of the sets is unknown.

    `failed_since_at` is the monotonic time at which each failed host was judged failed.
    `isolated` is the reason why the monitor is isolated, `doubt` the reason why its answers are
    not trusted; `probes` is False for a monitor that reports another system's judgement.
    `judged` has all hosts, where known: only those that are not healthy are then sent.
    """

    senders = frozenset({MONITOR})
    readers = frozenset({RECONCILER, API})
    for_successor = True
    monitor: str
    healthy: frozenset[str] = frozenset()
    questionable: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    failed_since_at: Mapping[str, float] = field(default_factory=dict)
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

    def without_positive_verdicts(self) -> "HealthReport":
        """What remains valid once the monitor has exited: no host is known to be healthy."""
        nobody: frozenset[str] = frozenset()
        return replace(self, healthy=nobody, questionable=nobody)


def _all_healthy_but(others: frozenset[str], report: HealthReport) -> HealthReport:
    return replace(report, healthy=report.judged - others)


REBUILDERS = (hosts_of, _all_healthy_but)
"""The functions that the pickles of messages name."""


@dataclass(frozen=True, slots=True)
class Flaps:
    """A host's recent failures, in monotonic seconds.

    The host is damped until `until_s`; `level` counts how many times in a row it was damped.
    """

    failed_s: tuple[float, ...] = ()
    level: int = 0
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DampingReport(Message):
    """The hosts that failed recently, as the reconciler counts them."""

    senders = frozenset({RECONCILER})
    readers = frozenset({API})
    for_successor = True
    flaps: Mapping[str, Flaps] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RoutingReport(Message):
    """The state of the reconciler, in plain values as the API shows them.

    `sentence` is what the last cycle decided; `trouble` is why EC2 cannot be read or written;
    `cycles` counts completed cycles, 0 until the first full view was reconciled; `pending` is
    the number of changes still to be made, which take `expected_s` at most.
    """

    senders = frozenset({RECONCILER})
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
    """The spec in force and the view of EC2, as `describe.body` encodes them.

    It can be large, so it is relayed without being decoded.
    """

    senders = frozenset({RECONCILER})
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
    refused: int = 0
    """How many of its messages the supervisor has dropped."""


@dataclass(frozen=True, slots=True)
class Orders(Message):
    """All orders of operators since the daemon started; `number` grows with each order.

    `stopped` are the workers to keep stopped, `starts` counts the start orders of each worker,
    `signals` the signal orders of each with the last signal number, and `reloads` the reload
    orders.
    """

    senders = frozenset({CONTROL})
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
    """The supervisor's report of all workers and of the orders it has carried out.

    `reloads` counts finished reloads, `reload_faults` has the reasons why the last one failed.
    """

    readers = frozenset({API, CONTROL})
    workers: tuple[WorkerStatus, ...]
    orders: Orders = field(default_factory=Orders)
    reloads: int = 0
    reload_faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnReport(Message):
    """The supervisor's loop turns: the monotonic time of a turn, sent every second."""

    readers = frozenset({API})
    turned_at: float


@dataclass(frozen=True, slots=True)
class SettingsReport(Message):
    """The reloaded settings (a `config.Settings`), or their faults."""

    senders = frozenset({SETTINGS})
    settings: Any
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message in transit: which generation of which worker sent it, and when (monotonic seconds).

    `pickled` is the message as received, so that relaying it needs no second pickling.
    """

    worker: str
    generation: int
    sent_s: float
    message: Message
    pickled: bytes = field(default=b"", compare=False, repr=False)
