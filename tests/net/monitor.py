"""A monitor's real worker process, in a network namespace if one is named."""

import contextlib
import os
import resource
import selectors
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any, Self

from pyroute2 import netns

from vpcrouter.ipc.channel import Channel
from vpcrouter.model.messages import MONITOR, Envelope, HealthReport, HostList, Message
from vpcrouter.options.general import general_options
from vpcrouter.options.groups import ProcessSettings
from vpcrouter.plugins.contract import Monitor
from vpcrouter.plugins.registry import MONITORS, Registry
from vpcrouter.supervisor.worker import Start, WorkerSpec, main

STOP_S = 5.0


def enter(
    namespace: str | None,
    uid: int | None,
    descriptors: int | None,
    start: Start,
    inbox: Channel,
    outbox: Channel,
) -> None:
    """The process: go where it shall be, be who it shall be, with what it may have; then work."""
    if descriptors is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    if namespace is not None:
        netns.setns(namespace)
    if uid is not None:
        start.spec.ref.load()
        os.setuid(uid)
    main(start, inbox.consumer(), outbox.producer())


class MonitorProcess:
    """What the supervisor is to a monitor. Keeps every report with the time it came."""

    def __init__(
        self,
        name: str,
        namespace: str | None = None,
        uid: int | None = None,
        isolation_share: float = 1.0,
        descriptors: int | None = None,
        hold_rounds: int = 10,
        **options: Any,
    ) -> None:
        ref = Registry.of(MONITORS).find(name)
        plugin = ref.load()
        assert issubclass(plugin, Monitor)
        own = {option.name: option.default for option in plugin.add_arguments()}
        assert options.keys() <= own.keys()
        self._state = tempfile.TemporaryDirectory()
        general = {option.name: option.default for option in general_options()}
        ours = {"state_dir": self._state.name, "isolation_share": isolation_share}
        values = general | own | options | {"verbose": True} | ours
        assert not list(plugin.check_arguments(values))
        values["hold_s"] = hold_rounds * plugin.interval_s(values)
        self.reports: list[tuple[float, HealthReport]] = []
        inbox, outbox = Channel(), Channel()
        spec = WorkerSpec(name, MONITOR, ref, ProcessSettings.of(values), values)
        start = Start(spec, 1, os.getpid())
        self.process: BaseProcess = SpawnProcess(
            target=enter, args=(namespace, uid, descriptors, start, inbox, outbox)
        )
        self.process.start()
        self._to = inbox.producer()
        self._from = outbox.consumer()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._from, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGCONT)
            self.process.terminate()
        self.process.join(STOP_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join(STOP_S)
        self.exitcode = self.process.exitcode
        self._selector.close()
        self._to.close()
        self._from._reader.close()
        self.process.close()
        self._state.cleanup()

    def signal(self, number: signal.Signals) -> None:
        if self.process.pid is not None and self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def tell(self, message: Message, worker: str = "reconciler") -> None:
        self._to.put(Envelope(worker, 1, time.monotonic(), message))

    def use(self, *hosts: str) -> None:
        self.tell(HostList(hosts))

    @property
    def last(self) -> HealthReport:
        return self.reports[-1][1] if self.reports else HealthReport("none")

    def watch(
        self, seconds: float, until: Callable[[HealthReport], bool] = lambda _report: False
    ) -> bool:
        """Read reports for so long, or until one of them, or the last one, is as wanted."""
        deadline_s = time.monotonic() + seconds
        while not until(self.last):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or self._from.ended:
                return False
            if self._selector.select(left_s):
                self._read(until)
        return True

    def _read(self, until: Callable[[HealthReport], bool]) -> None:
        for envelope in self._from.get_all():
            if isinstance(envelope.message, HealthReport):
                self.reports.append((envelope.sent_s, envelope.message))
                if until(envelope.message):
                    return

    def expect(self, what: str, until: Callable[[HealthReport], bool], seconds: float) -> float:
        """Fail, naming `what`, unless such a report comes; when it was sent."""
        assert self.watch(seconds, until), f"not {what} within {seconds:g} s; last: {self.last}"
        return self.reports[-1][0] if self.reports else time.monotonic()

    def ever_failed(self) -> frozenset[str]:
        return frozenset[str]().union(*(report.failed for _, report in self.reports))

    def ever_unhealthy(self, hosts: frozenset[str]) -> frozenset[str]:
        """Which of `hosts` were not healthy at some time after all of them had been."""
        lost: frozenset[str] = frozenset()
        were_healthy = False
        for _, report in self.reports:
            were_healthy = were_healthy or hosts <= report.healthy
            if were_healthy:
                lost |= hosts - report.healthy
        assert were_healthy, "never all healthy"
        return lost
