"""Whose fault an error on a connection is, where the kernel's own words are needed."""

import errno
import os
import select
import socket
import struct

import pytest

from vpcrouter.monitoring.refusal import (
    IcmpError,
    MissedError,
    UnsentError,
    raise_for_error,
    read_icmp_error,
    stands,
)

BY_THE_NETWORK = (
    *("ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN"),
    *("ENONET", "ENOPROTOOPT", "EOPNOTSUPP", "EMSGSIZE", "EPROTO", "EACCES", "EPIPE"),
)
BY_US = ("ENOBUFS", "ENOMEM", "EMFILE", "ENETDOWN", "EPERM", "EADDRNOTAVAIL", "EINVAL")
V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize("name", BY_THE_NETWORK)
def test_what_the_network_says_of_a_connection_under_way_is_a_miss(name: str) -> None:
    number = getattr(errno, name)
    with pytest.raises(MissedError) as raised:
        raise_for_error(number)
    assert str(raised.value) == os.strerror(number)


@pytest.mark.parametrize("name", BY_US)
def test_what_we_lack_says_nothing_of_the_host(name: str) -> None:
    with pytest.raises(UnsentError):
        raise_for_error(getattr(errno, name))


class Told:
    """A socket at 10.0.0.1, or fd00::1, whose error queue has these."""

    def __init__(self, *queue: bytes, address: str = "10.0.0.1") -> None:
        self._queue = [[(socket.SOL_IP, 11, each)] for each in queue]
        self._address = address

    def recvmsg(self, *_: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, None]:
        if not self._queue:
            raise BlockingIOError
        return b"", self._queue.pop(0), 0, None

    def getsockname(self) -> tuple[str, int]:
        return self._address, 1


def queued(origin: int, kind: int, code: int, sender: str) -> bytes:
    family = V6 if ":" in sender else V4
    address = bytes(2 if family == V4 else 6) + socket.inet_pton(family, sender)
    head = struct.pack("=IBBBxII", errno.EHOSTUNREACH, origin, kind, code, 0, 0)
    return head + struct.pack("=H", family) + address + bytes(8)


@pytest.mark.parametrize(
    ("told", "ours", "kind", "why"),
    [
        (queued(2, 3, 1, "10.0.0.9"), "10.0.0.1", MissedError, "type 3 code 1 from 10.0.0.9"),
        (queued(2, 3, 13, "10.0.0.9"), "10.0.0.1", MissedError, "ICMP type 3 code 13"),
        (queued(2, 3, 1, "10.0.0.1"), "10.0.0.1", MissedError, "ARP or neighbour discovery failed"),
        (queued(2, 3, 13, "10.0.0.1"), "10.0.0.1", UnsentError, "rejected by the local host"),
        (queued(3, 1, 3, "fd00::1"), "fd00::1", MissedError, "ARP or neighbour discovery failed"),
        (queued(3, 1, 1, "fd00::1"), "fd00::1", UnsentError, "rejected by the local host"),
        (queued(3, 1, 0, "fd00::9"), "fd00::1", MissedError, "ICMPv6 type 1 code 0 from fd00::9"),
    ],
)
def test_who_has_sent_an_icmp_error_tells_whose_fault_it_is(
    told: bytes, ours: str, kind: type[Exception], why: str
) -> None:
    sock = Told(told, address=ours)
    icmp = read_icmp_error(sock)  # type: ignore[arg-type]
    with pytest.raises(kind, match=why):
        raise_for_error(errno.EHOSTUNREACH, icmp, sock)  # type: ignore[arg-type]


def test_the_error_queue_is_read_to_its_end() -> None:
    told = Told(queued(2, 3, 0, "10.0.0.9"), b"", b"short", queued(2, 3, 1, "10.0.0.8"))
    assert read_icmp_error(told) == IcmpError(V4, 3, 1, "10.0.0.8")  # type: ignore[arg-type]
    assert read_icmp_error(told) is None  # type: ignore[arg-type]
    local = queued(1, 3, 1, "10.0.0.9")
    cut_off = queued(2, 3, 1, "10.0.0.9")[:20]
    assert read_icmp_error(Told(local, cut_off)) is None  # type: ignore[arg-type]


def test_no_error_is_no_answer() -> None:
    """Whatever epoll tells of a socket that nobody has answered yet."""
    with socket.socket() as sock:
        sock.setblocking(False)
        for event in (select.EPOLLOUT, select.EPOLLERR, select.EPOLLHUP):
            assert not stands(sock, event)


def test_a_connection_that_the_host_has_ended_already_was_an_answer() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
    ):
        assert stands(sock, select.EPOLLOUT)
        server.accept()[0].close()
        sock.recv(1)
        assert stands(sock, select.EPOLLOUT)
