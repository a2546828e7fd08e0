"""Hosts: listeners on loopback addresses that refuse or swallow connections when dead."""

import contextlib
import errno
import socket
from collections.abc import Sequence

TRIES = 20
CLIENTS = 4
"""As many unanswered connections as surely fill a queue for one."""


class Hosts:
    """One port for all. Owned by one thread."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._sockets: dict[str, list[socket.socket]] = {}
        for _ in range(TRIES):
            with socket.create_server((addresses[0], 0)) as probe:
                self.port = int(probe.getsockname()[1])
            try:
                for address in addresses:
                    self.revive(address)
            except OSError as error:
                self.close()
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return
        raise OSError(errno.EADDRINUSE, "no port is free at all hosts")

    def refuse(self, address: str) -> None:
        """Die: connections are refused."""
        for each in self._sockets.pop(address, ()):
            each.close()

    def silence(self, address: str) -> None:
        """Die: connections get no answer, as the listener's queue is full."""
        self.refuse(address)
        sockets = [socket.create_server((address, self.port), backlog=0)]
        for _ in range(CLIENTS):
            client = socket.socket()
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect((address, self.port))
            sockets.append(client)
        self._sockets[address] = sockets

    def revive(self, address: str) -> None:
        self.refuse(address)
        self._sockets[address] = [socket.create_server((address, self.port), backlog=128)]

    def close(self) -> None:
        for address in list(self._sockets):
            self.refuse(address)
