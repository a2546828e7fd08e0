"""Relays messages: the newest of each kind goes to all its readers, and to those started later."""

import contextlib
import selectors
import time
from collections.abc import Iterator, Mapping
from typing import Any

from vpcrouter.model.messages import RECONCILER, Envelope, Message
from vpcrouter.supervisor.child import Child


class Relay:
    """Owned by the supervisor's loop; nothing here waits for a reader."""

    def __init__(self, children: Mapping[str, Child], selector: selectors.DefaultSelector) -> None:
        self._children = children
        self._selector = selector
        self._latest: dict[tuple[str, type[Message]], Envelope] = {}

    def latest(self, worker: str, kind: type[Message]) -> Message | None:
        envelope = self._latest.get((worker, kind))
        return envelope.message if envelope else None

    def ages_s(self) -> Iterator[tuple[str, str, float]]:
        """Sender, kind and age of each retained message."""
        for (worker, kind), envelope in sorted(self._latest.items(), key=str):
            yield worker, kind.__name__, time.monotonic() - envelope.sent_s

    def pass_on(self, envelope: Envelope) -> None:
        """Retain it and send it to all workers that read its kind."""
        kind = type(envelope.message)
        self._latest[envelope.worker, kind] = envelope
        readers = [child for child in self._children.values() if child.role in kind.readers]
        for child in sorted(readers, key=_comes_later):
            self._send(child, envelope)

    def publish(self, worker: str, generation: int, message: Message) -> None:
        """Send a message on behalf of a worker that does not run."""
        self.pass_on(Envelope(worker, generation, time.monotonic(), message))

    def brief(self, child: Child) -> None:
        """Send a new generation all retained messages that it reads, and its predecessor's."""
        for (worker, kind), envelope in self._latest.items():
            if child.role in kind.readers or (worker == child.name and kind.for_successor):
                self._send(child, envelope)

    def withdraw(self, worker: str) -> None:
        """Drop its messages: they were sent under the old settings."""
        self._latest = {key: each for key, each in self._latest.items() if key[0] != worker}

    def _send(self, child: Child, envelope: Envelope) -> None:
        producer = child.outgoing
        if producer is None:
            return
        producer.put(envelope)
        if not producer.has_unsent or producer.fileno() in self._selector.get_map():
            return

        def flush(_events: int) -> None:
            producer.flush()
            # A child that was reaped in the same turn has closed its channel.
            if not producer.has_unsent and child.outgoing is producer:
                forget(self._selector, producer)

        self._selector.register(producer, selectors.EVENT_WRITE, flush)


def _comes_later(child: Child) -> bool:
    """The reconciler gets messages first, so that failover waits for no other reader."""
    return child.role != RECONCILER


def forget(selector: selectors.DefaultSelector, fileobj: Any) -> None:
    """Stop watching something, whether or not it is watched."""
    if fileobj is not None:
        with contextlib.suppress(KeyError, ValueError, OSError):
            selector.unregister(fileobj)
