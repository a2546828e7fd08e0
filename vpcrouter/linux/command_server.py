"""The command server (keeper) of a worker: a small process that runs its commands and ends them.

    worker ── keeper ─┬─ guard ── command ── whatever it starts
                      └─ guard ── command …

The worker sends orders over a socket. For each the keeper forks a guard, which is a subreaper:
all processes that the command starts stay below it, daemons too, and are killed when the command
has ended or timed out, or when worker or keeper has exited. The keeper is a program of its own
because it is small, has no threads, and can be forked cheaply.

Run as `python -m vpcrouter.linux.command_server FD`, FD being its end of the socket.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from vpcrouter.linux import landlock
from vpcrouter.linux.descendants import KILL_PAUSE_S, children, end_descendants, kill, reaped
from vpcrouter.linux.prctl import adopt_descendants, die_with_parent
from vpcrouter.linux.privileges import can_gain_none, hide_memory

MAX_OUTPUT = 1024
MAX_MESSAGE = 128 * 1024
LATE_SHARE = 0.5
"""A guard that is late by this share of the time-out was itself not scheduled."""
PATIENCE_S = 1.0
"""After this time the result is sent, and remaining processes are ended afterwards."""
MAX_GUARDS = 1024


class End(StrEnum):
    """How a command ended."""

    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    NOT_STARTED = "not started"
    LOST = "lost"
    """The result is unknown."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command to run. `number` is chosen by the worker to identify the result."""

    number: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    timeout_s: float

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Order":
        found = json.loads(data)
        return cls(found["number"], tuple(found["argv"]), found["env"], found["timeout_s"])


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of an order. `status` is an exit status or a signal number.

    `text` is the last KiB of the command's output, or why it was not started.
    """

    number: int
    end: End
    status: int = 0
    text: str = ""

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Ended":
        found = json.loads(data)
        return cls(found["number"], End(found["end"]), found["status"], found["text"])


def main(arguments: Sequence[str]) -> None:
    """Serve until the worker has exited."""
    link = socket.socket(fileno=int(arguments[0]))
    link.set_inheritable(False)
    hide_memory()  # that of the guards, too; not that of commands
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the socket signals the end
    adopt_descendants()
    Keeper(link).run()


class Keeper:
    """Single-threaded; waits only in `poll`."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._pid = os.getpid()
        self._guards: dict[int, int] = {}
        """The order number of each guard."""

    def run(self) -> None:
        """Fork a guard for each order until the worker has exited."""
        wake, wake_writer = os.pipe()
        for end in (wake, wake_writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if wake in ready:
                os.read(wake, 4096)
                self._bury()
            if self._link.fileno() in ready:
                data = self._receive()
                if not data:
                    break
                self._start(Order.decode(data))
        deadline_s = time.monotonic() + PATIENCE_S
        while self._guards and time.monotonic() < deadline_s:
            time.sleep(KILL_PAUSE_S)  # they notice it themselves
            self._bury()
        end_descendants(PATIENCE_S)

    def _receive(self) -> bytes:
        try:
            return self._link.recv(MAX_MESSAGE)
        except ConnectionError:
            return b""

    def _start(self, order: Order) -> None:
        if len(self._guards) >= MAX_GUARDS:
            text = f"{MAX_GUARDS} commands of earlier checks are still running"
            self._tell(Ended(order.number, End.NOT_STARTED, text=text))
            return
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(Ended(order.number, End.NOT_STARTED, text=str(error.strerror)))
            return
        if pid:
            self._guards[pid] = order.number
            return
        with _ending_process():
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            CommandGuard(order, self._link, self._pid).run()

    def _bury(self) -> None:
        """Reap guards, and kill what killed guards have left behind."""
        for pid, status in reaped():
            number = self._guards.pop(pid, None)
            if number is not None and status:
                self._tell(Ended(number, End.LOST, text="guard process was killed"))
        kill(pid for pid in children() if pid not in self._guards)

    def _tell(self, ended: Ended) -> None:
        with contextlib.suppress(OSError):  # the worker has exited, as `recv` will show
            self._link.send(ended.encode())


class CommandGuard:
    """The parent process of one command."""

    def __init__(self, order: Order, link: socket.socket, keeper_pid: int) -> None:
        self._order = order
        self._link = link
        self._keeper_pid = keeper_pid
        self._output = b""

    def run(self) -> None:
        """Run the command, report how it ended, and kill everything it has left."""
        adopt_descendants()
        keeper = os.pidfd_open(self._keeper_pid)
        if os.getppid() != self._keeper_pid:
            return
        deadline_s = time.monotonic() + self._order.timeout_s
        output, out = os.pipe()
        failure, failed = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(Ended(self._order.number, End.NOT_STARTED, text=str(error.strerror)))
            return
        if not pid:
            with _ending_process():
                execute(self._order, out, failed)
        os.close(out)
        os.close(failed)
        ended = self._ended(pid, os.pidfd_open(pid), output, keeper, deadline_s)
        reason = b"" if ended.end is not End.EXIT else os.read(failure, MAX_OUTPUT)
        if reason:
            ended = Ended(self._order.number, End.NOT_STARTED, text=reason.decode())
        if ended.end in {End.TIMEOUT, End.LOST}:
            os.killpg(pid, signal.SIGKILL)
        is_all_gone = end_descendants(PATIENCE_S)
        self._tell(ended)
        if not is_all_gone:
            end_descendants(float("inf"))

    def _ended(self, pid: int, command: int, output: int, keeper: int, deadline_s: float) -> Ended:
        """Wait until the command ends or has to be ended."""
        os.set_blocking(output, False)
        poll = select.poll()
        poll.register(self._link, 0)
        for fd in (command, output, keeper):
            poll.register(fd, select.POLLIN)
        while True:
            left_s = max(0.0, deadline_s - time.monotonic())
            ready = dict(poll.poll(left_s * 1000 + 1))
            if output in ready and not self._read(output):
                poll.unregister(output)
            if command in ready:
                self._read(output)
                return self._exited(os.waitpid(pid, 0)[1])
            if keeper in ready or self._link.fileno() in ready:
                return Ended(self._order.number, End.LOST)
            late_s = time.monotonic() - deadline_s
            if late_s >= 0:
                end = End.TIMEOUT if late_s < LATE_SHARE * self._order.timeout_s else End.LOST
                return Ended(self._order.number, end, text=self._text())

    def _exited(self, wait_status: int) -> Ended:
        status = os.waitstatus_to_exitcode(wait_status)
        end = End.EXIT if status >= 0 else End.SIGNAL
        return Ended(self._order.number, end, abs(status), self._text())

    def _read(self, output: int) -> bool:
        """Read the command's output; False at end-of-file."""
        try:
            data = os.read(output, 1 << 16)
        except BlockingIOError:
            return True
        self._output = (self._output + data)[-MAX_OUTPUT:]
        return bool(data)

    def _text(self) -> str:
        return self._output.decode(errors="replace").strip()

    def _tell(self, ended: Ended) -> None:
        with contextlib.suppress(OSError):
            self._link.send(ended.encode())


def execute(order: Order, out: int, failed: int) -> None:
    """Execute the command; on failure, write the reason to `failed`."""
    try:
        os.setsid()
        die_with_parent()
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with contextlib.suppress(OSError):
                signal.signal(number, signal.SIG_DFL)
        _isolate()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.execvpe(order.argv[0], order.argv, order.env)  # noqa: S606 - no shell intended
    except (OSError, ValueError) as error:
        os.write(failed, (getattr(error, "strerror", None) or str(error)).encode())


def _isolate() -> None:
    """Keep the command out of this user's other processes.

    Only if it cannot gain privileges anyway (sudo), which Landlock requires.
    """
    if can_gain_none():
        with contextlib.suppress(OSError):
            landlock.isolate()


@contextlib.contextmanager
def _ending_process() -> Iterator[None]:
    """For a forked process: it exits here in any case."""
    status = 1
    try:
        yield
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
