"""ICMP echo to any number of IPv4 hosts (RFC 792) from one raw socket.

A probe carries its serial number, the address it goes to and a secret of this process; the
host sends all of it back (RFC 1122, 3.2.2.6). So a reply is known to be ours without a
table, and the number of hosts is not limited by the 16 bits of the ICMP sequence.
"""

import errno
import itertools
import secrets
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from vpcrouter import log as logs
from vpcrouter import probing_mmsg as mmsg
from vpcrouter.errors import ConfigError
from vpcrouter.probing_schedule import Outcome

BUFFER_BYTES = 16 * 1024 * 1024
SO_TIMESTAMPNS = 35
SO_ATTACH_FILTER = 26
CLOCK_STEP_S = 0.001
FINE_S = 0.02
"""Arrival times that are known so closely anyway are not worked out."""
ECHO_REPLY, ECHO_REQUEST = 0, 8
NEIGHBOURS = Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")

# Type, code, checksum, id: the same in all probes. Sequence and its complement, padding, the
# serial and its complement; the address and its complement, and the secret: the same in all
# probes to a host. A word and its complement add nothing to the checksum.
_ECHO = struct.Struct("!6sHH2xQQ16s")
_REPLY = struct.Struct("!12x4s4xH4xH4xQ8x4s4x8s8x")
"""Source, type and code, sequence, serial, address, secret, behind an IP header without
options; where there are options, or a packet is shorter, nothing fits or it is a repetition
of the slot's last one, which counts once."""
_STAMP = struct.Struct("=8xiiqq32x")
_TIMESPEC_BYTES = 16
_WORD_64 = 0xFFFF_FFFF_FFFF_FFFF

log = logs.get(__name__)


def checksum(packet: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(word for (word,) in struct.iter_unpack("!H", packet))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class EchoCodec:
    """Writes probes and reads replies, as bytes."""

    def __init__(self, ident: int, secret: bytes) -> None:
        self.ident = ident
        self._secret = secret
        head = struct.pack("!BBHH", ECHO_REQUEST, 0, 0, ident)
        self._head = head[:2] + struct.pack("!H", checksum(head + secret)) + head[4:]

    def tail(self, packed: bytes) -> bytes:
        """What the probes to one host, an IPv4 address, end with."""
        return packed + bytes(byte ^ 0xFF for byte in packed) + self._secret

    def requests(self, tails: Iterable[bytes], first: int) -> list[bytes]:
        """Probes to the hosts with these tails, numbered from `first` on."""
        head, pack = self._head, _ECHO.pack
        return [
            pack(
                head,
                serial & 0xFFFF,
                serial & 0xFFFF ^ 0xFFFF,
                serial,
                serial ^ _WORD_64,
                tail,
            )
            for serial, tail in enumerate(tails, first)
        ]

    def replies(self, packets: memoryview, stamps: Iterable[float]) -> list[Outcome]:
        """The genuine replies in `packets`, slots of `_REPLY.size`, each with its time."""
        ours = self._secret
        return [
            (serial, True, at_s)
            for (source, kind, sequence, serial, asked, secret), at_s in zip(
                _REPLY.iter_unpack(packets), stamps, strict=False
            )
            if secret == ours
            and source == asked
            and kind == ECHO_REPLY
            and sequence == serial & 0xFFFF
        ]


def open_echo_socket(ident: int | None) -> socket.socket:
    """A non-blocking raw socket that gets echo replies to `ident`, or (None) nothing at all.

    Raises ConfigError where this process may not have one.
    """
    try:
        sock = socket.socket(
            socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP
        )
    except PermissionError:
        raise ConfigError(
            [
                "icmpecho needs a raw socket and this process may not open one: give it "
                "CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW in the systemd unit, or "
                "setcap cap_net_raw+ep on the python binary), or use --health tcp"
            ]
        ) from None
    try:
        _filter(sock, ident)
        _enlarge(sock, "SO_SNDBUFFORCE", 32, socket.SO_SNDBUF)
        if ident is not None:
            _enlarge(sock, "SO_RCVBUFFORCE", 33, socket.SO_RCVBUF)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _filter(sock: socket.socket, ident: int | None) -> None:
    """Have the kernel drop what is not for us: each raw socket gets a copy of all ICMP."""
    from pyroute2.ext.bpf import BPF, compile  # noqa: A004, PLC0415 - 0.3 s, not for --help

    take_none = [[BPF.RET | BPF.K, 0, 0, 0]]
    take_ours = [
        [BPF.LDX | BPF.B | BPF.MSH, 0, 0, 0],
        [BPF.LD | BPF.B | BPF.IND, 0, 0, 0],
        [BPF.JMP | BPF.JEQ | BPF.K, 0, 3, ECHO_REPLY],
        [BPF.LD | BPF.H | BPF.IND, 0, 0, 4],
        [BPF.JMP | BPF.JEQ | BPF.K, 0, 1, ident or 0],
        [BPF.RET | BPF.K, 0, 0, 0xFFFF],
        *take_none,
    ]
    # `program` is what `compiled` points at, and must live until the call is over.
    compiled, program = compile(take_none if ident is None else take_ours)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, compiled)
    except OSError as error:
        # Replies are checked again one by one; it only costs more.
        log.warning("no kernel filter on the ICMP socket", reason=str(error))
    del program


def _enlarge(sock: socket.socket, name: str, force: int, plain: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
    except PermissionError:
        log.debug("buffer is limited by the system; CAP_NET_ADMIN would lift it", option=name)
        sock.setsockopt(socket.SOL_SOCKET, plain, BUFFER_BYTES)


class _PlainIo:
    """The same as `probing_mmsg` with a system call for each packet."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._packets = bytearray(_REPLY.size * mmsg.BATCH)
        self._controls = bytearray(_STAMP.size * mmsg.BATCH)

    def send(self, packets: Sequence[bytes], addresses: Sequence[bytes]) -> list[tuple[int, int]]:
        unsent: list[tuple[int, int]] = []
        for index, (packet, address) in enumerate(zip(packets, addresses, strict=True)):
            try:
                self._sock.sendto(packet, (socket.inet_ntoa(address[4:8]), 0))
            except OSError as error:
                unsent.append((index, error.errno or errno.EIO))
        return unsent

    def receive(self) -> int:
        packets = memoryview(self._packets)
        for index in range(mmsg.BATCH):
            slot = packets[index * _REPLY.size : (index + 1) * _REPLY.size]
            try:
                _, ancillary, _, _ = self._sock.recvmsg_into([slot], _STAMP.size)
            except (BlockingIOError, InterruptedError):
                return index
            stamps = [entry for entry in ancillary if entry[1] == SO_TIMESTAMPNS]
            level, kind, data = stamps[0] if stamps else (0, 0, bytes(_TIMESPEC_BYTES))
            header = struct.pack("=8xii", level, kind)
            _put(self._controls, index * _STAMP.size, header + data)
        return mmsg.BATCH

    def take(self, count: int) -> tuple[memoryview, memoryview]:
        return (
            memoryview(self._packets)[: count * _REPLY.size],
            memoryview(self._controls)[: count * _STAMP.size],
        )


def _put(buffer: bytearray, at: int, data: bytes) -> None:
    buffer[at : at + len(data)] = data


class EchoProber:
    """A Prober (see `vpcrouter.probing`) by ICMP echo."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, fast: bool | None = None
    ) -> None:
        """Open the sockets; raises ConfigError without the right to.

        `fast` chooses between `sendmmsg` and plain calls; by default, what there is.
        """
        self.trouble = ""
        self._clock = clock
        self._codec = EchoCodec(1 + secrets.randbelow(0xFFFF), secrets.token_bytes(8))
        self._sock = open_echo_socket(self._codec.ident)
        # Packets to a dead neighbour wait for ARP at the expense of their socket's buffer,
        # so hosts that don't answer are probed from one of their own.
        self._silent_sock = open_echo_socket(None)
        use_mmsg = mmsg.is_available() if fast is None else fast
        self._silent_out = _PlainIo(self._silent_sock)
        self._out: mmsg.Sender | _PlainIo
        self._in: mmsg.Receiver | _PlainIo
        if use_mmsg:
            self._out = mmsg.Sender(self._sock.fileno(), _ECHO.size)
            self._in = mmsg.Receiver(self._sock.fileno(), _REPLY.size)
        else:
            self._out = self._in = _PlainIo(self._sock)
        self._routes: dict[str, tuple[bytes, bytes]] = {}
        """Each host's sockaddr and the tail of its probes."""
        self._silent: set[str] = set()
        self._wall_ahead_s = 0.0
        self._drained_s = clock()
        self._may_have_more = True

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()
        self._silent_sock.close()

    def set_hosts(self, hosts: Sequence[str]) -> None:
        self._routes = {host: self._route(host) for host in hosts}
        self._silent &= self._routes.keys()
        warn_of_small_neighbour_table(len(hosts))

    def _route(self, host: str) -> tuple[bytes, bytes]:
        packed = socket.inet_aton(host)
        sockaddr = struct.pack("=HH4s8x", socket.AF_INET, 0, packed)
        return sockaddr, self._codec.tail(packed)

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        routes = self._routes
        packets = self._codec.requests([routes[host][1] for host in hosts], first)
        addresses = [routes[host][0] for host in hosts]
        silent = self._silent
        if not silent:
            return self._send(self._out, packets, addresses)
        unsent: list[int] = []
        for out, is_silent in ((self._out, False), (self._silent_out, True)):
            which = [i for i, host in enumerate(hosts) if (host in silent) is is_silent]
            failed = self._send(out, [packets[i] for i in which], [addresses[i] for i in which])
            unsent += [which[index] for index in failed]
        return unsent

    def _send(
        self, out: mmsg.Sender | _PlainIo, packets: list[bytes], addresses: list[bytes]
    ) -> list[int]:
        unsent: list[int] = []
        for start in range(0, len(packets), mmsg.BATCH):
            end = start + mmsg.BATCH
            for index, error in out.send(packets[start:end], addresses[start:end]):
                unsent.append(start + index)
                self.trouble = errno.errorcode.get(error, str(error))
        return unsent

    def collect(self) -> Sequence[Outcome] | None:
        if not self._may_have_more:
            self._may_have_more = True
            return None
        now_s = self._clock()
        try:
            count = self._in.receive()
        except OSError as error:  # an ICMP error that the kernel reports to this socket
            log.debug("receiving failed", reason=str(error))
            return []
        if not count:
            self._drained_s = now_s
            return None
        self._may_have_more = count == mmsg.BATCH
        packets, controls = self._in.take(count)
        outcomes = self._codec.replies(packets, self._arrivals(controls, now_s))
        if not self._may_have_more:
            self._drained_s = now_s
        return outcomes

    def _arrivals(self, controls: memoryview, now_s: float) -> Iterable[float]:
        """When each packet came, by the kernel's wall clock turned into monotonic time.

        Where all was read a moment ago, or that clock was set meanwhile: as early as can be.
        """
        earliest_s = self._drained_s
        if now_s - earliest_s < FINE_S:
            return itertools.repeat(earliest_s)
        ahead_s = time.time() - now_s
        has_stepped = abs(ahead_s - self._wall_ahead_s) > CLOCK_STEP_S
        self._wall_ahead_s = ahead_s
        if has_stepped:
            return itertools.repeat(earliest_s)
        return [
            min(max(second + nano * 1e-9 - ahead_s, earliest_s), now_s)
            if kind == SO_TIMESTAMPNS
            else earliest_s
            for _, kind, second, nano in _STAMP.iter_unpack(controls)
        ]

    def expire(self, probes: Iterable[tuple[int, str]]) -> None:
        for _, host in probes:
            if host in self._routes:
                self._silent.add(host)

    def revive(self, hosts: Iterable[str]) -> None:
        self._silent.difference_update(hosts)

    def forget(self, serials: Iterable[int]) -> None:
        """A late reply is known by its serial; there is nothing to let go."""


def warn_of_small_neighbour_table(hosts: int) -> None:
    """Log it where so many neighbours would push each other out."""
    try:
        limit = int(NEIGHBOURS.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return  # not shown inside a network namespace
    if hosts > limit:
        log.warning(
            "the kernel's neighbour table is smaller than the number of hosts; those on this "
            "subnet would be lost: raise sysctl net.ipv4.neigh.default.gc_thresh3",
            gc_thresh3=limit,
            hosts=hosts,
        )
