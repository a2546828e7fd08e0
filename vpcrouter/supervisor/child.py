"""One worker of the supervisor: its process, its two channels, its lifecycle."""

import os
import random
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any

from supervisor.states import ProcessStates

from vpcrouter.errors import ChannelError
from vpcrouter.ipc.channel import Channel, Consumer, Producer
from vpcrouter.linux import environment
from vpcrouter.model.messages import Envelope, WorkerStatus
from vpcrouter.supervisor.launch import Launch
from vpcrouter.supervisor.lifecycle import Lifecycle, LifePolicy
from vpcrouter.supervisor.needs import needs_of
from vpcrouter.supervisor.process import ChildProcess
from vpcrouter.supervisor.worker import Start, WorkerSpec

LAST_WORDS_READS = 8
MAX_REFUSED = 10
"""A generation that has sent so many invalid messages is ended."""


class Child:
    """Owned by the supervisor's loop; no method waits."""

    def __init__(
        self, spec: WorkerSpec, policy: LifePolicy, listener: socket.socket | None = None
    ) -> None:
        self.spec = spec
        self.life = Lifecycle(policy, random.Random())  # noqa: S311 - jitter
        self.info: Mapping[str, Any] = {}
        self.started_at = self.ended_at = 0.0
        self.launch: Launch | None = None
        self.process: ChildProcess | None = None
        self.outgoing: Producer | None = None
        self.incoming: Consumer | None = None
        self.is_leaving = False
        self.refused = 0
        """Invalid messages of all generations."""
        self._refused_before = 0
        self._listener = listener

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def role(self) -> str:
        return self.spec.role

    def prepare(self, now_s: float) -> tuple[Launch, Consumer]:
        """Make a new generation with its own channels; its process is still to be started.

        Raises OSError.
        """
        inbox, outbox = Channel(), Channel()
        self.life.started(now_s)
        self._refused_before = self.refused
        self.started_at = time.time()
        passed = environment.withheld(needs_of(self.spec.ref).environment)
        start = Start(self.spec, self.life.generation, os.getpid(), passed)
        self.launch = Launch(start, inbox, outbox, self._listener)
        self.outgoing = inbox.producer()
        self.incoming = outbox.consumer()
        return self.launch, self.incoming

    def began(self, process: ChildProcess) -> None:
        self.launch = None
        self.process = process

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def send_signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def is_held(self) -> bool:
        """Whether its process is stopped (SIGSTOP) during its start."""
        return (
            self.process is not None
            and self.life.state == ProcessStates.STARTING
            and self.process.is_stopped()
        )

    def stop(self, now_s: float) -> None:
        """Send SIGTERM, or cancel the pending start; SIGKILL follows if it does not exit."""
        self.life.stop(now_s)
        self.send_signal(signal.SIGTERM)

    def leave(self, now_s: float) -> None:
        """Stop it for good: the configuration no longer has this worker."""
        self.is_leaving = True
        self.stop(now_s)

    def renew(self, spec: WorkerSpec, now_s: float) -> None:
        """Stop this generation; the next one starts with `spec`."""
        self.spec = spec
        self.stop(now_s)

    def receive(self) -> list[Envelope]:
        """Messages, unchecked. Raises ChannelError for invalid data or a closed channel."""
        if self.incoming is None:
            return []
        envelopes = self.incoming.get_all()
        if self.incoming.ended:
            raise ChannelError("closed by the worker")
        return envelopes

    @property
    def refused_now(self) -> int:
        """Invalid messages of this generation."""
        return self.refused - self._refused_before

    def is_trusted(self) -> bool:
        """Whether this generation's messages still count."""
        return self.refused_now < MAX_REFUSED

    def last_words(self) -> list[Envelope]:
        """Messages that an exited process sent before its end."""
        envelopes: list[Envelope] = []
        try:
            for _ in range(LAST_WORDS_READS):
                envelopes += self.receive()
        except ChannelError:
            pass
        return envelopes

    def end(self, now_s: float, status: int) -> None:
        """The generation has ended, or has never begun."""
        if self.process is not None:
            self.process.close()
        self.launch = self.process = None
        for end in (self.outgoing, self.incoming):
            if end is not None:
                end.close()
        self.outgoing = self.incoming = None
        self.ended_at = time.time()
        self.life.exited(now_s, status)

    def status(self) -> WorkerStatus:
        return WorkerStatus(
            self.name,
            self.role,
            state_name(self.life.state),
            self.pid,
            self.life.generation,
            self.started_at,
            self.info,
            self.life.last_exit,
            self.life.exit_status,
            self.ended_at,
            self.life.spawn_error,
            self.refused,
        )


def state_name(state: int) -> str:
    """Supervisor's name of one of its process states."""
    names = {value: name for name, value in vars(ProcessStates).items() if name.isupper()}
    return str(names[state])
