"""Hosts: each is a process that listens on a loopback address."""

import contextlib
import errno
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from examples.demo import children

PROGRAM = Path(__file__).with_name("host.py")
PREFERRED_PORT = 9122
TRIES = 20


class Host:
    """One host, which runs as long as its process."""

    def __init__(self, address: str, port: int, listener: socket.socket) -> None:
        self.address = address
        fd = listener.fileno()
        command: list[str | Path] = [
            sys.executable,
            "-I",
            "-S",
            PROGRAM,
            address,
            str(port),
            str(fd),
        ]
        self._process = children.start(command, pass_fds=[fd])

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> float:
        """Kill it; return the monotonic time just before."""
        at_s = time.monotonic()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        return at_s

    def end(self) -> None:
        children.end(self._process, grace_s=1.0)


@contextlib.contextmanager
def running(addresses: Sequence[str]) -> Iterator[tuple[int, dict[str, Host]]]:
    """Hosts at these addresses, all on the same port: the port, and the hosts by address.

    Raises OSError if no port is free at all addresses.
    """
    with ExitStack() as stack:
        port, listeners = _listen(addresses)
        hosts: dict[str, Host] = {}
        with contextlib.ExitStack() as closing:
            for listener in listeners:
                closing.enter_context(listener)
            for address, listener in zip(addresses, listeners, strict=True):
                hosts[address] = Host(address, port, listener)
                stack.callback(hosts[address].end)
        yield port, hosts


def _listen(addresses: Sequence[str]) -> tuple[int, list[socket.socket]]:
    """A listening socket at each address, on a port that is free at all of them."""
    for attempt in range(TRIES):
        port = 0 if attempt else PREFERRED_PORT
        listeners: list[socket.socket] = []
        try:
            for address in addresses:
                listeners.append(socket.create_server((address, port), backlog=64))
                port = listeners[0].getsockname()[1]
        except OSError as error:
            for listener in listeners:
                listener.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return port, listeners
    raise OSError(errno.EADDRINUSE, f"no port is free at all of {', '.join(addresses)}")
