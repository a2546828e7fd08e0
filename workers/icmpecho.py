"""Monitor `icmpecho`: a host is healthy if it answers ICMP echo requests."""

from typing import ClassVar

from vpcrouter.monitoring.icmp import EchoProber
from vpcrouter.plugins.probing_monitor import ProbingMonitor


class IcmpEcho(ProbingMonitor):
    """Needs CAP_NET_RAW until its sockets are open; CAP_NET_ADMIN makes their buffers larger."""

    name: ClassVar[str] = "icmpecho"
    version: ClassVar[str] = "1"
    prefix: ClassVar[str] = "icmp_check"
    capabilities: ClassVar[frozenset[str]] = ProbingMonitor.capabilities | {
        "CAP_NET_RAW",
        "CAP_NET_ADMIN",
    }

    def make_prober(self) -> EchoProber:
        return EchoProber()
