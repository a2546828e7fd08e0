"""Entry point of every worker process: signals, parent watch, logging, then the worker itself."""

import contextlib
import faulthandler
import os
import resource
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from vpcrouter.errors import ConfigError, PluginError
from vpcrouter.ipc.channel import Consumer, Producer
from vpcrouter.ipc.mailbox import StopWorker, WorkerMailbox
from vpcrouter.linux import priority, privileges
from vpcrouter.linux.prctl import die_with_parent
from vpcrouter.logs import setup as logs
from vpcrouter.model.messages import Heartbeat
from vpcrouter.options.groups import ProcessSettings
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Worker
from vpcrouter.plugins.registry import PluginRef
from vpcrouter.supervisor import sandbox
from vpcrouter.supervisor.needs import needs_of

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker: its name, role and class, and the settings that it gets.

    On a reload the worker is restarted if, and only if, this has changed.
    """

    name: str
    role: str
    ref: PluginRef
    process: ProcessSettings
    values: Values


@dataclass(frozen=True)
class Start:
    """A new generation of a worker."""

    spec: WorkerSpec
    generation: int
    parent_pid: int
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of the supervisor that not every process may have."""


def main(
    start: Start, inbox: Consumer, outbox: Producer, listener: socket.socket | None = None
) -> NoReturn:
    """Run a worker until it ends, and exit with its status."""
    _die_with_parent(start.parent_pid)
    os.environ.update(start.environment)
    faulthandler.enable()
    wake_fd = _wake_on_stop()
    spec, process = start.spec, start.spec.process
    limit = process.memory_limit * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    kind = _load(spec.ref)
    # Before any thread is started: a thread keeps the capabilities it was started with.
    known = None if isinstance(kind, PluginError) else kind
    kept = _give_up_rights(known)
    confined = _confine(spec, known)
    logs.set_up(process.logfile, process.verbose, spec.name, process.state_dir, spec.ref.package)
    if kept:
        log.warning("could not drop unneeded capabilities", reason=kept)
    if failed := _failed(confined):
        log.warning("worker is not confined", **failed)
    mailbox = WorkerMailbox(
        spec.name,
        start.generation,
        inbox,
        outbox,
        wake_fd,
        listener,
    )
    status = _work(kind, spec.values, mailbox, confined)
    with contextlib.suppress(Exception):
        mailbox.farewell()
    logs.finish()
    # Threads that are stuck in a call must not keep the process alive.
    os._exit(status)


def _load(ref: PluginRef) -> type[Worker] | PluginError:
    try:
        return ref.load()
    except PluginError as error:
        return error


def _give_up_rights(kind: type[Worker] | None) -> str:
    """Drop all capabilities that the worker does not need; the reason if that failed, or ""."""
    capabilities = kind.capabilities if kind else frozenset[str]()
    runs_commands = kind is not None and kind.runs_commands
    if priority.RIGHT not in capabilities:
        priority.stay_ordinary()
    try:
        privileges.hide_memory()
        if not runs_commands:
            privileges.gain_no_more()
        if not runs_commands or os.geteuid() != 0:  # root's commands would regain all of them
            privileges.give_up(capabilities)
    except (OSError, KeyError) as error:
        return str(error)
    return ""


def _confine(spec: WorkerSpec, kind: type[Worker] | None) -> Mapping[str, str]:
    """Confine it to what it needs; what is in force.

    Not if it runs the user's commands, which would be confined with it.
    """
    if kind is not None and kind.runs_commands:
        return dict.fromkeys(("seccomp", "landlock"), "off: its commands would inherit it")
    capabilities = kind.capabilities if kind else frozenset[str]()
    return sandbox.enforce(needs_of(spec.ref), capabilities, spec.process, spec.values)


def _failed(confined: Mapping[str, str]) -> Mapping[str, str]:
    """What is not in force, although the system has it; the supervisor logs what is missing."""
    said = {sandbox.IN_FORCE, *sandbox.unavailable().values()}
    return {
        name: state
        for name, state in confined.items()
        if state not in said and not state.startswith(sandbox.OFF)
    }


def _make(kind: type[Worker] | PluginError, values: Values) -> Worker:
    if isinstance(kind, PluginError):
        raise kind
    return kind(values)


def _work(
    kind: type[Worker] | PluginError,
    values: Values,
    mailbox: WorkerMailbox,
    confined: Mapping[str, str],
) -> int:
    try:
        worker = _make(kind, values)
        mailbox.post(Heartbeat({**worker.get_info(), "sandbox": confined}))
        worker.run(mailbox)
    except StopWorker:
        return 0
    except ConfigError as error:
        for fault in error.faults:
            log.error(fault)
        return error.exit_status
    except MemoryError:
        log.error("worker exceeded memory_limit")
        return 1
    except Exception:
        log.exception("unhandled exception in worker")
        return 1
    log.error("worker returned unexpectedly")
    return 1


def _die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its supervisor dies."""
    die_with_parent()
    if os.getppid() != parent_pid:
        os._exit(1)


def _wake_on_stop() -> int:
    """A descriptor that becomes readable on SIGTERM; other signals are left to the parent."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)

    def stop(_signal: int, _frame: object) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(writable, b"x")

    signal.signal(signal.SIGTERM, stop)
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(ignored, signal.SIG_IGN)
    return readable
