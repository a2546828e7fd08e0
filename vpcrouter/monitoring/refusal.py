"""What an error on a TCP connection says, and of whom.

An error that `connect` itself returns is our own host's: nothing was sent. One that comes later
is the network's answer, and the probe was missed; unless it was our own firewall that answered.
"""

import errno
import os
import select
import socket
import struct
from typing import NamedTuple, NoReturn

from vpcrouter.errors import VpcRouterError

REFUSED_AT_ONCE = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT})
"""What `connect` itself returns when a host on this machine refuses."""
MISSES = REFUSED_AT_ONCE | {
    # What Linux makes of ICMP errors: icmp_err_convert in net/ipv4/icmp.c, and icmp_unreach and
    # icmpv6_err_convert in net/ipv6/icmp.c. The kernel says EHOSTUNREACH, too, when ARP fails.
    *(errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENONET, errno.ENOPROTOOPT),
    *(errno.EOPNOTSUPP, errno.EMSGSIZE, errno.EPROTO, errno.EACCES),
    # The host has ended a connection that stood.
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
"""Where the address lies in a sockaddr, and how long it is."""
NO_NEIGHBOUR = {(socket.AF_INET, 3, 1), (socket.AF_INET6, 1, 3)}
"""What our own kernel says when nobody answers ARP or neighbour discovery."""


class MissedError(VpcRouterError):
    """The host gave no answer that counts; says why."""


class UnsentError(VpcRouterError):
    """The probe says nothing of the host: it is we who could not go on."""


class IcmpError(NamedTuple):
    """An ICMP error that answered one of our packets."""

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
    """Whether `sock`, of which epoll tells `event`, is connected: the host's SYN-ACK was seen.

    That no error is known is no answer. Raises MissedError, UnsentError.
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
    """Say whose fault an error on a connection under way is. Raises MissedError, UnsentError."""
    why = os.strerror(number)
    if icmp is None or sock is None:
        raise (MissedError if number in MISSES else UnsentError)(why)
    if icmp.sender != sock.getsockname()[0]:
        raise MissedError(f"{why} ({icmp})")
    if icmp.is_missing_neighbour:
        raise MissedError(f"{why} (ARP or neighbour discovery failed)")
    raise UnsentError(f"rejected by the local host: {why} ({icmp})")


def read_icmp_error(sock: socket.socket) -> IcmpError | None:
    """The last ICMP error that the kernel has queued for `sock`; the queue is empty then.

    While errors are queued, epoll tells of an error, whatever the socket is used for meanwhile.
    """
    found: IcmpError | None = None
    for _ in range(MAX_ERRORS):
        try:
            _, ancillary, _, _ = sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        except OSError:  # BlockingIOError: that was all
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
