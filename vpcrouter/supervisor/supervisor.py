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

from supervisor.states import RUNNING_STATES, ProcessStates

from vpcrouter.errors import ChannelError
from vpcrouter.logs import setup as logs
from vpcrouter.model.messages import (
    CONTROL,
    MONITOR,
    RECONCILER,
    SETTINGS,
    WATCHER,
    Envelope,
    HealthReport,
    Heartbeat,
    Orders,
    RoutingReport,
    SettingsReport,
    WorkersReport,
)
from vpcrouter.supervisor import systemd
from vpcrouter.supervisor.child import Child, state_name
from vpcrouter.supervisor.lifecycle import LifeStep
from vpcrouter.supervisor.relay import Relay, forget
from vpcrouter.supervisor.reload import Reloading

NEEDED_TO_START = frozenset({RECONCILER, WATCHER, MONITOR})
LOOP_S = 1.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
OTHER_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Reload; reopen the log, which happens by itself; write the state to the log."""

log = logs.get(__name__)


class Supervisor:
    """The daemon's main process. `run` returns its exit status."""

    def __init__(
        self,
        children: Iterable[Child],
        values: Mapping[str, Any],
        reloading: Reloading | None = None,
    ) -> None:
        self._children = {child.name: child for child in children}
        self._values = values
        self._reloading = reloading
        self._leaving: set[str] = set()
        self._selector = selectors.DefaultSelector()
        self._relay = Relay(self._children, self._selector)
        self._signals: deque[int] = deque()
        self._stopping = False
        self._ready = False
        self._exit_status = 0
        self._last_report: WorkersReport | None = None
        self._orders = Orders()
        self._watchdog = systemd.Watchdog(os.environ, os.getpid())
        self._status = "starting"

    def run(self) -> int:
        wake, self._wake_writer = socket.socketpair()
        self._catch_signals(wake)
        now_s = time.monotonic()
        for child in self._children.values():
            child.life.want(now_s)
        systemd.notify(systemd.status(self._status))
        while not self._stopping or any(c.life.is_alive for c in self._children.values()):
            self._turn()
        for number in (*STOP_SIGNALS, *OTHER_SIGNALS):
            signal.signal(number, signal.SIG_IGN)  # Python's end would let one more kill us
        log.info("stopped", exit_status=self._exit_status)
        return self._exit_status

    def _turn(self) -> None:
        for key, events in self._selector.select(self._time_left()):
            act: Callable[[int], None] = key.data
            act(events)
        while self._signals:
            self._on_signal(self._signals.popleft())
        for child in list(self._children.values()):
            self._do_due(child)
        self._report_workers()
        self._tend_systemd()

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
        for number in (*STOP_SIGNALS, *OTHER_SIGNALS):
            signal.signal(number, lambda received, _frame: self._signals.append(received))

        def drain(_events: int) -> None:
            wake.recv(4096)

        self._selector.register(wake, selectors.EVENT_READ, drain)

    def _on_signal(self, number: int) -> None:
        log.info("signal received", signal=signal.Signals(number).name)
        if number == signal.SIGHUP:
            self._reload()
        elif number == signal.SIGUSR2:
            self._dump()
        elif number in STOP_SIGNALS:
            self._stop(0)

    def _dump(self) -> None:
        """Write to the log how everything stands."""
        for child in self._children.values():
            status = child.status()
            log.info(
                "state",
                of=status.name,
                role=status.role,
                state=status.state,
                pid=status.pid,
                generation=status.generation,
                last_exit=status.last_exit,
            )
        for worker, kind, age_s in self._relay.ages_s():
            log.info("latest message", of=worker, kind=kind, age_s=round(age_s, 3))

    def _stop(self, exit_status: int) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._exit_status = exit_status
        systemd.stopping()
        now_s = time.monotonic()
        for child in self._children.values():
            child.stop(now_s)

    # Lives of the workers

    def _do_due(self, child: Child) -> None:
        now_s = time.monotonic()
        action = child.life.due(now_s, is_held=child.is_held())
        if action is LifeStep.START:
            self._spawn(child, now_s)
        elif action is LifeStep.ABORT:
            log.error("worker is silent; aborting it", of=child.name, pid=child.pid)
            child.send_signal(signal.SIGABRT)
            child.send_signal(signal.SIGCONT)  # should it be stopped, it hears that only now
            child.life.aborted(now_s)
        elif action is LifeStep.KILL:
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
        self._relay.brief(child)

    def _on_exit(self, child: Child) -> None:
        if child.process is None:
            return
        for envelope in child.last_words():
            self._on_message(child, envelope)
        sentinel, incoming, outgoing = child.process.sentinel, child.incoming, child.outgoing
        for end in (incoming, outgoing):
            forget(self._selector, end)
        pid = child.pid
        if not child.bury(time.monotonic()):
            return
        forget(self._selector, sentinel)
        is_stopped = child.life.state == ProcessStates.STOPPED
        log.log(
            20 if self._stopping or is_stopped else 40,
            "worker ended",
            of=child.name,
            pid=pid,
            by=child.life.last_exit,
            state=state_name(child.life.state),
        )
        self._discount(child)
        if child.role == SETTINGS:
            self._end_reload(child)
            return
        if child.name in self._leaving:
            self._remove(child)
            return
        if is_stopped and not self._stopping and child.name not in self._orders.stopped:
            child.life.want(time.monotonic())
        if child.life.state == ProcessStates.FATAL:
            self._on_fatal(child)

    def _on_fatal(self, child: Child) -> None:
        """Without the reconciler, or before the daemon was ready once, it cannot go on."""
        if child.role == RECONCILER or (child.role in NEEDED_TO_START and not self._ready):
            log.error("a worker that is needed cannot run; stopping", of=child.name)
            self._stop(child.life.exit_status if child.life.exit_status > 0 else 1)
            return
        log.error("worker cannot run; everything else goes on", of=child.name)
        child.life.retry(time.monotonic())

    def _remove(self, child: Child) -> None:
        """A worker that the settings have no place for any more."""
        self._leaving.discard(child.name)
        del self._children[child.name]
        self._relay.withdraw(child.name)

    # Reload

    def _reload(self) -> None:
        """Read the settings anew, in a worker of its own, and go by them if they are good."""
        reloading = self._reloading
        if reloading is None or self._stopping:
            return
        if reloading.is_under_way or self._leaving:
            reloading.is_wanted_again = True
            return
        reloading.is_under_way, reloading.is_wanted_again = True, False
        reloading.faults = ("the settings could not be read",)
        if self._ready:
            systemd.reloading()
        reader = reloading.reader()
        self._children[reader.name] = reader
        reader.life.want(time.monotonic())

    def _on_settings(self, report: SettingsReport) -> None:
        found = self._reloading.take(report) if self._reloading else None
        if self._reloading is None or found is None:
            return
        self._values = self._reloading.settings.values
        for name in found.leave:
            self._leaving.add(name)
            self._end(self._children[name])
        for name in found.renew:
            self._children[name].ref = found.all[name].ref
            self._relay.withdraw(name)
            self._end(self._children[name])
        for place in found.join:
            child = self._reloading.child(place)
            self._children[place.name] = child
            child.life.want(time.monotonic())
        for child in self._children.values():
            child.life.policy = self._reloading.policy

    def _end(self, child: Child) -> None:
        """Have it end; what comes after is up to `_on_exit`."""
        now_s = time.monotonic()
        child.stop(now_s)
        if child.life.is_alive:
            return
        if child.name in self._leaving:
            self._remove(child)
        elif child.name not in self._orders.stopped:
            child.life.want(now_s)

    def _end_reload(self, reader: Child) -> None:
        del self._children[reader.name]
        reloading = self._reloading
        if reloading is None:
            return
        reloading.is_under_way = False
        reloading.ended += 1
        for fault in reloading.faults:
            log.error("reload refused; the old settings stay in force", fault=fault)
        if not reloading.faults:
            log.info("reloaded")
        if self._ready:
            systemd.ready()
        if reloading.is_wanted_again:
            self._reload()

    def _discount(self, child: Child) -> None:
        """What a monitor called healthy is unknown once it is away."""
        last = self._relay.latest(child.name, HealthReport)
        if isinstance(last, HealthReport):
            self._relay.publish(child.name, child.life.generation, last.of_one_away())

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
        if orders.reloads != before.reloads:
            self._reload()
        for child in self._children.values():
            name = child.name
            if name in orders.stopped and child.life.state in RUNNING_STATES:
                log.info("worker is stopped by hand", of=name)
                child.stop(now_s)
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
            forget(self._selector, child.incoming)
            child.life.hung_up(time.monotonic())
            log.debug("worker's channel has ended", of=child.name, reason=str(error))
            return
        for envelope in envelopes:
            self._on_message(child, envelope)

    def _on_message(self, child: Child, envelope: Envelope) -> None:
        child.life.beat(time.monotonic())
        if child.role == RECONCILER:
            self._watchdog.turned()
        message = envelope.message
        if isinstance(message, Heartbeat):
            child.info = child.info if message.info is None else message.info
            return
        if isinstance(message, Orders):
            if child.role == CONTROL:
                self._obey(message)
            return
        if isinstance(message, SettingsReport):
            if child.role == SETTINGS:
                self._on_settings(message)
            return
        self._relay.pass_on(envelope)
        if isinstance(message, RoutingReport):
            self._on_routing(message)

    def _report_workers(self) -> None:
        statuses = tuple(
            child.status() for child in self._children.values() if child.role != SETTINGS
        )
        ended, faults = (0, ()) if (r := self._reloading) is None else (r.ended, r.faults)
        report = WorkersReport(statuses, self._orders, ended, faults)
        if report != self._last_report and not self._stopping:
            self._last_report = report
            self._relay.publish("supervisor", 1, report)

    def _on_routing(self, report: RoutingReport) -> None:
        if report.cycles and not self._ready:
            self._ready = True
            systemd.ready()
            log.info("ready", decided=report.sentence)

    def _tend_systemd(self) -> None:
        reconciler = next((c for c in self._children.values() if c.role == RECONCILER), None)
        if reconciler is None or self._stopping:
            return
        is_stopped = reconciler.name in self._orders.stopped
        self._watchdog.tend(time.monotonic(), is_ready=self._ready, is_excused=is_stopped)
        report = self._relay.latest(reconciler.name, RoutingReport)
        status = "starting"
        if not reconciler.life.is_alive:
            status = f"nobody routes: reconciler is {state_name(reconciler.life.state)}"
        elif isinstance(report, RoutingReport):
            status = report.trouble or report.sentence
        if status != self._status and systemd.notify(systemd.status(status)):
            self._status = status
