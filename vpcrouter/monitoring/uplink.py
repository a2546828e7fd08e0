"""This machine's connection to the hosts, as the kernel's routing shows it: rtnetlink(7).

Plain sockets instead of pyroute2's: they need no event loop and less memory, and only two
structures are needed.
"""

import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Sequence
from itertools import islice
from typing import Self

from vpcrouter.logs import setup as logs

RTMGRP_LINK, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE = 0x1, 0x40, 0x400
RTM_GETLINK, RTM_GETROUTE = 18, 26
NLMSG_ERROR = 2
NLM_F_REQUEST = 1
RTA_DST, RTA_OIF = 1, 4
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port"""
LINK = struct.Struct("=BxHiII")
"""ifinfomsg: family, type, index, flags, change"""
ROUTE = struct.Struct("=BBBBBBBBI")
"""rtmsg: family, bits of destination and source, tos, table, protocol, scope, type, flags"""
ATTRIBUTE = struct.Struct("=HH")
MAX_MESSAGE = 1 << 16
MAX_READS = 1_000
LOOKED_UP = 16
"""The number of hosts looked up; in a VPC one interface usually leads to all hosts."""

log = logs.get(__name__)


class NetlinkUplink:
    """An Uplink (see `prober`). Needs no capabilities; owned by the loop's thread."""

    def __init__(self) -> None:
        """Raises OSError where netlink is forbidden."""
        self._news = _netlink(RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)
        self._questions = _netlink(0)
        self._sequence = 0

    @classmethod
    def open(cls) -> Self | None:
        """An uplink, or None and a warning where netlink is not permitted."""
        try:
            return cls()
        except OSError as error:
            log.warning("local link state not monitored", reason=error.strerror)
            return None

    def fileno(self) -> int:
        """Readable when a link or a route has changed."""
        return self._news.fileno()

    def lost(self, hosts: Sequence[str]) -> str:
        """Why no host is reachable from here, or an empty string.

        Queries the kernel instead of following its notifications: a link that goes down removes
        its routes without any (see ip-route(8) on `linkdown`), and notifications may be lost.
        """
        self._drain()
        reasons: dict[str, None] = {}
        for host in islice(hosts, LOOKED_UP):
            reason = self._why_unreachable(host)
            if not reason:
                return ""
            reasons[reason] = None
        return ", ".join(reasons)

    def _drain(self) -> None:
        for _ in range(MAX_READS):
            try:
                self._news.recv(MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: the buffer has overflowed
                continue

    def _why_unreachable(self, host: str) -> str:
        try:
            index = self._interface_to(host)
            if index is None or self._is_up(index):
                return ""
        except OSError as error:
            return f"no route to {host}: {error.strerror}"
        name = f"with index {index}"
        with contextlib.suppress(OSError):
            name = socket.if_indextoname(index)
        return f"local interface {name} is down"

    def _interface_to(self, host: str) -> int | None:
        """The index of the interface that packets to `host` leave by. Raises OSError."""
        address = ipaddress.ip_address(host)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        route = ROUTE.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
        destination = ATTRIBUTE.pack(ATTRIBUTE.size + len(address.packed), RTA_DST)
        answer = self._ask(RTM_GETROUTE, route + destination + address.packed)
        at = ROUTE.size
        while at + ATTRIBUTE.size <= len(answer):
            length, kind = ATTRIBUTE.unpack_from(answer, at)
            if kind == RTA_OIF:
                return int(struct.unpack_from("=i", answer, at + ATTRIBUTE.size)[0])
            at += max(ATTRIBUTE.size, (length + 3) & ~3)
        return None

    def _is_up(self, index: int) -> bool:
        answer = self._ask(RTM_GETLINK, LINK.pack(0, 0, index, 0, 0))
        if len(answer) < LINK.size:
            return True
        flags = LINK.unpack_from(answer)[3]
        # Of all carrier indications, only this flag changes at once.
        return bool(flags & IFF_UP and flags & IFF_LOWER_UP)

    def _ask(self, kind: int, body: bytes) -> bytes:
        """The kernel's answer, empty if there is none; the kernel answers before `send` returns.

        Raises OSError with the kernel's error.
        """
        self._sequence += 1
        size = HEADER.size + len(body)
        self._questions.send(HEADER.pack(size, kind, NLM_F_REQUEST, self._sequence, 0) + body)
        for _ in range(MAX_READS):
            try:
                message = self._questions.recv(MAX_MESSAGE)
            except BlockingIOError:
                return b""
            length, answered, _, sequence, _ = HEADER.unpack_from(message)
            if sequence != self._sequence:
                continue
            if answered == NLMSG_ERROR:
                number = -struct.unpack_from("=i", message, HEADER.size)[0]
                raise OSError(number, os.strerror(number))
            return message[HEADER.size : length]
        return b""


def _netlink(groups: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    sock.bind((0, groups))
    return sock
