"""What a middlebox does with the packets between a monitor and one host. Pure."""

import ipaddress
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from tests.net.packets import Kind, Packet, icmp_error, tcp_reset, tcp_reset_behind

FRAG_NEEDED, PACKET_TOO_BIG = (3, 4), (2, 0)
ALL_OF_IT = 512


class When(Enum):
    """When something comes, seen from the packet that causes it."""

    INSTEAD = auto()
    """The packet is dropped."""
    BEFORE = auto()
    """The packet goes on, so that its answer comes later."""
    AFTER = auto()
    """The answer comes first."""


class Sent(NamedTuple):
    """A packet that the middlebox sends to the monitor, or else to the host."""

    packet: Packet
    to_monitor: bool
    delay_s: float = 0.0


class Rule(ABC):
    """Acts on some packets; the others pass."""

    @abstractmethod
    def concerns(self, kind: Kind, from_monitor: bool) -> bool: ...

    @abstractmethod
    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        """What is sent instead of `packet`; `asked` is the monitor's last probe or request."""


@dataclass(frozen=True)
class Silence(Rule):
    """Drops everything but questions for link addresses."""

    def concerns(self, kind: Kind, from_monitor: bool) -> bool:
        return kind is not Kind.RESOLVE

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        return ()


@dataclass(frozen=True)
class Lose(Rule):
    """Drops packets of one kind, in one direction."""

    kind: Kind = Kind.ANSWER
    from_monitor: bool = False

    def concerns(self, kind: Kind, from_monitor: bool) -> bool:
        return kind is self.kind and from_monitor is self.from_monitor

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        return ()


@dataclass(frozen=True)
class Unresolved(Rule):
    """Lets nobody learn the link address."""

    def concerns(self, kind: Kind, from_monitor: bool) -> bool:
        return kind is Kind.RESOLVE

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        return ()


@dataclass(frozen=True)
class Intrusion(Rule):
    """Sends the monitor something of its own, in place of a packet or beside it.

    `on_request`: on account of the data that the monitor sends on a connection, not of its SYN.
    """

    when: When = When.INSTEAD
    on_request: bool = False
    copies: int = 1
    delay_s: float = 0.0

    def concerns(self, kind: Kind, from_monitor: bool) -> bool:
        is_answer = self.when is When.AFTER
        if self.on_request:
            return kind is Kind.DATA and from_monitor is not is_answer
        return kind is (Kind.ANSWER if is_answer else Kind.PROBE)

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        own = [Sent(self.intruder(packet, asked), True, self.delay_s)] * self.copies
        if self.when is When.INSTEAD:
            return own
        passed = Sent(packet, to_monitor=self.when is When.AFTER)
        return [passed, *own] if self.when is When.AFTER else [*own, passed]

    @abstractmethod
    def intruder(self, packet: Packet, asked: Packet) -> Packet: ...


@dataclass(frozen=True)
class Error(Intrusion):
    """An ICMP error, by default from the host itself.

    `rest` are the last four bytes of its header; `quoted` says how many bytes it has of what
    followed the IP header of the packet in question; `about` names another host than that
    packet went to.
    """

    kind: int = 3
    code: int = 1
    source: str = ""
    rest: bytes = bytes(4)
    quoted: int = ALL_OF_IT
    has_wrong_checksum: bool = False
    about: str = ""

    def intruder(self, packet: Packet, asked: Packet) -> Packet:
        cause = asked if self.when is When.AFTER else packet
        source = packed(self.source) if self.source else cause.target
        if self.about:
            cause = cause.with_target(packed(self.about))
        made = icmp_error(cause, (self.kind, self.code), self.rest, source, self.quoted)
        return made.with_wrong_checksum() if self.has_wrong_checksum else made


@dataclass(frozen=True)
class Reset(Intrusion):
    """A TCP reset; one that is not genuine is out of sequence."""

    is_genuine: bool = True

    def intruder(self, packet: Packet, asked: Packet) -> Packet:
        if self.when is When.AFTER:
            return tcp_reset_behind(packet)
        return tcp_reset(packet, self.is_genuine)


@dataclass(frozen=True)
class Altered(Rule):
    """Changes answers; by itself it passes them."""

    def concerns(self, kind: Kind, from_monitor: bool) -> bool:
        return kind is Kind.ANSWER

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        return [Sent(packet, True)]


@dataclass(frozen=True)
class Repeated(Altered):
    times: int = 3
    delay_s: float = 0.0

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        return [Sent(packet, True, i * self.delay_s) for i in range(self.times)]


@dataclass(frozen=True)
class Late(Altered):
    delay_s: float = 0.0

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        return [Sent(packet, True, self.delay_s)]


@dataclass(frozen=True)
class WrongChecksum(Altered):
    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        return [Sent(packet.with_wrong_checksum(), True)]


@dataclass(frozen=True)
class Damaged(Altered):
    """Changes the byte at `at`, of what follows the IP header, and not the checksum."""

    at: int = -1

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        body = bytearray(packet.body)
        body[self.at] ^= 0x55
        return [Sent(packet.with_body(bytes(body)), True)]


@dataclass(frozen=True)
class Truncated(Altered):
    """Leaves so many bytes of what follows the IP header, whose length says so."""

    keep: int = 8
    has_right_checksum: bool = False

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        short = packet.with_body(packet.body[: self.keep])
        return [Sent(short.with_checksum() if self.has_right_checksum else short, True)]


@dataclass(frozen=True)
class FromElsewhere(Altered):
    """Answers come from another address; `also`: besides those from the right one."""

    source: str = ""
    also: bool = False

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        other = Sent(packet.with_source(packed(self.source)), True)
        return [Sent(packet, True), other] if self.also else [other]


@dataclass(frozen=True)
class InFragments(Altered):
    """Answers come in fragments, the last one first; or that one is lost."""

    is_complete: bool = True
    size: int = 16

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        parts = list(packet.fragments(self.size))
        return [Sent(part, True) for part in (reversed(parts) if self.is_complete else parts[:-1])]


@dataclass(frozen=True)
class PathMtu(Rule):
    """Drops larger data of the host; it is told so, unless the router `is_silent`."""

    mtu: int = 600
    source: str = ""
    is_silent: bool = False

    def concerns(self, kind: Kind, from_monitor: bool) -> bool:
        return kind is Kind.DATA and not from_monitor

    def act(self, packet: Packet, asked: Packet) -> Sequence[Sent]:
        if len(packet.head) + len(packet.body) <= self.mtu:
            return [Sent(packet, True)]
        if self.is_silent:
            return ()
        what, rest = (PACKET_TOO_BIG if packet.is_over_6 else FRAG_NEEDED), self.mtu.to_bytes(4)
        source = packed(self.source) if self.source else None
        return [Sent(icmp_error(packet, what, rest, source, ALL_OF_IT), False)]


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed
