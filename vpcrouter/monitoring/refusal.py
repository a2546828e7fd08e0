"""How errors on TCP connections count: as a miss of the host, or as a probe not sent.

An error that `connect` itself returns is local: nothing was sent. A later error comes from the
network, and the probe counts as missed, unless the local firewall caused it.
"""

import errno
import os
import select
import socket
import struct
from typing import NamedTuple, NoReturn

from vpcrouter.errors import VpcRouterError

REFUSED_AT_ONCE = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT})
"""What `connect` itself returns when a host on this machine refuses the connection."""
MISSES = REFUSED_AT_ONCE | {
    # What Linux makes of ICMP errors: icmp_err_convert in net/ipv4/icmp.c, and icmp_unreach and
    # icmpv6_err_convert in net/ipv6/icmp.c. The kernel says EHOSTUNREACH, too, when ARP fails.
    *(errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENONET, errno.ENOPROTOOPT),
    *(errno.EOPNOTSUPP, errno.EMSGSIZE, errno.EPROTO, errno.EACCES),
    # The host has closed an established connection.
    *(errno.EPIPE, errno.ENOTCONN, errno.ECONNABORTED),
}
FAILED = select.EPOLLERR | select.EPOLLHUP
STANDING = frozenset({b"\x01", b"\x08"})
"""ESTABLISHED and CLOSE_WAIT, in which the SYN-ACK was seen (net/tcp_states.h of the kernel)."""
MAX_ERRORS = 64
ERROR = struct.Struct("=IBBBxII")
"""sock_extended_err (linux/errqueue.h): errno, origin, type, code, two words; then the sender."""
ORIGINS = {2: socket.AF_INET, 3: socket.AF_INET6}
SENDERS = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}
"""The offset and length of the address in a sockaddr."""
NO_NEIGHBOUR = {(socket.AF_INET, 3, 1), (socket.AF_INET6, 1, 3)}
"""What the local kernel reports when ARP or neighbour discovery gets no reply."""


class MissedError(VpcRouterError):
    """The host gave no valid answer, for this reason."""


class UnsentError(VpcRouterError):
    """The probe could not be sent, which is no evidence about the host."""


class IcmpError(NamedTuple):
    """An ICMP error in reply to one of our packets."""

    family: int
    kind: int
    code: int
    sender: str

    def __str__(self) -> str:
        version = "" if self.family == socket.AF_INET else "v6"
        return f"ICMP{version} type {self.kind} code {self.code} from {self.sender}"

    @property
    def is_missing_neighbour(self) -> bool:
        return (self.family, self.kind, self.code) in NO_NEIGHBOUR


def stands(sock: socket.socket, event: int) -> bool:
    """Whether `sock`, for which epoll returned `event`, is connected: a SYN-ACK was received.

    The absence of an error is not an answer. Raises MissedError, UnsentError.
    """
    if event & FAILED:
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        icmp = read_icmp_error(sock)
        if error:
            raise_for_error(error, icmp, sock)
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) in STANDING


def raise_for_error(
    number: int, icmp: IcmpError | None = None, sock: socket.socket | None = None
) -> NoReturn:
    """Raise MissedError or UnsentError for an error on a pending connection."""
    why = os.strerror(number)
    if icmp is None or sock is None:
        raise (MissedError if number in MISSES else UnsentError)(why)
    if icmp.sender != sock.getsockname()[0]:
        raise MissedError(f"{why} ({icmp})")
    if icmp.is_missing_neighbour:
        raise MissedError(f"{why} (ARP or neighbour discovery failed)")
    raise UnsentError(f"rejected by the local host: {why} ({icmp})")


def read_icmp_error(sock: socket.socket) -> IcmpError | None:
    """The last ICMP error that the kernel has queued for `sock`; empties the queue.

    While errors are queued, epoll reports an error, whatever the socket is used for meanwhile.
    """
    found: IcmpError | None = None
    for _ in range(MAX_ERRORS):
        try:
            _, ancillary, _, _ = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        except OSError:  # BlockingIOError: the queue is empty
            break
        for _, _, data in ancillary:
            found = _icmp_error(data) or found
    return found


def _icmp_error(data: bytes) -> IcmpError | None:
    if len(data) < ERROR.size:
        return None
    _, origin, kind, code, _, _ = ERROR.unpack_from(data)
    family = ORIGINS.get(origin)
    if family is None:
        return None
    start, length = SENDERS[family]
    address = data[ERROR.size + start : ERROR.size + start + length]
    if len(address) < length:
        return None
    return IcmpError(family, kind, code, socket.inet_ntop(family, address))
