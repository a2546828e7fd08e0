"""Starts, reads and reaps the worker processes, and relays their messages."""

import contextlib
import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from supervisor.states import ProcessStates

from vpcrouter.errors import ChannelError
from vpcrouter.logs import setup as logs
from vpcrouter.model.messages import Envelope
from vpcrouter.plugins.registry import PluginRef
from vpcrouter.supervisor.child import Child, state_name
from vpcrouter.supervisor.lifecycle import LifePolicy, LifeStep
from vpcrouter.supervisor.process import ChildProcess
from vpcrouter.supervisor.relay import Relay, forget
from vpcrouter.supervisor.screening import Screening
from vpcrouter.supervisor.starter import Starter
from vpcrouter.supervisor.worker import WorkerSpec

log = logs.get(__name__)


class WorkerPool:
    """Owned by the supervisor's loop; nothing here waits.

    Only the steps of each child's lifecycle are taken here. What a message means, and what
    follows an exit, is up to the supervisor, which is called for each message and each exit.
    """

    def __init__(
        self,
        listeners: Mapping[str, socket.socket],
        selector: selectors.DefaultSelector,
        on_message: Callable[[Child, Envelope], None],
        on_end: Callable[[Child], None],
    ) -> None:
        """`listeners` are the sockets, by role, that outlive the workers that serve on them."""
        self._children: dict[str, Child] = {}
        self._listeners = listeners
        self._selector = selector
        self._starter = Starter(selector)
        self._screening = Screening(self._children, on_message)
        self._on_end = on_end
        self.relay = Relay(self._children, selector)

    def __iter__(self) -> Iterator[Child]:
        """A snapshot: workers may be added or removed during the iteration."""
        return iter(tuple(self._children.values()))

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def add(self, spec: WorkerSpec, policy: LifePolicy) -> None:
        """Add a worker; it is started at once."""
        child = Child(spec, policy, self._listeners.get(spec.role))
        self._children[spec.name] = child
        child.life.want(time.monotonic())

    def remove(self, child: Child) -> None:
        """Remove a worker together with its retained messages."""
        del self._children[child.name]
        self.relay.withdraw(child.name)

    def preload(self, refs: Iterable[PluginRef]) -> None:
        """Have the forker, should it start anew, import the modules of `refs` in this order."""
        self._starter.modules = [ref.module for ref in refs]

    def soonest_s(self) -> float:
        """When the next step is due; infinity if none is."""
        deadlines = [child.life.deadline_s() for child in self]
        return min(
            self._starter.soonest_s(), *(at for at in deadlines if at is not None), float("inf")
        )

    def do_due(self) -> None:
        """Take the steps that are due."""
        for child in self:
            now_s = time.monotonic()
            step = child.life.due(now_s, is_held=child.is_held())
            if step is LifeStep.START:
                self._start(child, now_s)
            elif step is LifeStep.ABORT:
                log.error(
                    "worker heartbeat lost; sending SIGABRT", subject=child.name, pid=child.pid
                )
                child.send_signal(signal.SIGABRT)
                child.send_signal(signal.SIGCONT)  # a stopped process gets SIGABRT only after this
                child.life.aborted(now_s)
            elif step is LifeStep.KILL:
                log.error("worker did not exit; sending SIGKILL", subject=child.name, pid=child.pid)
                child.send_signal(signal.SIGKILL)
                child.life.killed(now_s)

        self._call_off()
        self._starter.tend(frozenset(child.pid for child in self if child.pid))

    def _start(self, child: Child, now_s: float) -> None:
        try:
            launch, incoming = child.prepare(now_s)
        except OSError as error:
            self._on_no_process(child, error)
            return
        self._selector.register(
            incoming, selectors.EVENT_READ, lambda _events: self._on_readable(child)
        )
        self.relay.brief(child)
        self._starter.start(launch, lambda result: self._on_start(child, result))

    def _on_start(self, child: Child, result: ChildProcess | OSError) -> None:
        if isinstance(result, OSError):
            self._on_no_process(child, result)
            return
        child.began(result)
        if child.life.state == ProcessStates.STOPPING:  # since this turn began
            child.send_signal(signal.SIGTERM)
        log.info(
            "worker started",
            subject=child.name,
            pid=child.pid,
            generation=child.life.generation,
        )
        self._selector.register(result, selectors.EVENT_READ, lambda _events: self._on_exit(child))

    def _on_no_process(self, child: Child, error: OSError) -> None:
        log.error("could not start worker", subject=child.name, reason=str(error))
        self._end(child, 1)

    def _call_off(self) -> None:
        """End the starts of workers that are to stop and have no process yet."""
        for child in self:
            if child.launch is not None and child.life.state == ProcessStates.STOPPING:
                self._starter.call_off(child.launch)
                self._end(child, 0)

    def _end(self, child: Child, status: int) -> None:
        """End a generation that has no process."""
        self._forget_ends(child)
        child.end(time.monotonic(), status)
        self._on_end(child)

    def _forget_ends(self, child: Child) -> None:
        for end in (child.incoming, child.outgoing):
            forget(self._selector, end)

    def _on_readable(self, child: Child) -> None:
        if not child.is_trusted():  # its end was decided in the same turn
            return
        try:
            envelopes = child.receive()
        except ChannelError as error:
            # It is exiting, and its exit status follows; if not, it is killed shortly.
            forget(self._selector, child.incoming)
            child.life.hung_up(time.monotonic())
            has_ended = child.incoming is None or child.incoming.ended
            level = logging.DEBUG if has_ended else logging.ERROR
            log.log(level, "worker channel closed", subject=child.name, reason=str(error))
            return
        self._screening.take(child, envelopes)
        if not child.is_trusted():
            self._end_untrusted(child)

    def _end_untrusted(self, child: Child) -> None:
        log.error("too many invalid messages; sending SIGKILL", subject=child.name, pid=child.pid)
        forget(self._selector, child.incoming)
        child.send_signal(signal.SIGKILL)
        child.life.hung_up(time.monotonic())

    def _on_exit(self, child: Child) -> None:
        if child.process is None or (status := child.process.reap()) is None:
            return
        self._screening.take(child, child.last_words())
        pid = child.pid
        self._selector.unregister(child.process)
        self._forget_ends(child)
        child.end(time.monotonic(), status)
        is_stopped = child.life.state == ProcessStates.STOPPED
        log.log(
            logging.INFO if is_stopped else logging.ERROR,
            "worker exited",
            subject=child.name,
            pid=pid,
            by=child.life.last_exit,
            state=state_name(child.life.state),
        )
        self._on_end(child)

    def kill(self) -> None:
        """Kill all processes, in any state; one that is missed dies with the supervisor."""
        for child in self:
            with contextlib.suppress(Exception):
                child.send_signal(signal.SIGKILL)
        with contextlib.suppress(Exception):
            self._starter.close()

    def close(self) -> None:
        """End what helps to start workers, once none is left."""
        self._starter.close()

    def dump(self) -> None:
        """Log the state of all workers and the age of their latest messages."""
        for child in self:
            status = child.status()
            log.info(
                "worker state",
                subject=status.name,
                role=status.role,
                state=status.state,
                pid=status.pid,
                generation=status.generation,
                last_exit=status.last_exit,
            )
        for worker, kind, age_s in self.relay.ages_s():
            log.info("latest message", subject=worker, kind=kind, age_s=round(age_s, 3))
