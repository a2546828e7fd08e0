"""A multiprocessing queue for one producer and one consumer; neither side can stall the other.

A queue lives as long as one generation of a worker. Why: docs/decisions/0001-star-of-queues.md.
"""

import contextlib
import fcntl
import io
import multiprocessing
import os
import pickle
import struct
import zlib
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import assert_spawning
from multiprocessing.queues import SimpleQueue
from types import ModuleType
from typing import Any

from vpcrouter.errors import ChannelError
from vpcrouter.model import messages, spec
from vpcrouter.model.messages import Envelope

MAX_FRAME_BYTES = 64 * 1024 * 1024
STEP_BYTES = 1024 * 1024
_HEAD = struct.Struct("!II")
"""A frame's length and checksum: unpickling damaged data can request all memory."""


class Channel(SimpleQueue[Envelope]):
    """The queue itself, created before the process that gets one end of it."""

    _reader: Connection
    _writer: Connection

    def __init__(self) -> None:
        # SimpleQueue's own locks stay held if a process is killed: this class has none.
        self._reader, self._writer = multiprocessing.Pipe(duplex=False)
        with contextlib.suppress(
            OSError
        ):  # the user's pipe quota is exhausted: a small pipe works, too
            fcntl.fcntl(self._writer.fileno(), fcntl.F_SETPIPE_SZ, STEP_BYTES)

    def __getstate__(self) -> Any:
        assert_spawning(self)
        return self._reader, self._writer

    def __setstate__(self, state: Any) -> None:
        self._reader, self._writer = state

    @property
    def reader(self) -> Connection:
        return self._reader

    @property
    def writer(self) -> Connection:
        return self._writer

    def producer(self) -> "Producer":
        """Become the producing side."""
        self._reader.close()
        return Producer(self._writer)

    def consumer(self) -> "Consumer":
        """Become the consuming side."""
        self._writer.close()
        return Consumer(self._reader)


class Producer:
    """The writing end. A newer message of a kind (and origin) replaces an unsent one."""

    def __init__(self, writer: Connection) -> None:
        self._writer = writer
        os.set_blocking(writer.fileno(), False)
        self._frame = memoryview(b"")
        self._waiting: dict[tuple[str, type], Envelope] = {}
        self.closed = False

    def fileno(self) -> int:
        return self._writer.fileno()

    @property
    def has_unsent(self) -> bool:
        return bool(self._frame or self._waiting) and not self.closed

    def put(self, envelope: Envelope) -> None:
        """Queue `envelope` and send what fits into the pipe; never waits."""
        key = envelope.worker, type(envelope.message)
        self._waiting.pop(key, None)
        self._waiting[key] = envelope
        self.flush()

    def flush(self) -> None:
        """Send what fits into the pipe; `has_unsent` is true if something is left."""
        while self.has_unsent:
            if not self._frame:
                self._frame = self._next_frame()
            try:
                sent = os.write(self._writer.fileno(), self._frame[:STEP_BYTES])
            except BlockingIOError:
                return
            except OSError:  # the reader has exited
                self.closed = True
                return
            self._frame = self._frame[sent:]

    def _next_frame(self) -> memoryview:
        key = next(iter(self._waiting))
        envelope = self._waiting.pop(key)
        body = envelope.pickled or pickle.dumps(envelope, pickle.HIGHEST_PROTOCOL)
        if len(body) > MAX_FRAME_BYTES:
            raise ChannelError(f"{key[1].__name__} message of {len(body)} bytes is too large")
        return memoryview(framed(body))

    def close(self) -> None:
        self.closed = True
        self._writer.close()


def producer_of(fd: int) -> Producer:
    """The producing side of a channel whose writing end was handed over."""
    return Producer(Connection(fd, readable=False))


def consumer_of(fd: int) -> "Consumer":
    """The consuming side of a channel whose reading end was handed over."""
    return Consumer(Connection(fd, writable=False))


def framed(body: bytes) -> bytes:
    """`body` with its frame header."""
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


class Consumer:
    """The reading end."""

    def __init__(self, reader: Connection) -> None:
        self._reader = reader
        os.set_blocking(reader.fileno(), False)
        self._buffer = bytearray()
        self.ended = False

    def fileno(self) -> int:
        return self._reader.fileno()

    def get_all(self) -> list[Envelope]:
        """The received messages, oldest first, after at most one read; never waits.

        Sets `ended` at end-of-file. Raises ChannelError for invalid data.
        """
        try:
            piece = os.read(self._reader.fileno(), STEP_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ChannelError(f"cannot read: {error.strerror}") from error
        if not piece:
            self.ended = True
            self._buffer.clear()  # a torn tail
            return []
        self._buffer += piece
        return self._cut()

    def _cut(self) -> list[Envelope]:
        found: list[Envelope] = []
        start = 0
        while len(self._buffer) - start >= _HEAD.size:
            length, checksum = _HEAD.unpack_from(self._buffer, start)
            if length > MAX_FRAME_BYTES:
                raise ChannelError(f"frame length of {length} bytes exceeds the limit")
            end = start + _HEAD.size + length
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[start + _HEAD.size : end])
            if zlib.crc32(body) != checksum:
                raise ChannelError("frame checksum mismatch")
            found.append(_unpickle(body))
            start = end
        del self._buffer[:start]
        return found

    def close(self) -> None:
        self._reader.close()


MAX_REASON = 200


class _Rebuild:
    """A function that a pickle may call; unlike the function itself, a pickle cannot change it.

    The BUILD opcode (pickletools) sets attributes of whatever has no `__setstate__`.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _state: object) -> None:
        raise TypeError("functions cannot be changed")


def _own_types(module: ModuleType) -> dict[tuple[str, str], Any]:
    """The dataclasses that `module` itself defines, and nothing that it imports."""
    return {
        (module.__name__, name): found
        for name, found in vars(module).items()
        if isinstance(found, type) and is_dataclass(found) and found.__module__ == module.__name__
    }


ALLOWED: Mapping[tuple[str, str], Any] = {
    **_own_types(messages),
    **_own_types(spec),
    **{
        (messages.__name__, function.__name__): _Rebuild(function)
        for function in messages.REBUILDERS
    },
    ("builtins", "frozenset"): frozenset,
    ("builtins", "set"): set,
}
"""What a message may consist of, by module and name."""
SETTINGS_TYPES = frozenset(
    {
        ("vpcrouter.config.settings", "Settings"),
        ("vpcrouter.plugins.registry", "PluginRef"),
    }
)
"""The same; only the supervisor and the worker that reads the settings import these."""


class _OurTypesOnly(pickle.Unpickler):
    """Loads only plain values and our messages: docs/decisions/0003-restricted-unpickler.md."""

    def find_class(self, module: str, name: str) -> Any:
        if (found := ALLOWED.get((module, name))) is not None:
            return found
        if (module, name) in SETTINGS_TYPES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not a message type")


def _unpickle(body: bytes) -> Envelope:
    try:
        envelope = _OurTypesOnly(io.BytesIO(body)).load()
        if isinstance(envelope, Envelope):
            return replace(envelope, pickled=body)
    except Exception as error:  # invalid data can raise anything
        raise ChannelError(f"cannot unpickle frame: {error!r}"[:MAX_REASON]) from error
    raise ChannelError(f"frame holds a {type(envelope).__name__}")
