"""Echo packets of ICMP (RFC 792) and ICMPv6 (RFC 4443), as bytes. Pure.

A probe carries its serial number, the address it goes to and a secret of this process; the
host sends all of it back (RFC 1122, 3.2.2.6; RFC 4443, 4.2). So replies are matched without a
table, and the number of hosts is not limited by the 16 bits of the ICMP sequence.
"""

import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vpcrouter.monitoring.schedule import Outcome

_WORD_64 = 0xFFFF_FFFF_FFFF_FFFF
_ONES_COMPLEMENT = 0xFFFF
"""A number's remainder by this is the ones' complement sum of its 16-bit words, which is zero
where the checksum among them is right (RFC 1071)."""


@dataclass(frozen=True, slots=True)
class Version:
    """What differs between the versions of IP.

    `echo` begins with type, code, checksum and id, the same in all probes; then sequence and
    its complement, padding, the serial and its complement; and the tail: the address and the
    secret, the same in all probes to a host. A word and its complement add nothing to the
    checksum, which in IPv6 the kernel makes.

    `reply` is the layout of a slot: source, type and code, sequence, serial, address, secret,
    and `message` that of the whole ICMP message in it. Over IPv4 they lie behind an IP header
    without options; where there are options, nothing fits. Over IPv6 a raw socket gives no
    header: the slot begins with the `sockaddr_in6` of `name_bytes` that the packet came from.
    `reply_bytes` is how much of a slot a reply fills, that address not counted.
    """

    family: socket.AddressFamily
    protocol: int
    request_kind: int
    reply_kind: int
    sockaddr: struct.Struct
    """Family, port and, over IPv6, flow; the address; zeros."""
    echo: struct.Struct
    reply: struct.Struct
    message: struct.Struct
    reply_bytes: int
    name_bytes: int = 0

    def packed(self, host: str) -> bytes:
        """Raises OSError unless `host` is an address of this version."""
        return socket.inet_pton(self.family, host)

    def text(self, sockaddr: bytes) -> str:
        return socket.inet_ntop(self.family, self.sockaddr.unpack(sockaddr)[-1])

    def to(self, packed: bytes) -> bytes:
        """The sockaddr of an address."""
        return self.sockaddr.pack(self.family, 0, packed)


V4 = Version(
    family=socket.AF_INET,
    protocol=socket.IPPROTO_ICMP,
    request_kind=8,
    reply_kind=0,
    sockaddr=struct.Struct("=HH4s8x"),
    echo=struct.Struct("!6sHH2xQQ16s"),
    reply=struct.Struct("!12x4s4xH4xH4xQ8x4s4x8s8x"),
    message=struct.Struct("!20x44s8x"),
    reply_bytes=64,
)
V6 = Version(
    family=socket.AF_INET6,
    protocol=socket.IPPROTO_ICMPV6,
    request_kind=128,
    reply_kind=129,
    sockaddr=struct.Struct("=HH4x16s4x"),
    echo=struct.Struct("!6sHH2xQQ24s"),
    reply=struct.Struct("!8x16s4xH4xH4xQ8x16s8s8x"),
    message=struct.Struct("!28x52s8x"),
    reply_bytes=52,
    name_bytes=28,
)


def version_of(host: str) -> Version:
    return V6 if ":" in host else V4


def checksum(packet: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(word for (word,) in struct.iter_unpack("!H", packet))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class EchoCodec:
    """Writes probes and reads replies."""

    def __init__(self, ident: int, secret: bytes, version: Version = V4) -> None:
        """`secret` has 8 bytes."""
        self.ident = ident
        self.version = version
        self._secret = secret
        head = struct.pack("!BBHH", version.request_kind, 0, 0, ident)
        right = checksum(head + secret) if version is V4 else 0
        self._head = head[:2] + struct.pack("!H", right) + head[4:]

    def tail(self, packed: bytes) -> bytes:
        """The last part of all probes to one address."""
        complement = bytes(byte ^ 0xFF for byte in packed) if self.version is V4 else b""
        return packed + complement + self._secret

    def requests(self, tails: Iterable[bytes], serials: Iterable[int]) -> list[bytes]:
        """Probes with these tails and serial numbers."""
        head, pack = self._head, self.version.echo.pack
        return [
            pack(
                head,
                serial & 0xFFFF,
                serial & 0xFFFF ^ 0xFFFF,
                serial,
                serial ^ _WORD_64,
                tail,
            )
            for tail, serial in zip(tails, serials, strict=True)
        ]

    def replies(
        self, slots: memoryview, sizes: Iterable[int], stamps: Iterable[float]
    ) -> Sequence[Outcome]:
        """The genuine replies in `slots`, each with its time."""
        version = self.version
        ours, reply_kind, reply_bytes = self._secret, version.reply_kind << 8, version.reply_bytes
        # A raw socket over IPv6 gets only what has a right checksum (RFC 3542, 3.1).
        modulus = _ONES_COMPLEMENT if version is V4 else 1
        return [
            (serial, True, at_s)
            for (source, kind, sequence, serial, asked, secret), (message,), size, at_s in zip(
                version.reply.iter_unpack(slots),
                version.message.iter_unpack(slots),
                sizes,
                stamps,
                strict=False,
            )
            if secret == ours
            and source == asked
            and kind == reply_kind
            and sequence == serial & 0xFFFF
            and size == reply_bytes
            and not int.from_bytes(message) % modulus
        ]
