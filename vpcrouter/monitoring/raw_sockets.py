"""Raw ICMP sockets, and reading and writing many packets on them."""

import errno
import socket
import struct
from collections.abc import Sequence

from vpcrouter.errors import ConfigError
from vpcrouter.logs import setup as logs
from vpcrouter.monitoring import mmsg
from vpcrouter.monitoring.echo_packets import V4, Version

BUFFER_BYTES = 16 * 1024 * 1024
SO_TIMESTAMPNS = 35
SO_ATTACH_FILTER = 26
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
ICMP6_FILTER = 1
STAMP = struct.Struct("=8xiiqq32x")
"""Level, type, seconds and nanoseconds of a slot for ancillary data."""
_TIMESPEC_BYTES = 16

log = logs.get(__name__)


def open_echo_socket(version: Version, ident: int | None) -> socket.socket:
    """A non-blocking raw socket that receives echo replies to `ident`, or (None) nothing at all.

    Raises ConfigError if this process may not open one, OSError if the system has none.
    """
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
    try:
        sock = socket.socket(version.family, kind, version.protocol)
    except PermissionError:
        raise ConfigError(
            [
                "icmpecho needs a raw socket and this process may not open one: give it "
                "CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW in the systemd unit, or "
                "setcap cap_net_raw+ep on the python binary), or use --health tcp"
            ]
        ) from None
    try:
        _filter(sock, version, ident)
        _enlarge(sock, "SO_SNDBUFFORCE", SO_SNDBUFFORCE, socket.SO_SNDBUF)
        if ident is not None:
            _enlarge(sock, "SO_RCVBUFFORCE", SO_RCVBUFFORCE, socket.SO_RCVBUF)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _filter(sock: socket.socket, version: Version, ident: int | None) -> None:
    """Have the kernel drop other packets: each raw socket gets a copy of all ICMP."""
    from pyroute2.ext.bpf import BPF, compile  # noqa: A004, PLC0415 - 0.3 s, not for --help

    if version is not V4:
        # Blocked are the types whose bits are set (RFC 3542, 3.2).
        passed = 1 << version.reply_kind if ident is not None else 0
        blocked = ((1 << 256) - 1 ^ passed).to_bytes(32, "little")
        sock.setsockopt(version.protocol, ICMP6_FILTER, blocked)
    # Over IPv4 the packet starts with the IP header, which contains its own length.
    start = BPF.LDX | BPF.B | BPF.MSH if version is V4 else BPF.LDX | BPF.W | BPF.IMM
    take_none = [[BPF.RET | BPF.K, 0, 0, 0]]
    take_ours = [
        [start, 0, 0, 0],
        [BPF.LD | BPF.B | BPF.IND, 0, 0, 0],
        [BPF.JMP | BPF.JEQ | BPF.K, 0, 3, version.reply_kind],
        [BPF.LD | BPF.H | BPF.IND, 0, 0, 4],
        [BPF.JMP | BPF.JEQ | BPF.K, 0, 1, ident or 0],
        [BPF.RET | BPF.K, 0, 0, 0xFFFF],
        *take_none,
    ]
    # `compiled` points into `program`, which must live until the call returns.
    compiled, program = compile(take_none if ident is None else take_ours)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, compiled)
    except OSError as error:
        # Replies are validated one by one anyway; without the filter it only costs more.
        log.warning("no kernel filter on the ICMP socket", reason=str(error))
    del program


def _enlarge(sock: socket.socket, name: str, force: int, plain: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
    except PermissionError:
        log.debug("socket buffer limited by sysctl; CAP_NET_ADMIN lifts the limit", option=name)
        sock.setsockopt(socket.SOL_SOCKET, plain, BUFFER_BYTES)


class PlainIo:
    """The same as `mmsg`, with one system call per packet."""

    def __init__(self, sock: socket.socket, version: Version) -> None:
        self._sock = sock
        self._version = version
        self._slot_bytes = version.reply.size
        self._slots = bytearray(self._slot_bytes * mmsg.BATCH)
        self._controls = bytearray(STAMP.size * mmsg.BATCH)
        self._sizes = [0] * mmsg.BATCH

    def send(self, packets: Sequence[bytes], addresses: Sequence[bytes]) -> list[tuple[int, int]]:
        unsent: list[tuple[int, int]] = []
        for index, (packet, address) in enumerate(zip(packets, addresses, strict=True)):
            try:
                self._sock.sendto(packet, (self._version.text(address), 0))
            except OSError as error:
                unsent.append((index, error.errno or errno.EIO))
        return unsent

    def receive(self) -> int:
        slots, name_bytes = memoryview(self._slots), self._version.name_bytes
        for index in range(mmsg.BATCH):
            slot = slots[index * self._slot_bytes : (index + 1) * self._slot_bytes]
            try:
                size, ancillary, _, source = self._sock.recvmsg_into(
                    [slot[name_bytes:]], STAMP.size
                )
            except (BlockingIOError, InterruptedError):
                return index
            self._sizes[index] = size
            if name_bytes:
                address = source[0].partition("%")[0]
                slot[:name_bytes] = self._version.to(self._version.packed(address))
            stamps = [entry for entry in ancillary if entry[1] == SO_TIMESTAMPNS]
            level, kind, data = stamps[0] if stamps else (0, 0, bytes(_TIMESPEC_BYTES))
            header = struct.pack("=8xii", level, kind)
            _put(self._controls, index * STAMP.size, header + data)
        return mmsg.BATCH

    def take(self, count: int) -> tuple[memoryview, memoryview, list[int]]:
        return (
            memoryview(self._slots)[: count * self._slot_bytes],
            memoryview(self._controls)[: count * STAMP.size],
            self._sizes[:count],
        )


def _put(buffer: bytearray, at: int, data: bytes) -> None:
    buffer[at : at + len(data)] = data
