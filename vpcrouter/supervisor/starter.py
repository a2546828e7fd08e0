"""Starts processes: by the forker or, without it, each by an interpreter of its own."""

import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vpcrouter.linux.prctl import adopt_descendants
from vpcrouter.logs import setup as logs
from vpcrouter.supervisor.launch import Launch, heard, new_line
from vpcrouter.supervisor.process import ChildProcess, reap_others

ANSWER_S = 5.0
"""How long the forker has for a request, with the imports that come before it."""
LOOK_S = 0.1
"""While requests are open: how often to look whether the forker is stopped."""
END_S = 1.0
"""How long the end of a killed process may take."""
PAUSE_S = 5.0
"""From the end of a forker to the start of the next one."""

log = logs.get(__name__)

OnStart = Callable[[ChildProcess | OSError], None]


@dataclass(frozen=True)
class ForkRequest:
    """What the forker has been asked for."""

    line: socket.socket
    done: OnStart
    deadline_s: float


class Forker:
    """The supervisor's side of the forker. No method waits."""

    def __init__(self, modules: Sequence[str]) -> None:
        """Start one that imports `modules`. Raises OSError."""
        self._requests, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.setblocking(False)
        arguments = f"{far.fileno()}, {os.getpid()}, {list(modules)!r}"
        with far:
            self.process = _interpret("forker", f"main({arguments})", far)

    def request(self, module: str, line: socket.socket) -> None:
        """Have a process say hello on `line`. Raises OSError."""
        socket.send_fds(self._requests, [module.encode()], [line.fileno()])

    def close(self, patience_s: float = 0.0) -> None:
        """End it, if it has not ended; it is reaped with the orphans if that takes longer."""
        self._requests.close()
        self.process.send_signal(signal.SIGKILL)
        if select.select([self.process], [], [], patience_s)[0]:
            self.process.reap()
        self.process.close()


class Starter:
    """Owned by the supervisor's loop; nothing here waits."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.modules: Sequence[str] = ()
        """What the next forker imports, in this order."""
        self._selector = selector
        self._forker: Forker | None = None
        self._next_forker_s = 0.0
        self._requested: dict[Launch, ForkRequest] = {}
        adopt_descendants()

    def start(self, launch: Launch, done: OnStart) -> None:
        """Start a process; `done` is called with it, or with the reason why there is none."""
        if self._forker is None:
            self._start_forker()
        if self._forker is None or not self._request(self._forker, launch, done):
            self._interpret(launch, done)

    def call_off(self, launch: Launch) -> None:
        """The process, should there be one, ends without having begun."""
        self._take(launch).line.close()
        launch.close()

    def soonest_s(self) -> float:
        """When `tend` is due."""
        return time.monotonic() + LOOK_S if self._requested else float("inf")

    def tend(self, known: frozenset[int]) -> None:
        """Replace a forker that does not answer, and reap orphans, which are not `known`."""
        if self._forker is None and self._next_forker_s > 0:
            self._start_forker()
        if self._forker is not None and self._requested:
            first_s = min(request.deadline_s for request in self._requested.values())
            if self._forker.process.is_stopped():
                self._drop_forker("it is stopped")
            elif time.monotonic() >= first_s:
                self._drop_forker(f"it has not answered for {ANSWER_S:g} s")
        ours = frozenset() if self._forker is None else frozenset({self._forker.process.pid})
        reap_others(known | ours)

    def close(self) -> None:
        """End the forker; there is no other one."""
        self._next_forker_s = float("inf")
        if self._forker is not None:
            self._selector.unregister(self._forker.process)
            self._forker.close(END_S)
            self._forker = None

    def _start_forker(self) -> None:
        now_s = time.monotonic()
        if not self.modules or now_s < self._next_forker_s:
            return
        self._next_forker_s = now_s + PAUSE_S
        try:
            forker = Forker(self.modules)
        except OSError as error:
            log.warning("could not start forker", reason=str(error))
            return
        log.info("forker started", pid=forker.process.pid)
        self._forker = forker
        self._selector.register(
            forker.process,
            selectors.EVENT_READ,
            lambda _events: self._drop_forker("it has ended", forker),
        )

    def _drop_forker(self, reason: str, forker: Forker | None = None) -> None:
        """End it, and start what was requested of it in the other way."""
        if self._forker is None or (forker or self._forker) is not self._forker:
            return
        log.warning(
            "forker lost; workers start without it until it is back",
            pid=self._forker.process.pid,
            reason=reason,
        )
        self._selector.unregister(self._forker.process)
        self._forker.close()
        self._forker = None
        for launch in tuple(self._requested):
            request = self._take(launch)
            request.line.close()
            self._interpret(launch, request.done)

    def _request(self, forker: Forker, launch: Launch, done: OnStart) -> bool:
        """ForkRequest a process of the forker; whether it could be requested."""
        try:
            line, far = new_line()
        except OSError:
            return False
        with far:
            try:
                forker.request(launch.module, far)
            except OSError:
                line.close()
                return False
        self._requested[launch] = ForkRequest(line, done, time.monotonic() + ANSWER_S)
        self._selector.register(line, selectors.EVENT_READ, lambda _events: self._on_answer(launch))
        return True

    def _take(self, launch: Launch) -> ForkRequest:
        """A request that is no longer waited for; its line is still to be closed."""
        request = self._requested.pop(launch)
        self._selector.unregister(request.line)
        return request

    def _on_answer(self, launch: Launch) -> None:
        if launch not in self._requested:  # called off in the same turn
            return
        request = self._take(launch)
        with request.line as line:
            try:
                process = _begun(launch, line)
            except OSError as error:
                line.close()  # should there be a process, it ends
                log.warning("could not fork worker; starting an interpreter", reason=str(error))
                self._interpret(launch, request.done)
            else:
                request.done(process)

    def _interpret(self, launch: Launch, done: OnStart) -> None:
        """Start an interpreter of its own for it."""
        try:
            line, far = new_line()
            with line, far:
                process = _interpret("launch", f"begin_at({far.fileno()})", far)
                launch.tell(line)  # it is read once the process gets there
        except OSError as error:
            launch.close()
            done(error)
        else:
            done(process)


def _begun(launch: Launch, line: socket.socket) -> ChildProcess:
    """The process that has said hello and may begin. Raises OSError if there is none."""
    process = heard(line)
    try:
        launch.tell(line)
    except OSError:
        process.close()
        raise
    return process


def _interpret(module: str, call: str, kept: socket.socket) -> ChildProcess:
    """A new interpreter, the leader of a process group, that does `call` of a module beside this.

    It cannot outlive this process, not even stopped while it starts. As soon as it runs our code,
    it asks the kernel to kill it when its parent dies. Until then, the parent's death orphans its
    process group, and the kernel sends SIGHUP and SIGCONT to stopped processes in such a group
    (setpgid(2)). Raises OSError.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}\n"
    code += f"from vpcrouter.supervisor import {module}; {module}.{call}"
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        (sys.executable, "-c", code),
        stdin=subprocess.DEVNULL,  # reading a terminal would stop a process group in the background
        pass_fds=[kept.fileno()],
        process_group=0,
    )
    process.returncode = 0  # a ChildProcess waits for it, so this object must not
    return ChildProcess(process.pid)
