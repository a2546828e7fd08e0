"""Monitor `tcp`: a host is healthy if it accepts TCP connections to a port."""

import socket
import time
from collections.abc import Callable, Iterable
from typing import ClassVar

from vpcrouter.monitoring.connect import SocketProber
from vpcrouter.monitoring.refusal import stands
from vpcrouter.monitoring.socket_pool import ReusedSockets
from vpcrouter.options.kinds import Option, whole
from vpcrouter.plugins.probing_monitor import ProbingMonitor


class ConnectProber(SocketProber[socket.socket]):
    """A Prober for which an established connection is the answer.

    The last handshake packet is delayed where the kernel supports it, so the server's application
    does not see the connection.
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


class Tcp(ProbingMonitor):
    """Needs no privileges."""

    name: ClassVar[str] = "tcp"
    version: ClassVar[str] = "1"
    prefix: ClassVar[str] = "tcp_check"

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        port = whole(1, 65_535, "PORT")
        yield Option(f"{cls.prefix}_port", port, 22, "TCP port to connect to")
        yield from super().add_arguments()

    def make_prober(self) -> ConnectProber:
        return ConnectProber(self.values[f"{self.prefix}_port"])
