"""Probers over non-blocking TCP connections, one for each probe.

The subclass decides what a connection is used for and what counts as an answer.
"""

import errno
import os
import resource
import select
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from vpcrouter.monitoring.audit import KernelCount
from vpcrouter.monitoring.refusal import REFUSED_AT_ONCE, MissedError, UnsentError
from vpcrouter.monitoring.schedule import Outcome

SPARE_DESCRIPTORS = 64
MAX_PENDING = 50_000
READ_AT_ONCE = 256

RESET_AT_CLOSE = struct.pack("ii", 1, 0)
ENDED = KernelCount("Tcp.EstabResets")
"""Established connections that were reset, as each answered probe is (RFC 4022)."""


class Pending(Protocol):
    """A probe in flight on one connection."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


P = TypeVar("P", bound=Pending)


class SocketProber(ABC, Generic[P]):
    """A Prober (see `prober`). Connections end with a reset, to avoid TIME_WAIT."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, max_pending: int | None = None
    ) -> None:
        self.trouble = ""
        self.answers = 0
        self._clock = clock
        self._epoll = select.epoll()
        self._serials: dict[int, int] = {}
        self._pending: dict[int, P] = {}
        self._known: list[Outcome] = []
        self._hosts: frozenset[str] = frozenset()
        self._silent: set[str] = set()
        self._max_pending = _raise_descriptor_limit(max_pending or MAX_PENDING)
        self._max_silent = self._max_pending // 2

    @abstractmethod
    def address(self, host: str) -> tuple[str, int]:
        """The address to connect to."""

    @abstractmethod
    def begun(self, host: str, sock: socket.socket) -> P:
        """Called when `sock` is connecting to `host`; the result owns the socket."""

    def open_socket(self, is_over_6: bool) -> socket.socket:
        """A socket to connect, watched by epoll. Raises OSError."""
        sock = new_socket(socket.AF_INET6 if is_over_6 else socket.AF_INET)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        self._epoll.register(sock.fileno(), select.EPOLLOUT)
        return sock

    def ended(self, pending: P, was_answered: bool) -> None:
        """The probe is finished. `was_answered`: the host itself has answered."""
        pending.close()

    @abstractmethod
    def advance(self, pending: P, event: int) -> bool:
        """Continue as epoll's `event` allows; True once the host has answered, else False.

        Never waits. Raises MissedError, UnsentError.
        """

    def fileno(self) -> int:
        return self._epoll.fileno()

    def counted(self) -> int | None:
        return ENDED.read()

    def close(self) -> None:
        self.forget(list(self._pending))
        self._epoll.close()

    def set_hosts(self, hosts: Sequence[str]) -> None:
        self._hosts = frozenset(hosts)
        self._silent &= self._hosts

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        return [i for i, host in enumerate(hosts) if not self._start(host, first + i)]

    def _start(self, host: str, serial: int) -> bool:
        """Start connecting; False if that is not possible now."""
        # Hosts that do not answer hold descriptors for long; reserve some for the others.
        room = self._max_silent if host in self._silent else self._max_pending
        if len(self._pending) >= room:
            self.trouble = f"limit of {room} pending connections reached"
            return False
        try:
            sock = self.open_socket(":" in host)
        except OSError as error:
            self.trouble = error.strerror or str(error)
            return False
        result = sock.connect_ex(self.address(host))
        pending = self.begun(host, sock)
        if result in {0, errno.EINPROGRESS}:
            self._serials[sock.fileno()] = serial
            self._pending[serial] = pending
            return True
        self.ended(pending, was_answered=False)
        if result in REFUSED_AT_ONCE:
            self._known.append((serial, False, self._clock()))
            return True
        self.trouble = os.strerror(result)
        return False

    def collect(self) -> Sequence[Outcome] | None:
        outcomes, self._known = self._known, []
        events = self._epoll.poll(0, READ_AT_ONCE)
        while events and not any(fd in self._serials for fd, _ in events):
            events = self._epoll.poll(0, READ_AT_ONCE)  # events of idle sockets
        if not events:
            return outcomes or None
        now_s = self._clock()
        for fd, event in events:
            serial = self._serials.get(fd)
            if serial is None:
                continue
            outcome: bool | None = True
            try:
                if not self.advance(self._pending[serial], event):
                    continue
                self.answers += 1
            except MissedError:
                outcome = False
            except UnsentError as error:
                outcome = None
                self.trouble = str(error)
            self._end(serial, was_answered=outcome is True)
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

    def want(self, pending: P, events: int) -> None:
        """Call `advance` on these epoll events."""
        self._epoll.modify(pending.fileno(), events)

    def _end(self, serial: int, was_answered: bool = False) -> None:
        pending = self._pending.pop(serial, None)
        if pending is not None:
            del self._serials[pending.fileno()]
            self.ended(pending, was_answered)


def new_socket(family: socket.AddressFamily) -> socket.socket:
    """A non-blocking socket that resets its connection on close. Raises OSError."""
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    return sock


def _raise_descriptor_limit(max_pending: int) -> int:
    """Raise the descriptor limit as far as allowed; return how many connections may be pending."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours = max_pending + SPARE_DESCRIPTORS
    wanted = ours if hard == resource.RLIM_INFINITY else min(hard, ours)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted - SPARE_DESCRIPTORS
