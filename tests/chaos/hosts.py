"""Hosts: listeners that refuse or swallow connections when dead, or can't be reached at all."""

import contextlib
import errno
import socket
from collections.abc import Sequence

from tests.chaos.paths import Paths

TRIES = 20
CLIENTS = 4
"""As many unanswered connections as surely fill a queue for one."""
LISTENER_FAULTS = ("refuse", "swallow")
"""What needs no network of our own."""


class Hosts:
    """One port for all. Owned by one thread.

    Without `paths` to them the hosts are loopback addresses, and know LISTENER_FAULTS only.
    """

    def __init__(self, addresses: Sequence[str], paths: Paths | None = None) -> None:
        self._paths = paths
        self._sockets: dict[str, list[socket.socket]] = {}
        self._faults: dict[str, str] = {}
        for _ in range(TRIES):
            with self._there(), socket.create_server((addresses[0], 0)) as probe:
                self.port = int(probe.getsockname()[1])
            try:
                for address in addresses:
                    self._listen(address)
            except OSError as error:
                self.close()
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return
        raise OSError(errno.EADDRINUSE, "no port is free at all hosts")

    def _there(self) -> contextlib.AbstractContextManager[None]:
        return self._paths.hosts.inside() if self._paths else contextlib.nullcontext()

    def can(self, how: str) -> bool:
        """Whether this fault can be made here."""
        return self._paths is not None or how in LISTENER_FAULTS

    def is_dead(self, address: str) -> bool:
        return address in self._faults

    def fail(self, address: str, how: str, *, of_router: bool = False) -> None:
        """Die, or die otherwise, by one of LISTENER_FAULTS or of what `Paths.fail` knows.

        What is dead is not alive in between.
        """
        if how in LISTENER_FAULTS:
            (self._refuse if how == "refuse" else self._swallow)(address)
            if self._paths:
                self._paths.mend(address)
        elif self._paths:
            self._paths.fail(address, how, of_router=of_router)
            if self._faults.get(address) in LISTENER_FAULTS:
                self._listen(address)
        self._faults[address] = how

    def stray(self, address: str, kind: str, limit_s: float, *, of_router: bool) -> int:
        """See `Paths.stray`."""
        assert self._paths, "needs a network of our own"
        return self._paths.stray(address, kind, limit_s, of_router=of_router)

    def revive(self, address: str) -> None:
        if self._faults.pop(address, "") in LISTENER_FAULTS:
            self._listen(address)
        elif self._paths:
            self._paths.mend(address)

    def close(self) -> None:
        for address in list(self._sockets):
            self._refuse(address)

    def _refuse(self, address: str) -> None:
        for each in self._sockets.pop(address, ()):
            each.close()

    def _swallow(self, address: str) -> None:
        """Connections get no answer, as the listener's queue is full."""
        self._refuse(address)
        with self._there():
            sockets = [socket.create_server((address, self.port), backlog=0)]
            for _ in range(CLIENTS):
                client = socket.socket()
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect((address, self.port))
                sockets.append(client)
        self._sockets[address] = sockets

    def _listen(self, address: str) -> None:
        self._refuse(address)
        with self._there():
            self._sockets[address] = [socket.create_server((address, self.port), backlog=128)]
