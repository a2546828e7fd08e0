"""The processes of the workers: started, read and buried; what they say is relayed."""

import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping

from supervisor.states import ProcessStates

from vpcrouter.errors import ChannelError
from vpcrouter.logs import setup as logs
from vpcrouter.model.messages import Envelope
from vpcrouter.supervisor.child import Child, state_name
from vpcrouter.supervisor.lifecycle import LifePolicy, LifeStep
from vpcrouter.supervisor.relay import Relay, forget
from vpcrouter.supervisor.worker import WorkerSpec

log = logs.get(__name__)


class WorkerPool:
    """Owned by the supervisor's loop; nothing here waits.

    Only what is due by a child's lifecycle is done here. What a message means, and what follows
    an end, the supervisor decides: it is called with each message and with each end.
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
        self._on_message = on_message
        self._on_end = on_end
        self.relay = Relay(self._children, selector)

    def __iter__(self) -> Iterator[Child]:
        """Those there are now, whatever is added or removed meanwhile."""
        return iter(tuple(self._children.values()))

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def add(self, spec: WorkerSpec, policy: LifePolicy) -> None:
        """One more worker, to be started at once."""
        child = Child(spec, policy, self._listeners.get(spec.role))
        self._children[spec.name] = child
        child.life.want(time.monotonic())

    def remove(self, child: Child) -> None:
        """There is no place for it any more, nor for what it said."""
        del self._children[child.name]
        self.relay.withdraw(child.name)

    def soonest_s(self) -> float:
        """When the next step is due; infinity where none is."""
        deadlines = [child.life.deadline_s() for child in self]
        return min((at for at in deadlines if at is not None), default=float("inf"))

    def do_due(self) -> None:
        """Take the steps that are due."""
        for child in self:
            now_s = time.monotonic()
            step = child.life.due(now_s, is_held=child.is_held())
            if step is LifeStep.START:
                self._start(child, now_s)
            elif step is LifeStep.ABORT:
                log.error("worker is silent; aborting it", subject=child.name, pid=child.pid)
                child.send_signal(signal.SIGABRT)
                child.send_signal(signal.SIGCONT)  # should it be stopped, it hears that only now
                child.life.aborted(now_s)
            elif step is LifeStep.KILL:
                log.error("worker does not end; killing it", subject=child.name, pid=child.pid)
                child.send_signal(signal.SIGKILL)
                child.life.killed(now_s)

    def _start(self, child: Child, now_s: float) -> None:
        try:
            process, incoming = child.spawn(now_s)
        except OSError as error:
            log.error("worker cannot be started", subject=child.name, reason=str(error))
            child.life.exited(now_s, 1)
            self._on_end(child)
            return
        log.info(
            "worker started", subject=child.name, pid=child.pid, generation=child.life.generation
        )
        self._selector.register(
            process.sentinel, selectors.EVENT_READ, lambda _events: self._on_exit(child)
        )
        self._selector.register(
            incoming, selectors.EVENT_READ, lambda _events: self._on_readable(child)
        )
        self.relay.brief(child)

    def _on_readable(self, child: Child) -> None:
        try:
            envelopes = child.receive()
        except ChannelError as error:
            # It is ending, as its exit status will tell; or it is killed in a moment.
            forget(self._selector, child.incoming)
            child.life.hung_up(time.monotonic())
            log.debug("worker's channel has ended", subject=child.name, reason=str(error))
            return
        for envelope in envelopes:
            self._on_message(child, envelope)

    def _on_exit(self, child: Child) -> None:
        if child.process is None:
            return
        for envelope in child.last_words():
            self._on_message(child, envelope)
        pid, sentinel = child.pid, child.process.sentinel
        for end in (child.incoming, child.outgoing):
            forget(self._selector, end)
        if not child.bury(time.monotonic()):
            return
        forget(self._selector, sentinel)
        is_stopped = child.life.state == ProcessStates.STOPPED
        log.log(
            logging.INFO if is_stopped else logging.ERROR,
            "worker ended",
            subject=child.name,
            pid=pid,
            by=child.life.last_exit,
            state=state_name(child.life.state),
        )
        self._on_end(child)

    def dump(self) -> None:
        """Write to the log how everything stands."""
        for child in self:
            status = child.status()
            log.info(
                "state",
                subject=status.name,
                role=status.role,
                state=status.state,
                pid=status.pid,
                generation=status.generation,
                last_exit=status.last_exit,
            )
        for worker, kind, age_s in self.relay.ages_s():
            log.info("latest message", subject=worker, kind=kind, age_s=round(age_s, 3))
