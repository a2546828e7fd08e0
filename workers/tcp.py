"""The monitor `tcp`: a host is healthy that accepts TCP connections to a port."""

import socket
import time
from collections.abc import Callable, Iterable
from typing import ClassVar

from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.linux import priority
from vpcrouter.monitoring.connect import SocketProber
from vpcrouter.monitoring.probe_loop import ProbeLoop
from vpcrouter.monitoring.refusal import stands
from vpcrouter.monitoring.socket_pool import ReusedSockets
from vpcrouter.monitoring.timing import Timing, check_probe_options, probe_options
from vpcrouter.monitoring.uplink import Uplink
from vpcrouter.options.kinds import Option, whole
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Monitor

PREFIX = "tcp_check"


class ConnectProber(SocketProber[socket.socket]):
    """A Prober to which a connection that stands is the answer.

    The handshake's last packet is held back where the kernel can, so the server's application
    sees nothing of it.
    """

    def __init__(self, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._port = port
        self._sockets = ReusedSockets(self._epoll)

    def address(self, host: str) -> tuple[str, int]:
        return host, self._port

    def begun(self, host: str, sock: socket.socket) -> socket.socket:
        return sock

    def open_socket(self, is_over_6: bool) -> socket.socket:
        return self._sockets.take(is_over_6)

    def ended(self, pending: socket.socket, was_answered: bool) -> None:
        if was_answered:
            self._sockets.give_back(pending)
        else:
            pending.close()

    def close(self) -> None:
        super().close()
        self._sockets.close()

    def advance(self, pending: socket.socket, event: int) -> bool:
        return stands(pending, event)


class Tcp(Monitor):
    """Needs no rights; CAP_SYS_NICE makes its probes punctual."""

    name: ClassVar[str] = "tcp"
    version: ClassVar[str] = "1"
    capabilities: ClassVar[frozenset[str]] = frozenset({priority.RIGHT})

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        port = whole(1, 65_535, "PORT")
        yield Option(f"{PREFIX}_port", port, 22, "the TCP port that healthy hosts accept on")
        yield from probe_options(PREFIX)

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
        prober = ConnectProber(self.values[f"{PREFIX}_port"])
        timing = Timing.of(self.values, PREFIX)
        ProbeLoop(self.name, timing, prober, uplink=Uplink.open()).run(mailbox)
