"""Many packets with one system call: `sendmmsg` and `recvmmsg` of a raw socket.

The message headers point into plain buffers with a slot for each packet, so packets are
written and read in bulk and no header is touched again. Only where pointers have 64 bits.
"""

import ctypes
import errno
import os
from collections.abc import Sequence

BATCH = 128
CONTROL_BYTES = 64


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("header", _MsgHdr), ("size", ctypes.c_uint))


_HEADER_WORDS = ctypes.sizeof(_MMsgHdr) // 4
_SIZE_WORD = _MMsgHdr.size.offset // 4


def is_available() -> bool:
    """Whether this machine has the calls, with the structure layout this module uses."""
    libc = ctypes.CDLL(None)
    return (
        hasattr(libc, "sendmmsg")
        and hasattr(libc, "recvmmsg")
        and ctypes.sizeof(ctypes.c_void_p) == 8
    )


class _Slots:
    """A buffer of `BATCH` slots and the headers that point into it.

    A slot has `name_bytes` for the packet's source address, if any are wanted, and the packet.
    """

    def __init__(self, slot_bytes: int, name_bytes: int = 0) -> None:
        self.data = bytearray(slot_bytes * BATCH)
        self.slot_bytes = slot_bytes
        self._vectors = (_IoVec * BATCH)()
        self.headers = (_MMsgHdr * BATCH)()
        self._base = address_of(self.data)
        for index in range(BATCH):
            slot = self._base + index * slot_bytes
            self._vectors[index].base = slot + name_bytes
            self._vectors[index].size = slot_bytes - name_bytes
            header = self.headers[index].header
            if name_bytes:
                header.name = slot
                header.name_size = name_bytes
            header.iov = ctypes.addressof(self._vectors[index])
            header.iov_count = 1


def address_of(buffer: bytearray) -> int:
    """The address of the buffer, which must not be resized from then on."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class Sender:
    """Sends packets of one size to many addresses (`sockaddr`s of one size)."""

    def __init__(self, fd: int, packet_bytes: int, address_bytes: int) -> None:
        self._fd = fd
        self._address_bytes = address_bytes
        self._slots = _Slots(packet_bytes)
        self._addresses = bytearray(address_bytes * BATCH)
        base = address_of(self._addresses)
        for index in range(BATCH):
            header = self._slots.headers[index].header
            header.name = base + index * address_bytes
            header.name_size = address_bytes
        self._at = ctypes.addressof(self._slots.headers)
        self._step = ctypes.sizeof(_MMsgHdr)
        self._call = ctypes.CDLL(None, use_errno=True).sendmmsg
        self._call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)

    def send(self, packets: Sequence[bytes], addresses: Sequence[bytes]) -> list[tuple[int, int]]:
        """Send up to `BATCH` packets; return the index and errno of each not sent."""
        count = len(packets)
        self._slots.data[: count * self._slots.slot_bytes] = b"".join(packets)
        self._addresses[: count * self._address_bytes] = b"".join(addresses)
        unsent: list[tuple[int, int]] = []
        index = 0
        while index < count:
            sent = self._call(self._fd, self._at + index * self._step, count - index, 0)
            if sent >= 0:
                index += sent
                continue
            error = ctypes.get_errno()
            if error == errno.EINTR:
                continue
            unsent.append((index, error))
            index += 1
        return unsent


class Receiver:
    """Reads packets and the ancillary data that came with each."""

    def __init__(self, fd: int, slot_bytes: int, name_bytes: int = 0) -> None:
        self._fd = fd
        self._slots = _Slots(slot_bytes, name_bytes)
        self._control = bytearray(CONTROL_BYTES * BATCH)
        base = address_of(self._control)
        for index in range(BATCH):
            header = self._slots.headers[index].header
            header.control = base + index * CONTROL_BYTES
            header.control_size = CONTROL_BYTES
        self._pristine = bytes(self._slots.headers)
        self._call = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._call.argtypes = (
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_void_p,
        )
        self._data = memoryview(self._slots.data)
        self._controls = memoryview(self._control)
        self._words = memoryview(self._slots.headers).cast("B").cast("I")

    def receive(self) -> int:
        """How many packets were read, at most `BATCH`; 0 when there are none. Raises OSError."""
        count: int = self._call(self._fd, ctypes.addressof(self._slots.headers), BATCH, 0, None)
        if count >= 0:
            return count
        error = ctypes.get_errno()
        if error in (errno.EAGAIN, errno.EINTR):
            return 0
        raise OSError(error, os.strerror(error))

    def take(self, count: int) -> tuple[memoryview, memoryview, list[int]]:
        """What was read, packet slots and ancillary slots, valid until the next `receive`; and how
        many bytes of each slot the packet filled, its source address not counted.
        """
        sizes = self._words[_SIZE_WORD : count * _HEADER_WORDS : _HEADER_WORDS].tolist()
        # The kernel has overwritten the sizes of the ancillary buffers.
        ctypes.memmove(self._slots.headers, self._pristine, count * ctypes.sizeof(_MMsgHdr))
        return (
            self._data[: count * self._slots.slot_bytes],
            self._controls[: count * CONTROL_BYTES],
            sizes,
        )
