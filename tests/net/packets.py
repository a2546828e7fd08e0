"""IP packets in Ethernet frames: read, change and build them. Pure.

Only what the tests send: IPv4 without options, IPv6 without extension headers.
"""

import itertools
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Self

ETHERNET = 14
ARP, IPV4, IPV6 = b"\x08\x06", b"\x08\x00", b"\x86\xdd"
ICMP, TCP, ICMP_6 = socket.IPPROTO_ICMP, socket.IPPROTO_TCP, socket.IPPROTO_ICMPV6
FRAGMENT_6 = 44
TTL = 64
SYN, RST, ACK = 0x02, 0x04, 0x10
ECHO_REQUESTS, ECHO_REPLIES = {(ICMP, 8), (ICMP_6, 128)}, {(ICMP, 0), (ICMP_6, 129)}

_idents = itertools.count(1)


class Kind(Enum):
    """What a packet is for."""

    PROBE = auto()
    """A SYN or an echo request."""
    ANSWER = auto()
    """A SYN-ACK or an echo reply."""
    DATA = auto()
    """A TCP segment with data."""
    RESOLVE = auto()
    """Of ARP, or a neighbour solicitation."""
    REST = auto()


@dataclass(frozen=True, slots=True)
class Packet:
    ethernet: bytes
    """The frame's header."""
    head: bytes
    """The IP header."""
    body: bytes
    """What follows the IP header."""

    @classmethod
    def parse(cls, frame: bytes) -> Self | None:
        """None for what is no IP packet."""
        kind = frame[12:14]
        if kind == IPV4 and frame[14] == 0x45:
            end = ETHERNET + int.from_bytes(frame[16:18], "big")
            return cls(frame[:ETHERNET], frame[ETHERNET:34], frame[34:end])
        if kind == IPV6:
            end = ETHERNET + 40 + int.from_bytes(frame[18:20], "big")
            return cls(frame[:ETHERNET], frame[ETHERNET:54], frame[54:end])
        return None

    @property
    def is_over_6(self) -> bool:
        return len(self.head) == 40

    @property
    def source(self) -> bytes:
        return self.head[8:24] if self.is_over_6 else self.head[12:16]

    @property
    def target(self) -> bytes:
        return self.head[24:40] if self.is_over_6 else self.head[16:20]

    @property
    def protocol(self) -> int:
        return self.head[6] if self.is_over_6 else self.head[9]

    @property
    def data_bytes(self) -> int:
        """How many bytes of data a TCP segment has."""
        return len(self.body) - (self.body[12] >> 4) * 4 if self.protocol == TCP else 0

    @property
    def kind(self) -> Kind:
        if self.protocol == TCP:
            if self.body[13] & SYN:
                return Kind.ANSWER if self.body[13] & ACK else Kind.PROBE
            return Kind.DATA if self.data_bytes else Kind.REST
        what = (self.protocol, self.body[0])
        if what in ECHO_REQUESTS:
            return Kind.PROBE
        if what == (ICMP_6, 135):
            return Kind.RESOLVE
        return Kind.ANSWER if what in ECHO_REPLIES else Kind.REST

    def frame(self) -> bytes:
        return self.ethernet + self.head + self.body

    def with_body(self, body: bytes, protocol: int | None = None) -> Self:
        """The same with another body; the header says how long it is."""
        protocol = self.protocol if protocol is None else protocol
        if self.is_over_6:
            head = self.head[:4] + struct.pack("!HB", len(body), protocol) + self.head[7:]
        else:
            length = struct.pack("!H", 20 + len(body))
            head = self.head[:2] + length + self.head[4:9] + bytes([protocol]) + self.head[10:]
            head = _with_header_checksum(head)
        return replace(self, head=head, body=body)

    def with_source(self, source: bytes) -> Self:
        """The same as if it came from another address, with right checksums."""
        if self.is_over_6:
            head = self.head[:8] + source + self.head[24:]
        else:
            head = _with_header_checksum(self.head[:12] + source + self.head[16:])
        return replace(self, head=head).with_checksum()

    def with_target(self, target: bytes) -> Self:
        """The same as if it went to another address, with right checksums."""
        if self.is_over_6:
            head = self.head[:24] + target
        else:
            head = _with_header_checksum(self.head[:16] + target)
        return replace(self, head=head).with_checksum()

    def with_checksum(self) -> Self:
        """The same with a right checksum of its TCP segment or ICMP message."""
        at = _checksum_at(self.protocol)
        body = self.body[:at] + b"\0\0" + self.body[at + 2 :]
        pseudo = b""
        if self.protocol != ICMP:
            pseudo = self.source + self.target + struct.pack("!II", len(body), self.protocol)
        right = struct.pack("!H", checksum(pseudo + body))
        return replace(self, body=body[:at] + right + body[at + 2 :])

    def with_wrong_checksum(self) -> Self:
        at = _checksum_at(self.protocol)
        wrong = bytes([self.body[at] ^ 0x55, self.body[at + 1]])
        return replace(self, body=self.body[:at] + wrong + self.body[at + 2 :])

    def back(self, protocol: int, body: bytes, source: bytes | None = None) -> Self:
        """A packet to where this one came from; by default from where this one goes to."""
        ethernet = self.ethernet[6:12] + self.ethernet[:6] + self.ethernet[12:]
        if self.is_over_6:
            head = self.head[:7] + bytes([TTL]) + (source or self.target) + self.source
        else:
            head = self.head[:4] + struct.pack("!HHB", next(_idents) & 0xFFFF, 0, TTL)
            head += self.head[9:12] + (source or self.target) + self.source
        made = replace(self, ethernet=ethernet, head=head).with_body(body, protocol)
        return made.with_checksum()

    def fragments(self, size: int) -> Iterator[Self]:
        """The same in fragments with `size` bytes each, a multiple of 8."""
        ident, protocol = next(_idents), self.protocol
        for at in range(0, len(self.body), size):
            part = self.body[at : at + size]
            has_more = at + size < len(self.body)
            if self.is_over_6:
                extra = struct.pack("!BxHI", protocol, at | has_more, ident)
                yield self.with_body(extra + part, FRAGMENT_6)
            else:
                where = struct.pack("!HH", ident & 0xFFFF, at // 8 | has_more << 13)
                head = self.head[:4] + where + self.head[8:]
                yield replace(self, head=head).with_body(part)


def target_of(frame: bytes) -> bytes:
    """The address that a frame is for, or whose link address it asks for."""
    if frame[12:14] == IPV6:
        is_question = frame[20] == ICMP_6 and frame[54] == 135
        return frame[62:78] if is_question else frame[38:54]
    return frame[38:42] if frame[12:14] == ARP else frame[30:34]


def source_of(frame: bytes) -> bytes:
    """The address that a frame is from."""
    if frame[12:14] == IPV6:
        return frame[22:38]
    return frame[28:32] if frame[12:14] == ARP else frame[26:30]


def icmp_error(
    packet: Packet, what: tuple[int, int], rest: bytes, source: bytes | None, quoted: int
) -> Packet:
    """An ICMP error, by type and code, on account of `packet`.

    Its header ends with `rest`; then it quotes the packet, with `quoted` bytes of the body.
    """
    head = struct.pack("!BBH4s", *what, 0, rest)
    protocol = ICMP_6 if packet.is_over_6 else ICMP
    return packet.back(protocol, head + packet.head + packet.body[:quoted], source)


def tcp_reset(packet: Packet, is_genuine: bool = True) -> Packet:
    """The reset of a connection as an answer to `packet`; or one that is out of sequence."""
    sequence, answered = struct.unpack("!II", packet.body[4:12])
    is_syn = bool(packet.body[13] & SYN)
    end = sequence + packet.data_bytes + is_syn + (0 if is_genuine else 100_000)
    ports = packet.body[2:4] + packet.body[:2]
    return packet.back(TCP, _reset(ports, 0 if is_syn else answered, end))


def tcp_reset_behind(packet: Packet) -> Packet:
    """The reset of a connection by the host that has just sent `packet`."""
    sequence, answered = struct.unpack("!II", packet.body[4:12])
    end = sequence + packet.data_bytes + bool(packet.body[13] & SYN)
    return packet.with_body(_reset(packet.body[:4], end, answered)).with_checksum()


def _reset(ports: bytes, sequence: int, answered: int) -> bytes:
    both = struct.pack("!II", sequence & 0xFFFF_FFFF, answered & 0xFFFF_FFFF)
    return ports + both + struct.pack("!BBHHH", 5 << 4, RST | ACK, 0, 0, 0)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    words: Sequence[int] = struct.unpack(
        f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)
    )
    total = sum(words)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _checksum_at(protocol: int) -> int:
    return 16 if protocol == TCP else 2


def _with_header_checksum(head: bytes) -> bytes:
    head = head[:10] + b"\0\0" + head[12:]
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:]
