"""The base of monitors that probe each host on its own schedule."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.monitoring.prober import Prober
from vpcrouter.monitoring.scheduled_probes import RIGHTS, run_probes
from vpcrouter.monitoring.timing import Timing, check_probe_options, probe_options
from vpcrouter.monitoring.uplink import NetlinkUplink
from vpcrouter.options.kinds import Option
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Monitor


class ProbingMonitor(Monitor):
    """A subclass defines the probe. CAP_SYS_NICE allows real-time priority."""

    capabilities: ClassVar[frozenset[str]] = RIGHTS
    prefix: ClassVar[str]
    """The prefix of its options' names."""

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        return probe_options(cls.prefix)

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        return check_probe_options(cls.prefix, values)

    @classmethod
    def interval_s(cls, values: Values) -> float:
        return float(values[f"{cls.prefix}_interval"])

    @classmethod
    def detection_s(cls, values: Values) -> float:
        return Timing.of(values, cls.prefix).worst_case_s

    @abstractmethod
    def make_prober(self) -> Prober:
        """Open everything that needs capabilities: they are dropped before probing."""

    def run(self, mailbox: Mailbox) -> None:
        prober = self.make_prober()
        timing = Timing.of(self.values, self.prefix)
        run_probes(self.name, timing, prober, NetlinkUplink.open(), mailbox)
