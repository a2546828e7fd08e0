"""The worker's side of the command server (see `command_server`): orders and results."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Self

from vpcrouter.errors import PluginError
from vpcrouter.linux.command_server import MAX_MESSAGE, Ended, Order

CLOSE_S = 3.0
PASSED = ("PATH", "HOME", "LANG")
"""The environment variables passed to commands: the others may contain secrets."""
SERVERS_OWN = ("PYTHON", "LD_LIBRARY_PATH")
"""Begin the names of what the command server needs besides, as another program of this Python."""

SERVER = "vpcrouter.linux.command_server"


class CommandClient:
    """Runs commands without waiting for them; a context manager that ends them on exit.

    Owned by the worker's main thread.
    """

    def __enter__(self) -> Self:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link.setblocking(False)
        with theirs:
            self._keeper = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-m", SERVER, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_passed(os.environ) | _servers_own(os.environ),
            )
        self._keeper_fd = os.pidfd_open(self._keeper.pid)
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()
        try:
            self._keeper.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        os.close(self._keeper_fd)

    def filenos(self) -> tuple[int, int]:
        """Readable when `ended` has something to return."""
        return self._link.fileno(), self._keeper_fd

    def start(self, order: Order) -> str:
        """Run a command; the reason if that is not possible now, else an empty string."""
        try:
            self._link.send(order.encode())
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def ended(self) -> list[Ended]:
        """Commands that ended since the last call. Raises PluginError if the server has exited."""
        found: list[Ended] = []
        try:
            while data := self._link.recv(MAX_MESSAGE):
                found.append(Ended.decode(data))
        except BlockingIOError:
            if self._keeper.poll() is None:
                return found
        raise PluginError("the command server has exited")


def environment(source: Mapping[str, str], host: str) -> dict[str, str]:
    """The environment of a command that checks `host`."""
    return _passed(source) | {"VPCROUTER_HOST": host}


def _passed(source: Mapping[str, str]) -> dict[str, str]:
    return {name: source[name] for name in PASSED if name in source}


def _servers_own(source: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in source.items() if name.startswith(SERVERS_OWN)}
