"""The contract of watchers and monitors."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from vpcrouter.errors import SpecError
from vpcrouter.ipc.mailbox import Mailbox, WorkerMailbox
from vpcrouter.logs import setup as logs
from vpcrouter.logs.redact import shown
from vpcrouter.model.messages import SpecReport
from vpcrouter.model.spec import Document, RouteSpec, parse_spec
from vpcrouter.monitoring.check_rounds import CheckRounds
from vpcrouter.monitoring.monitor_loop import MonitorLoop
from vpcrouter.options.kinds import Option
from vpcrouter.options.values import Values
from vpcrouter.plugins.spec_store import SpecStore

PREDECESSOR_S = 2.0
"""How long a new generation without a spec waits for the previous generation's."""

log = logs.get(__name__)


class Worker(ABC):
    """What runs in a worker process."""

    capabilities: ClassVar[frozenset[str]] = frozenset()
    """The capabilities(7) it needs, such as CAP_NET_RAW; all others are dropped before the
    object is created."""
    runs_commands: ClassVar[bool] = False
    """Whether it runs the user's programs, which may gain privileges of their own (sudo)."""

    def __init__(self, values: Values) -> None:
        """Store what is needed of `values`; do not open anything yet."""
        self.values = values

    @abstractmethod
    def run(self, mailbox: WorkerMailbox) -> None:
        """Work until `mailbox.wait` raises StopWorker.

        A ConfigError raised here ends the daemon, because a restart would not help.
        """

    def get_info(self) -> Mapping[str, Any]:
        """What the API shows about this worker; no secrets."""
        return {}


class Plugin(Worker):
    """A worker that users select by name and configure by options."""

    name: ClassVar[str]
    version: ClassVar[str]

    @abstractmethod
    def run(self, mailbox: Mailbox) -> None: ...

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        """The plugin's options; their names start with the plugin's name to be unique."""
        return ()

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        """A sentence for each fault in `values` that checking single options does not find."""
        return ()

    def get_info(self) -> Mapping[str, Any]:
        return {"name": self.name, "version": self.version, "params": self.shown_params()}

    def shown_params(self) -> Mapping[str, Any]:
        """The plugin's options with secrets masked."""
        return {
            option.name: shown(self.values[option.name], option.is_secret)
            for option in self.add_arguments()
        }


class Watcher(Plugin):
    """Delivers route specs: the mode."""

    origin: str = ""
    """The source of the specs, for display; the plugin's name if not set."""

    @abstractmethod
    def watch(self, mailbox: Mailbox) -> Iterator[Document | SpecError | None]:
        """Yield each complete route spec, as JSON text or a mapping CIDR → hosts.

        Yield a SpecError if none can be read. Wait only in `mailbox.wait`.
        """

    def run(self, mailbox: Mailbox) -> None:
        store = self.store()
        spec = self._predecessors(mailbox)
        is_saved = False
        for document in self.watch(mailbox):
            if document is None:
                continue
            try:
                if isinstance(document, SpecError):
                    raise document
                accepted = parse_spec(document)
            except SpecError as error:
                if spec is None and mailbox.generation > 1:
                    spec = self._predecessors(mailbox, PREDECESSOR_S)
                spec = self._keep(spec, error, store)
                mailbox.post(SpecReport(spec, error.faults))
                if spec is not None and not is_saved:  # there may be no later chance
                    is_saved = self._save(store, spec)
                continue
            mailbox.post(SpecReport(accepted))
            if accepted != spec or not is_saved:
                spec = accepted
                is_saved = self._save(store, spec)

    def _predecessors(self, mailbox: Mailbox, patience_s: float = 0.0) -> RouteSpec | None:
        """The spec of the previous generation, which may not be on disk.

        A large spec may take longer to arrive than this worker takes to start.
        """
        deadline_s = time.monotonic() + patience_s
        while True:
            mailbox.wait(deadline_s - time.monotonic())
            report = mailbox.take(SpecReport)
            if report is not None or time.monotonic() >= deadline_s:
                return report.spec if report else None

    def store(self) -> SpecStore:
        """Where the last accepted spec for these settings is saved."""
        params = dict(self.shown_params())
        identity = {"vpc": self.values["vpc"], "mode": self.name, "params": params}
        return SpecStore(self.values["state_dir"], identity)

    def _keep(self, spec: RouteSpec | None, error: SpecError, store: SpecStore) -> RouteSpec | None:
        """The spec that stays in force when a new one is refused."""
        for fault in error.faults:
            log.error("route spec refused", source=self.origin or self.name, fault=fault)
        if spec is None and (spec := store.load()) is not None:
            log.warning("the last accepted route spec is used", file=str(store.path))
        return spec

    def _save(self, store: SpecStore, spec: RouteSpec) -> bool:
        try:
            store.save(spec)
        except OSError as error:
            log.warning(
                "route spec in force but not saved; a restart would lose it",
                file=str(store.path),
                reason=error.strerror,
            )
            return False
        return True


class Monitor(Plugin):
    """Judges hosts."""

    probes: ClassVar[bool] = True
    """Whether it probes the hosts itself, so that it can be isolated from them."""

    @classmethod
    def interval_s(cls, values: Values) -> float:
        """How often hosts are judged; failed ones are healthy after ten intervals without miss."""
        return 2.0

    @classmethod
    def detection_s(cls, values: Values) -> float | None:
        """The longest time from a host's failure to its detection; None for a monitor that relies
        on another system."""
        return None

    def get_info(self) -> Mapping[str, Any]:
        worst_s = self.detection_s(self.values)
        shown = {} if worst_s is None else {"worst_case_detection_s": round(worst_s, 3)}
        return {**super().get_info(), **shown}

    def do_health_checks(self, hosts: Sequence[str]) -> tuple[Iterable[str], ...]:
        """Check every host once; return the failed hosts, the questionable ones and, optionally,
        the unknown ones.

        If it raises, the hosts are unknown.
        """
        raise NotImplementedError

    def run(self, mailbox: Mailbox) -> None:
        """Check all hosts every `interval_s`; a monitor with its own timing overrides this."""
        checks = CheckRounds(
            self.interval_s(self.values),
            self.values["hold_s"],
            self.do_health_checks,
            self.values["isolation_share"] if self.probes else None,
        )
        MonitorLoop(self.name, checks).run(mailbox)
