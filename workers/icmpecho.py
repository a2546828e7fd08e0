"""The monitor `icmpecho`: a host is healthy that answers ICMP echo requests."""

from collections.abc import Iterable
from typing import ClassVar

from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.linux import priority
from vpcrouter.monitoring.icmp import EchoProber
from vpcrouter.monitoring.probe_loop import ProbeLoop
from vpcrouter.monitoring.timing import Timing, check_probe_options, probe_options
from vpcrouter.monitoring.uplink import Uplink
from vpcrouter.options.kinds import Option
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Monitor

PREFIX = "icmp_check"


class IcmpEcho(Monitor):
    """Needs CAP_NET_RAW until its sockets are open; CAP_NET_ADMIN makes their buffers larger,
    CAP_SYS_NICE its probes punctual.
    """

    name: ClassVar[str] = "icmpecho"
    version: ClassVar[str] = "1"
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"CAP_NET_RAW", "CAP_NET_ADMIN", priority.RIGHT}
    )

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        return probe_options(PREFIX)

    @classmethod
    def interval_s(cls, values: Values) -> float:
        return float(values[f"{PREFIX}_interval"])

    @classmethod
    def detection_s(cls, values: Values) -> float:
        return Timing.of(values, PREFIX).worst_case_s

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        return check_probe_options(PREFIX, values)

    def run(self, mailbox: Mailbox) -> None:
        prober = EchoProber()
        timing = Timing.of(self.values, PREFIX)
        ProbeLoop(self.name, timing, prober, uplink=Uplink.open()).run(mailbox)
