"""The monitor `tcp`: a host is healthy that accepts TCP connections to a port."""

import errno
import os
import resource
import select
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import ClassVar

from vpcrouter import log as logs
from vpcrouter.mailbox import Mailbox
from vpcrouter.options import Option, whole
from vpcrouter.plugins import Monitor, Values
from vpcrouter.probing import ProbeLoop
from vpcrouter.probing_options import Timing, check_probe_options, probe_options
from vpcrouter.probing_schedule import Outcome

PREFIX = "tcp_check"
SPARE_DESCRIPTORS = 64
MAX_PENDING = 50_000
READ_AT_ONCE = 256

REFUSALS = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH})
"""What a connection under way ends with when it is the host, or the way to it, that fails."""
REFUSALS_AT_ONCE = REFUSALS - {errno.EHOSTUNREACH}
"""The same from `connect` itself, where an unreachable host is our own routing's word."""
RESET_AT_CLOSE = struct.pack("ii", 1, 0)

log = logs.get(__name__)


class ConnectProber:
    """A Prober (see `vpcrouter.probing`) by non-blocking connects.

    A connection is reset as soon as it stands. The handshake's last packet is held back
    where the kernel can, so the server's application sees nothing of it.
    """

    def __init__(self, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.trouble = ""
        self._port = port
        self._clock = clock
        self._epoll = select.epoll()
        self._serials: dict[int, int] = {}
        self._pending: dict[int, socket.socket] = {}
        self._known: list[Outcome] = []
        self._hosts: frozenset[str] = frozenset()
        self._silent: set[str] = set()
        self._max_pending = _raise_descriptor_limit() - SPARE_DESCRIPTORS
        self._max_silent = self._max_pending // 2

    def fileno(self) -> int:
        return self._epoll.fileno()

    def close(self) -> None:
        self.forget(list(self._pending))
        self._epoll.close()

    def set_hosts(self, hosts: Sequence[str]) -> None:
        self._hosts = frozenset(hosts)
        self._silent &= self._hosts

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        return [i for i, host in enumerate(hosts) if not self._start(host, first + i)]

    def _start(self, host: str, serial: int) -> bool:
        """Begin to connect; False when that is not possible here and now."""
        # Hosts that let us wait hold descriptors long; they must leave some to the others.
        room = self._max_silent if host in self._silent else self._max_pending
        if len(self._pending) >= room:
            self.trouble = f"{room} connections are pending, as many as RLIMIT_NOFILE allows"
            return False
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0)
        except OSError as error:
            self.trouble = error.strerror or str(error)
            return False
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        result = sock.connect_ex((host, self._port))
        if result == errno.EINPROGRESS:
            fd = sock.fileno()
            self._epoll.register(fd, select.EPOLLOUT)
            self._serials[fd] = serial
            self._pending[serial] = sock
            return True
        sock.close()
        if result == 0 or result in REFUSALS_AT_ONCE:
            self._known.append((serial, result == 0, self._clock()))
            return True
        self.trouble = os.strerror(result)
        return False

    def collect(self) -> Sequence[Outcome] | None:
        outcomes, self._known = self._known, []
        events = self._epoll.poll(0, READ_AT_ONCE)
        if not events:
            return outcomes or None
        now_s = self._clock()
        for fd, event in events:
            serial = self._serials.pop(fd)
            sock = self._pending.pop(serial)
            outcome: bool | None = True
            if event & (select.EPOLLERR | select.EPOLLHUP):
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    outcome = False if error in REFUSALS else None
                    self.trouble = os.strerror(error)
            sock.close()
            outcomes.append((serial, outcome, now_s))
        return outcomes

    def expire(self, probes: Iterable[tuple[int, str]]) -> None:
        for serial, host in probes:
            self._end(serial)
            if host in self._hosts:
                self._silent.add(host)

    def revive(self, hosts: Iterable[str]) -> None:
        self._silent.difference_update(hosts)

    def forget(self, serials: Iterable[int]) -> None:
        for serial in serials:
            self._end(serial)

    def _end(self, serial: int) -> None:
        sock = self._pending.pop(serial, None)
        if sock is not None:
            del self._serials[sock.fileno()]
            sock.close()


def _raise_descriptor_limit() -> int:
    """Allow as many descriptors as may be, one for each pending connection; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours = MAX_PENDING + SPARE_DESCRIPTORS
    wanted = ours if hard == resource.RLIM_INFINITY else min(hard, ours)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


class Tcp(Monitor):
    """Needs no rights."""

    name: ClassVar[str] = "tcp"
    version: ClassVar[str] = "1"

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        port = whole(1, 65_535, "PORT")
        yield Option(f"{PREFIX}_port", port, 22, "the TCP port that healthy hosts accept on")
        yield from probe_options(PREFIX)

    @classmethod
    def interval_s(cls, values: Values) -> float:
        return float(values[f"{PREFIX}_interval"])

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        return check_probe_options(PREFIX, values)

    def run(self, mailbox: Mailbox) -> None:
        prober = ConnectProber(self.values[f"{PREFIX}_port"])
        ProbeLoop(self.name, Timing.of(self.values, PREFIX), prober).run(mailbox)
