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
"""So long a new generation waits for what the last one knew, where it has nothing itself."""

log = logs.get(__name__)


class Worker(ABC):
    """What runs in a worker process."""

    capabilities: ClassVar[frozenset[str]] = frozenset()
    """Those of the daemon's capabilities(7) that it needs, as CAP_NET_RAW; it loses all others
    before it is made."""
    runs_commands: ClassVar[bool] = False
    """Whether it runs programs of the user's, which may get rights of their own (sudo)."""

    def __init__(self, values: Values) -> None:
        """Keep what is needed of `values`; open nothing yet."""
        self.values = values

    @abstractmethod
    def run(self, mailbox: WorkerMailbox) -> None:
        """Work until `mailbox.wait` raises StopWorker.

        A ConfigError raised here ends the daemon: no restart could mend it.
        """

    def get_info(self) -> Mapping[str, Any]:
        """What the API shows of this worker; no secrets."""
        return {}


class Plugin(Worker):
    """A worker that users choose by name and give options to."""

    name: ClassVar[str]
    version: ClassVar[str]

    @abstractmethod
    def run(self, mailbox: Mailbox) -> None: ...

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        """The plugin's options; their names begin with the plugin's to stay unique."""
        return ()

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        """A sentence for each thing wrong with `values` that no single option shows."""
        return ()

    def get_info(self) -> Mapping[str, Any]:
        return {"name": self.name, "version": self.version, "params": self.shown_params()}

    def shown_params(self) -> Mapping[str, Any]:
        """The plugin's options as others may see them."""
        return {
            option.name: shown(self.values[option.name], option.is_secret)
            for option in self.add_arguments()
        }


class Watcher(Plugin):
    """Delivers route specs: the mode."""

    origin: str = ""
    """Where the specs come from, for people; the plugin's name where it is not set."""

    @abstractmethod
    def watch(self, mailbox: Mailbox) -> Iterator[Document | SpecError | None]:
        """Yield each wanted state whole, as JSON text or a mapping CIDR → hosts.

        Yield a SpecError where there is no readable one. Pass the time in `mailbox.wait`.
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
                if spec is not None and not is_saved:  # it may be the last moment to do it
                    is_saved = self._save(store, spec)
                continue
            mailbox.post(SpecReport(accepted))
            if accepted != spec or not is_saved:
                spec = accepted
                is_saved = self._save(store, spec)

    def _predecessors(self, mailbox: Mailbox, patience_s: float = 0.0) -> RouteSpec | None:
        """The spec of the generation before, which the disk may not have.

        A large one is longer under way than this worker is in starting.
        """
        deadline_s = time.monotonic() + patience_s
        while True:
            mailbox.wait(deadline_s - time.monotonic())
            report = mailbox.take(SpecReport)
            if report is not None or time.monotonic() >= deadline_s:
                return report.spec if report else None

    def store(self) -> SpecStore:
        """Where the last accepted spec of these very settings is kept."""
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
    """Whether it asks the hosts themselves, so that it can be cut off from them."""

    @classmethod
    def interval_s(cls, values: Values) -> float:
        """How often a host is judged; ten times that without a failure makes it healthy again."""
        return 2.0

    @classmethod
    def detection_s(cls, values: Values) -> float | None:
        """The longest time from a host's silent death to its being called failed; None where it
        is others who find out."""
        return None

    def get_info(self) -> Mapping[str, Any]:
        worst_s = self.detection_s(self.values)
        shown = {} if worst_s is None else {"worst_case_detection_s": round(worst_s, 3)}
        return {**super().get_info(), **shown}

    def do_health_checks(self, hosts: Sequence[str]) -> tuple[Iterable[str], ...]:
        """Check every host once; return those failed, those questionable, and, where it gives a
        third collection, those of which it knows nothing.

        What is raised here counts as not knowing.
        """
        raise NotImplementedError

    def run(self, mailbox: Mailbox) -> None:
        """Check all hosts every `interval_s`; a monitor with its own timing overrides it."""
        checks = CheckRounds(
            self.interval_s(self.values),
            self.values["hold_s"],
            self.do_health_checks,
            self.values["isolation_share"] if self.probes else None,
        )
        MonitorLoop(self.name, checks).run(mailbox)
