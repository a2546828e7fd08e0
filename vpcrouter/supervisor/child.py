"""One worker of the supervisor: its process, its two channels, its lifecycle."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from multiprocessing import util
from multiprocessing.context import SpawnProcess
from multiprocessing.popen_spawn_posix import Popen
from multiprocessing.process import BaseProcess
from typing import Any

from supervisor.states import ProcessStates

from vpcrouter.errors import ChannelError
from vpcrouter.ipc.channel import Channel, Consumer, Producer
from vpcrouter.model.messages import Envelope, WorkerStatus
from vpcrouter.supervisor.lifecycle import Lifecycle, LifePolicy
from vpcrouter.supervisor.worker import Start, WorkerSpec, main

LAST_WORDS_READS = 8


class _OwnGroup(Popen):
    """Spawns the process as the leader of a process group."""

    def _launch(self, process_obj: BaseProcess) -> None:
        usual, util.spawnv_passfds = util.spawnv_passfds, _spawn_in_own_group
        try:
            super()._launch(process_obj)  # type: ignore[misc]  # private
        finally:
            util.spawnv_passfds = usual


def _spawn_in_own_group(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
    process = subprocess.Popen(args, executable=path, pass_fds=passfds, process_group=0)  # noqa: S603 - our own interpreter
    process.returncode = 0  # multiprocessing waits for it, so this object must not
    return process.pid


class WorkerProcess(SpawnProcess):
    """A spawned process that cannot outlive its parent, not even stopped while it starts.

    As soon as it runs our code, it asks the kernel to kill it when its parent dies. Until then,
    the parent's death orphans its process group, and the kernel sends SIGHUP and SIGCONT to
    stopped processes in such a group (setpgid(2)).
    """

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Popen:  # noqa: N802 - its name there
        return _OwnGroup(process_obj)


class Child:
    """Owned by the supervisor's loop; no method waits."""

    def __init__(
        self, spec: WorkerSpec, policy: LifePolicy, listener: socket.socket | None = None
    ) -> None:
        self.spec = spec
        self.life = Lifecycle(policy, random.Random())  # noqa: S311 - jitter
        self.info: Mapping[str, Any] = {}
        self.started_at = self.ended_at = 0.0
        self.process: BaseProcess | None = None
        self.outgoing: Producer | None = None
        self.incoming: Consumer | None = None
        self.is_leaving = False
        self._listener = listener

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def role(self) -> str:
        return self.spec.role

    def spawn(self, now_s: float) -> tuple[BaseProcess, Consumer]:
        """Start a new generation with its own channels. Raises OSError."""
        inbox, outbox = Channel(), Channel()
        self.life.started(now_s)
        self.started_at = time.time()
        start = Start(self.spec, self.life.generation, inbox, outbox, self._listener, os.getpid())
        process = WorkerProcess(target=main, args=(start,), name=self.name)
        process.start()
        self.process = process
        self.outgoing = inbox.producer()
        self.incoming = outbox.consumer()
        return process, self.incoming

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def send_signal(self, number: int) -> None:
        """Signal the process; it is our unreaped child, so its pid cannot have been reused."""
        if self.process is not None and self.process.pid and self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def is_held(self) -> bool:
        """Whether its process is stopped (SIGSTOP) during its start."""
        if (
            self.process is None
            or not self.process.pid
            or self.life.state != ProcessStates.STARTING
        ):
            return False
        how = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.process.pid, how) is not None
        except ChildProcessError:  # multiprocessing has waited for it
            return False

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
        """Messages of this generation. Raises ChannelError for invalid data or a closed channel."""
        if self.incoming is None:
            return []
        envelopes = [
            envelope
            for envelope in self.incoming.get_all()
            if (envelope.worker, envelope.generation) == (self.name, self.life.generation)
        ]
        if self.incoming.ended:
            raise ChannelError("closed by the worker")
        return envelopes

    def last_words(self) -> list[Envelope]:
        """Messages that an exited process sent before its end."""
        envelopes: list[Envelope] = []
        try:
            for _ in range(LAST_WORDS_READS):
                envelopes += self.receive()
        except ChannelError:
            pass
        return envelopes

    def bury(self, now_s: float) -> bool:
        """Reap the process if it has exited; False if it still runs."""
        if self.process is None:
            return False
        self.process.join(timeout=0)
        status = self.process.exitcode
        if status is None:
            return False
        self.process.close()
        self.process = None
        for end in (self.outgoing, self.incoming):
            if end is not None:
                end.close()
        self.outgoing = self.incoming = None
        self.ended_at = time.time()
        self.life.exited(now_s, status)
        return True

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
        )


def state_name(state: int) -> str:
    """Supervisor's name of one of its process states."""
    names = {value: name for name, value in vars(ProcessStates).items() if name.isupper()}
    return str(names[state])
