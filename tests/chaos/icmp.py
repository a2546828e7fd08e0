"""ICMP errors for connections that begin, made by hand: Linux's own routers send few kinds."""

import contextlib
import select
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass

ETH_P_IP = 0x0800
SYN, ACK = 0x02, 0x10
SYN_AT = 13
QUOTED = 8
"""Bytes of the TCP header that an error quotes: ports and sequence number."""
PACKET_OUTGOING = 4
LOOK_S = 0.2
MOST_READ = 10_000


@dataclass(frozen=True, slots=True)
class Rejection:
    """An error of `kind`, which is type/code, sent by `source`; by the host itself if empty."""

    kind: str
    source: str = ""

    def answer(self, packet: bytes) -> bytes:
        """What is sent to whoever sent `packet`, with its IP header."""
        type_, code = (int(number) for number in self.kind.split("/"))
        quoted = packet[: _header_size(packet) + QUOTED]
        message = struct.pack("!BBHI", type_, code, 0, 0) + quoted
        message = message[:2] + struct.pack("!H", _checksum(message)) + message[4:]
        source = socket.inet_aton(self.source) if self.source else packet[16:20]
        # The kernel fills in length, identification and checksum.
        header = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_ICMP, 0, source, packet[12:16]
        )
        return header + message


class Tap:
    """Sees the connections that begin over one interface, and can answer them with an error."""

    def __init__(self, interface: str) -> None:
        """Of the network namespace that this thread is in. Raises OSError."""
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        self._packets = socket.socket(socket.AF_PACKET, kind, socket.htons(ETH_P_IP))
        self._packets.bind((interface, ETH_P_IP))
        self._answers = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def close(self) -> None:
        self._packets.close()
        self._answers.close()

    def wait(self, limit_s: float) -> bool:
        """Whether there is something to read."""
        return bool(select.select([self._packets], [], [], limit_s)[0])

    def read(self) -> tuple[str, bytes] | None:
        """The next beginning: to which host, and the packet. None when there is none."""
        for _ in range(MOST_READ):
            try:
                packet, place = self._packets.recvfrom(2048)
            except BlockingIOError:
                return None
            if place[2] != PACKET_OUTGOING and _is_syn(packet):
                return socket.inet_ntoa(packet[16:20]), packet
        return None

    def answer(self, packet: bytes, rejection: Rejection) -> None:
        # There is no way back while the other end is being taken down.
        with contextlib.suppress(OSError):
            reply = rejection.answer(packet)
            self._answers.sendto(reply, (socket.inet_ntoa(packet[12:16]), 0))


class Rejecter:
    """Answers all connections to some hosts with an error each, in a thread of its own.

    What is rejected must be kept from the hosts, too.
    """

    def __init__(self, interface: str, inside: AbstractContextManager[None]) -> None:
        with inside:
            self._tap = Tap(interface)
        self.sent: Counter[str] = Counter()
        self._rejections: dict[str, Rejection] = {}
        self._stopping = threading.Event()
        name = f"rejecter {interface}"
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)
        self._thread.start()

    def set(self, host: str, rejection: Rejection | None) -> None:
        """From now on; None for none."""
        if rejection:
            self._rejections[host] = rejection
        else:
            self._rejections.pop(host, None)

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self._tap.wait(LOOK_S)
            while (seen := self._tap.read()) is not None:
                host, packet = seen
                rejection = self._rejections.get(host)
                if rejection:
                    self._tap.answer(packet, rejection)
                    self.sent[rejection.kind] += 1

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._tap.close()


def first_of(tap: Tap, host: str, limit_s: float) -> bytes | None:
    """The next beginning of a connection to `host`, or None."""
    until_s = time.monotonic() + limit_s
    while (left_s := until_s - time.monotonic()) > 0:
        tap.wait(left_s)
        while (seen := tap.read()) is not None:
            if seen[0] == host:
                return seen[1]
    return None


def count_of(tap: Tap, host: str) -> int:
    """How many more have begun by now."""
    count = 0
    while (seen := tap.read()) is not None:
        count += seen[0] == host
    return count


def _is_syn(packet: bytes) -> bool:
    at = _header_size(packet) + SYN_AT
    is_tcp = len(packet) > at and packet[9] == socket.IPPROTO_TCP
    return is_tcp and packet[at] & (SYN | ACK) == SYN


def _header_size(packet: bytes) -> int:
    return (packet[0] & 0x0F) * 4


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
