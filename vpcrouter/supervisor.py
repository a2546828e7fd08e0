"""Starts the workers, watches and restarts them, and relays their messages.

One thread, one loop, and nothing in it that can block: no AWS, no DNS, no disk.
"""

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from supervisor.states import RUNNING_STATES

from vpcrouter import log as logs
from vpcrouter import systemd
from vpcrouter.child import Child, state_name
from vpcrouter.errors import ChannelError
from vpcrouter.lifecycle import Action, State
from vpcrouter.messages import (
    CONTROL,
    MONITOR,
    RECONCILER,
    WATCHER,
    Envelope,
    HealthReport,
    Heartbeat,
    Message,
    Orders,
    RoutingReport,
    WorkersReport,
)

NEEDED_TO_START = frozenset({RECONCILER, WATCHER, MONITOR})
LOOP_S = 1.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

log = logs.get(__name__)


class Supervisor:
    """The daemon's main process. `run` returns its exit status."""

    def __init__(self, children: Iterable[Child], values: Mapping[str, Any]) -> None:
        self._children = {child.name: child for child in children}
        self._values = values
        self._latest: dict[tuple[str, type[Message]], Envelope] = {}
        self._selector = selectors.DefaultSelector()
        self._signals: deque[int] = deque()
        self._sequence = 0
        self._stopping = False
        self._ready = False
        self._exit_status = 0
        self._last_report: WorkersReport | None = None
        self._orders = Orders()

    def run(self) -> int:
        wake, self._wake_writer = socket.socketpair()
        self._catch_signals(wake)
        now_s = time.monotonic()
        for child in self._children.values():
            child.life.want(now_s)
        systemd.notify("STATUS=starting")
        while not self._stopping or any(c.life.is_alive for c in self._children.values()):
            self._turn()
        log.info("stopped", exit_status=self._exit_status)
        return self._exit_status

    def _turn(self) -> None:
        for key, events in self._selector.select(self._time_left()):
            act: Callable[[int], None] = key.data
            act(events)
        while self._signals:
            self._on_signal(self._signals.popleft())
        for child in self._children.values():
            self._do_due(child)
        self._report_workers()

    def _time_left(self) -> float:
        deadlines = [child.life.deadline_s() for child in self._children.values()]
        soonest = min((at for at in deadlines if at is not None), default=float("inf"))
        return max(0.0, min(LOOP_S, soonest - time.monotonic()))

    # Signals

    def _catch_signals(self, wake: socket.socket) -> None:
        """Handlers only enqueue; the byte on the wake-up socket turns the loop."""
        wake.setblocking(False)
        self._wake_writer.setblocking(False)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, lambda received, _frame: self._signals.append(received))

        def drain(_events: int) -> None:
            wake.recv(4096)

        self._selector.register(wake, selectors.EVENT_READ, drain)

    def _on_signal(self, number: int) -> None:
        log.info("signal received", signal=signal.Signals(number).name)
        self._stop(0)

    def _stop(self, exit_status: int) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._exit_status = exit_status
        systemd.notify("STOPPING=1", "STATUS=stopping")
        now_s = time.monotonic()
        for child in self._children.values():
            child.life.stop(now_s)
            child.send_signal(signal.SIGTERM)

    # Lives of the workers

    def _do_due(self, child: Child) -> None:
        now_s = time.monotonic()
        action = child.life.due(now_s)
        if action is Action.START:
            self._spawn(child, now_s)
        elif action is Action.ABORT:
            log.error("worker is silent; aborting it", of=child.name, pid=child.pid)
            child.send_signal(signal.SIGABRT)
            child.life.aborted(now_s)
        elif action is Action.KILL:
            log.error("worker does not end; killing it", of=child.name, pid=child.pid)
            child.send_signal(signal.SIGKILL)
            child.life.killed(now_s)

    def _spawn(self, child: Child, now_s: float) -> None:
        try:
            child.spawn(self._values, now_s)
        except OSError as error:
            log.error("worker cannot be started", of=child.name, reason=str(error))
            child.life.exited(now_s, 1)
            return
        log.info("worker started", of=child.name, pid=child.pid, generation=child.life.generation)
        if child.process is None or child.incoming is None or child.outgoing is None:
            return
        self._selector.register(
            child.process.sentinel, selectors.EVENT_READ, lambda _events: self._on_exit(child)
        )
        self._selector.register(
            child.incoming, selectors.EVENT_READ, lambda _events: self._on_readable(child)
        )
        for (worker, kind), envelope in self._latest.items():
            if child.role in kind.readers or (worker == child.name and kind.for_successor):
                self._send(child, envelope)

    def _on_exit(self, child: Child) -> None:
        if child.process is None:
            return
        for envelope in child.last_words():
            self._on_message(child, envelope)
        sentinel, incoming, outgoing = child.process.sentinel, child.incoming, child.outgoing
        for end in (incoming, outgoing):
            self._forget(end)
        pid = child.pid
        if not child.bury(time.monotonic()):
            return
        self._forget(sentinel)
        is_stopped = child.life.state == State.STOPPED
        log.log(
            20 if self._stopping or is_stopped else 40,
            "worker ended",
            of=child.name,
            pid=pid,
            by=child.life.last_exit,
            state=state_name(child.life.state),
        )
        self._discount(child)
        if is_stopped and not self._stopping and child.name not in self._orders.stopped:
            child.life.want(time.monotonic())
        if child.life.state == State.FATAL:
            self._on_fatal(child)

    def _on_fatal(self, child: Child) -> None:
        """Without the reconciler, or before the daemon was ready once, it cannot go on."""
        if child.role == RECONCILER or (child.role in NEEDED_TO_START and not self._ready):
            log.error("a worker that is needed cannot run; stopping", of=child.name)
            self._stop(child.life.exit_status if child.life.exit_status > 0 else 1)
            return
        log.error("worker cannot run; everything else goes on", of=child.name)
        child.life.retry(time.monotonic())

    def _discount(self, child: Child) -> None:
        """What a monitor called healthy is unknown once it is away."""
        last = self._latest.get((child.name, HealthReport))
        if last is not None and isinstance(last.message, HealthReport):
            self._publish(child.name, child.life.generation, last.message.of_one_away())

    def _forget(self, fileobj: Any) -> None:
        if fileobj is not None:
            try:
                self._selector.unregister(fileobj)
            except (KeyError, ValueError):
                return

    def _obey(self, orders: Orders) -> None:
        """Do what operators have ordered; heard again, it changes nothing."""
        before, now_s = self._orders, time.monotonic()
        if self._stopping or orders.number <= before.number:
            return
        self._orders = orders
        if orders.shutdown:
            log.info("shutdown ordered")
            self._stop(0)
            return
        for child in self._children.values():
            name = child.name
            if name in orders.stopped and child.life.state in RUNNING_STATES:
                log.info("worker is stopped by hand", of=name)
                child.life.stop(now_s)
                child.send_signal(signal.SIGTERM)
            elif orders.starts.get(name) != before.starts.get(name):
                log.info("worker is started by hand", of=name)
                child.life.want(now_s)
            if (sent := orders.signals.get(name)) and sent != before.signals.get(name):
                log.info("worker is signalled by hand", of=name, signal=sent[1])
                child.send_signal(sent[1])

    # Messages

    def _on_readable(self, child: Child) -> None:
        try:
            envelopes = child.receive()
        except ChannelError as error:
            # It is ending, as its exit status will tell; or it is killed in a moment.
            self._forget(child.incoming)
            child.life.hung_up(time.monotonic())
            log.debug("worker's channel has ended", of=child.name, reason=str(error))
            return
        for envelope in envelopes:
            self._on_message(child, envelope)

    def _on_message(self, child: Child, envelope: Envelope) -> None:
        child.life.beat(time.monotonic())
        message = envelope.message
        if isinstance(message, Heartbeat):
            child.info = child.info if message.info is None else message.info
            return
        if isinstance(message, Orders):
            if child.role == CONTROL:
                self._obey(message)
            return
        self._relay(envelope)
        if isinstance(message, RoutingReport):
            self._tell_systemd(message)

    def _relay(self, envelope: Envelope) -> None:
        kind = type(envelope.message)
        self._latest[envelope.worker, kind] = envelope
        for child in self._children.values():
            if child.role in kind.readers and child.outgoing is not None:
                self._send(child, envelope)

    def _publish(self, worker: str, generation: int, message: Message) -> None:
        self._sequence += 1
        self._relay(Envelope(worker, generation, self._sequence, time.monotonic(), message))

    def _send(self, child: Child, envelope: Envelope) -> None:
        producer = child.outgoing
        if producer is None:
            return
        producer.put(envelope)
        if producer.has_unsent:
            self._flush_later(child)

    def _flush_later(self, child: Child) -> None:
        producer = child.outgoing
        if producer is None or producer.fileno() in self._selector.get_map():
            return

        def flush(_events: int) -> None:
            producer.flush()
            if not producer.has_unsent and child.outgoing is producer:
                self._forget(producer)

        self._selector.register(producer, selectors.EVENT_WRITE, flush)

    def _report_workers(self) -> None:
        statuses = tuple(child.status() for child in self._children.values())
        report = WorkersReport(statuses, self._orders)
        if report != self._last_report and not self._stopping:
            self._last_report = report
            self._publish("supervisor", 1, report)

    def _tell_systemd(self, report: RoutingReport) -> None:
        systemd.notify(f"STATUS={report.trouble or report.sentence}")
        if report.cycles and not self._ready:
            self._ready = True
            systemd.notify("READY=1", f"MAINPID={os.getpid()}")
            log.info("ready", decided=report.sentence)
