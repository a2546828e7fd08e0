"""A worker's side of its two channels: waiting, receiving, posting, and its heartbeat.

Plugins use the Protocol; the project's own workers may use the rest, too.
"""

import selectors
import socket
import time
from typing import Protocol, TypeVar

from vpcrouter.ipc.channel import Consumer, Producer
from vpcrouter.model.messages import Envelope, Heartbeat, Message

HEARTBEAT_S = 1.0
FAREWELL_S = 0.5

M = TypeVar("M", bound=Message)


class StopWorker(Exception):  # noqa: N818 - not an error
    """The worker must end, or its supervisor has exited."""


class Mailbox(Protocol):
    """What a plugin may call: `wait`, `watch` and `unwatch`, from the main thread only.

    The rest is for the work loops that a plugin passes its mailbox to. The messages that they
    take and post are not part of the plugin API.
    """

    generation: int
    """1 for the first process of this worker, plus one for each replacement."""

    def wait(self, timeout_s: float) -> set[int]:
        """Wait for a message, a watched descriptor or `timeout_s`; return the ready descriptors.

        Sends the heartbeat. Raises StopWorker.
        """

    def watch(self, fd: int) -> None:
        """Make `wait` return when `fd` is readable."""

    def unwatch(self, fd: int) -> None:
        """Stop watching `fd`."""

    def take(self, kind: type[M]) -> M | None:
        """The newest message of `kind` not yet taken."""

    def post(self, message: Message) -> None:
        """Send a message to the supervisor; never waits. Replaces an unsent one of its kind."""


class WorkerMailbox(Mailbox):
    """Owned by the worker's main thread, whose work loop must keep calling `wait`."""

    def __init__(
        self,
        worker: str,
        generation: int,
        inbox: Consumer,
        outbox: Producer,
        wake_fd: int,
        listener: socket.socket | None = None,
    ) -> None:
        """`wake_fd` becomes readable when the worker must end.

        `listener` is a listening socket that the supervisor keeps open across generations.
        """
        self.worker = worker
        self.listener = listener
        self.generation = generation
        self._inbox = inbox
        self._outbox = outbox
        self._wake_fd = wake_fd
        self._received: dict[tuple[str, type[Message]], Message] = {}
        self._last_beat_s = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._selector.register(inbox, selectors.EVENT_READ)
        self._selector.register(wake_fd, selectors.EVENT_READ)

    def watch(self, fd: int) -> None:
        self._selector.register(fd, selectors.EVENT_READ)

    def unwatch(self, fd: int) -> None:
        self._selector.unregister(fd)

    def fileno(self) -> int:
        """Readable when a message has arrived; for loops that wait elsewhere."""
        return self._inbox.fileno()

    def post(self, message: Message) -> None:
        self._outbox.put(Envelope(self.worker, self.generation, time.monotonic(), message))

    def take(self, kind: type[M]) -> M | None:
        taken = self.take_all(kind)
        return taken[-1] if taken else None

    def take_all(self, kind: type[M]) -> list[M]:
        """The newest message of `kind` from each sender, not yet taken."""
        keys = [key for key in self._received if key[1] is kind]
        return [message for key in keys if isinstance(message := self._received.pop(key), kind)]

    def wait(self, timeout_s: float) -> set[int]:
        deadline_s = time.monotonic() + max(0.0, timeout_s)
        while True:
            self._beat()
            left_s = max(0.0, deadline_s - time.monotonic())
            ready, has_mail = self._select(min(left_s, HEARTBEAT_S))
            if ready or has_mail or time.monotonic() >= deadline_s:
                return ready

    def _beat(self) -> None:
        now_s = time.monotonic()
        if now_s - self._last_beat_s >= HEARTBEAT_S:
            self._last_beat_s = now_s
            self.post(Heartbeat())

    def _select(self, timeout_s: float) -> tuple[set[int], bool]:
        """The ready descriptors, and whether a message has arrived."""
        has_unsent = self._outbox.has_unsent
        if has_unsent:
            self._selector.register(self._outbox, selectors.EVENT_WRITE)
        try:
            ready = {key.fd for key, _ in self._selector.select(timeout_s)}
        finally:
            if has_unsent:
                self._selector.unregister(self._outbox)
        if self._wake_fd in ready:
            raise StopWorker
        if has_unsent:
            self._outbox.flush()
            ready.discard(self._outbox.fileno())
        has_mail = self._inbox.fileno() in ready
        if has_mail:
            ready.discard(self._inbox.fileno())
            has_mail = self._receive()
        if self._outbox.closed or self._inbox.ended:
            raise StopWorker
        return ready, has_mail

    def _receive(self) -> bool:
        envelopes = self._inbox.get_all()
        for envelope in envelopes:
            key = envelope.worker, type(envelope.message)
            self._received.pop(key, None)
            self._received[key] = envelope.message
        return bool(envelopes)

    def farewell(self) -> None:
        """Send what is still unsent, for a short time."""
        deadline_s = time.monotonic() + FAREWELL_S
        while self._outbox.has_unsent and time.monotonic() < deadline_s:
            self._outbox.flush()
            time.sleep(0.01)
