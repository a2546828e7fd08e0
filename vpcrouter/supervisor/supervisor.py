"""Starts the workers, watches and restarts them, and relays their messages.

One thread, one loop, and nothing in it that can block: no AWS, no DNS, no disk.
"""

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

from supervisor.states import RUNNING_STATES, ProcessStates

from vpcrouter.errors import EX_SOFTWARE
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
    Message,
    Orders,
    RoutingReport,
    SettingsReport,
)
from vpcrouter.supervisor import systemd
from vpcrouter.supervisor.child import Child, state_name
from vpcrouter.supervisor.pool import WorkerPool
from vpcrouter.supervisor.reload import Reload
from vpcrouter.supervisor.reports import Reports
from vpcrouter.supervisor.signals import STOP_SIGNALS, SignalQueue
from vpcrouter.supervisor.workforce import Workforce, diff

NEEDED_TO_START = frozenset({RECONCILER, WATCHER, MONITOR})
LOOP_S = 1.0
LAST_LOG_S = 5
"""How long a supervisor that has failed may take to say so."""

log = logs.get(__name__)


class Supervisor:
    """The daemon's main process. `run` returns its exit status."""

    def __init__(
        self, workforce: Workforce, reload: Reload, listeners: Mapping[str, socket.socket]
    ) -> None:
        """`listeners` are the sockets, by role, that outlive the workers that serve on them."""
        self._workforce = workforce
        self._reload = reload
        self._selector = selectors.DefaultSelector()
        self._pool = WorkerPool(listeners, self._selector, self._on_message, self._on_end)
        self._signals = SignalQueue()
        self._service = systemd.Service()
        self._orders = Orders()
        self._reports = Reports(self._pool.relay)
        self._stopping = False
        self._exit_status = 0

    def run(self) -> int:
        """Return once all workers have ended. If the supervisor itself fails, see `end_all`."""
        try:
            return self._run()
        except BaseException:
            end_all(self._pool)

    def _run(self) -> int:
        self._signals.catch()
        self._selector.register(
            self._signals, selectors.EVENT_READ, lambda _events: self._signals.drain()
        )
        self._go_by(self._workforce)
        self._service.show("starting")
        while not self._stopping or any(child.life.is_alive for child in self._pool):
            self._turn()
        self._signals.ignore()
        self._pool.close()
        log.info("stopped", exit_status=self._exit_status)
        return self._exit_status

    def _turn(self) -> None:
        next_s = min(self._pool.soonest_s(), self._reports.next_s())
        left_s = next_s - time.monotonic()
        for key, events in self._selector.select(max(0.0, min(LOOP_S, left_s))):
            act: Callable[[int], None] = key.data
            act(events)
        for number in self._signals.take():
            self._on_signal(number)
        self._begin_reload()
        self._pool.do_due()
        if not self._stopping:
            self._reports.report_workers(self._workers, self._orders, self._reload)
        self._reports.report_turn()
        self._tend_systemd()

    def _on_signal(self, number: int) -> None:
        log.info("signal received", signal=signal.Signals(number).name)
        if number == signal.SIGHUP:
            self._reload.ask()
        elif number == signal.SIGUSR2:
            self._pool.dump()
        elif number in STOP_SIGNALS:
            self._stop(0)

    def _stop(self, exit_status: int) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._exit_status = exit_status
        systemd.stopping()
        now_s = time.monotonic()
        for child in self._pool:
            child.stop(now_s)

    # Lifecycle of the workers

    @property
    def _workers(self) -> list[Child]:
        """All workers except the one that reads the settings."""
        return [child for child in self._pool if child.role != SETTINGS]

    def _go_by(self, workforce: Workforce) -> None:
        """Start, replace and stop workers until they match `workforce`."""
        self._workforce = workforce
        for child in self._pool:
            child.life.policy = workforce.policy
        found = diff({child.name: child.spec for child in self._workers}, workforce.specs)
        now_s = time.monotonic()
        for name in found.leave:
            child = self._pool[name]
            child.leave(now_s)
            if not child.life.is_alive:
                self._pool.remove(child)
        for spec in found.renew:
            child = self._pool[spec.name]
            self._pool.relay.withdraw(spec.name)
            child.renew(spec, now_s)
            self._want(child)
        for spec in found.join:
            self._pool.add(spec, workforce.policy)
        self._pool.preload(spec.ref for spec in workforce.specs.values())

    def _want(self, child: Child) -> None:
        """Start it again unless it still runs or an operator has stopped it."""
        if not self._stopping and child.name not in self._orders.stopped:
            child.life.want(time.monotonic())

    def _on_end(self, child: Child) -> None:
        """A process has exited, or could not be started."""
        last = self._pool.relay.latest(child.name, HealthReport)
        if isinstance(last, HealthReport):  # hosts it reported healthy are unknown now
            self._pool.relay.publish(
                child.name, child.life.generation, last.without_positive_verdicts()
            )
        if child.role == SETTINGS:
            self._pool.remove(child)
            self._end_reload()
        elif child.is_leaving:
            self._pool.remove(child)
        elif child.life.state == ProcessStates.STOPPED:
            self._want(child)
        elif child.life.state == ProcessStates.FATAL:
            self._on_fatal(child)

    def _on_fatal(self, child: Child) -> None:
        """Stop the daemon if the reconciler is FATAL, or a worker needed for the first start."""
        is_needed = child.role in NEEDED_TO_START and not self._service.is_ready
        if child.role == RECONCILER or is_needed:
            log.error("required worker is FATAL; shutting down", subject=child.name)
            self._stop(child.life.exit_status if child.life.exit_status > 0 else 1)
            return
        log.error("worker is FATAL; continuing without it", subject=child.name)
        child.life.retry(time.monotonic())

    # Reload

    def _begin_reload(self) -> None:
        """Start a requested reload once no worker of the last one is still being removed."""
        if self._stopping or any(child.is_leaving for child in self._pool):
            return
        if (reader := self._reload.begin()) is not None:
            self._service.reload_begins()
            self._pool.add(reader, self._workforce.policy)

    def _on_settings(self, report: SettingsReport) -> None:
        if self._stopping:  # no worker must be started during shutdown
            return
        if (workforce := self._reload.take(report)) is not None:
            self._go_by(workforce)

    def _end_reload(self) -> None:
        faults = self._reload.end()
        for fault in faults:
            log.error("reload rejected; keeping the old configuration", fault=fault)
        if not faults:
            log.info("configuration reloaded")
        self._service.reload_ends()

    # Messages

    def _on_message(self, child: Child, envelope: Envelope) -> None:
        child.life.beat(time.monotonic())
        if child.role == RECONCILER:
            self._service.reconciler_turned()
        message = envelope.message
        if isinstance(message, Heartbeat):
            child.info = child.info if message.info is None else message.info
        elif isinstance(message, Orders):
            if child.role == CONTROL:
                self._obey(message)
        elif isinstance(message, SettingsReport):
            if child.role == SETTINGS:
                child.life.stop(time.monotonic())  # it exits of its own accord
                self._on_settings(message)
        else:
            self._pool.relay.pass_on(envelope)
            if isinstance(message, RoutingReport):
                self._service.reconciler_decided(message)

    def _obey(self, orders: Orders) -> None:
        """Carry out operators' orders; idempotent, as orders are sent repeatedly."""
        before = self._orders
        if self._stopping or orders.number <= before.number:
            return
        self._orders = orders
        if orders.shutdown:
            log.info("shutdown requested on the control socket")
            self._stop(0)
            return
        if orders.reloads != before.reloads:
            self._reload.ask()
        for child in self._workers:
            _follow(child, orders, before)

    def _tend_systemd(self) -> None:
        reconciler = next((child for child in self._pool if child.role == RECONCILER), None)
        if reconciler is None or self._stopping:
            return
        self._service.tend(is_excused=reconciler.name in self._orders.stopped)
        report = self._pool.relay.latest(reconciler.name, RoutingReport)
        self._service.show(_standing(reconciler, report))


def end_all(pool: WorkerPool) -> NoReturn:
    """Kill all workers and exit, after the exception that is being handled.

    systemd or supervisord starts the daemon again. Workers that ran on without a supervisor would
    look healthy, and change no route.
    """
    for number in (*STOP_SIGNALS, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(LAST_LOG_S)  # nothing that follows can prevent the end
    pool.kill()
    with contextlib.suppress(BaseException):
        log.exception("supervisor failed; all workers killed", exit_status=EX_SOFTWARE)
        logs.finish()
    os._exit(EX_SOFTWARE)


def _standing(reconciler: Child, report: Message | None) -> str:
    """The daemon's status in one line."""
    if not reconciler.life.is_alive:
        return f"routing stopped: reconciler is {state_name(reconciler.life.state)}"
    if isinstance(report, RoutingReport):
        return report.trouble or report.sentence
    return "starting"


def _follow(child: Child, orders: Orders, before: Orders) -> None:
    """Carry out for one worker what `orders` has and `before` did not."""
    name, now_s = child.name, time.monotonic()
    if name in orders.stopped and child.life.state in RUNNING_STATES:
        log.info("worker stop requested by operator", subject=name)
        child.stop(now_s)
    elif orders.starts.get(name) != before.starts.get(name):
        log.info("worker start requested by operator", subject=name)
        child.life.want(now_s)
    if (sent := orders.signals.get(name)) and sent != before.signals.get(name):
        log.info("worker signal requested by operator", subject=name, signal=sent[1])
        child.send_signal(sent[1])
