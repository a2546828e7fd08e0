"""Our workers in the shape of a supervisord: what Supervisor's interface asks of it.

All workers are one group.
"""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from supervisor.options import ProcessConfig, ProcessGroupConfig
from supervisor.states import ProcessStates, SupervisorStates

from vpcrouter.control.orders import OrderBook
from vpcrouter.logs.setup import CONSOLE, SUPERVISOR
from vpcrouter.logs.worker_log import MAX_BYTES, OwnLog
from vpcrouter.model.messages import CONTROL, Orders, WorkerStatus
from vpcrouter.options.groups import ControlSettings
from vpcrouter.supervisor.lifecycle import LifePolicy

GROUP = "vpcrouter"
OBEY_S = 10.0


class ControlledWorker:
    """One worker, with what Supervisor's interface expects of a process."""

    def __init__(self, book: OrderBook, config: Any, status: WorkerStatus) -> None:
        self.config = config
        self._book = book
        self._status = status

    def __lt__(self, other: "ControlledWorker") -> bool:
        """By name; the control worker, which serves the command, comes last."""
        mine, others = self._status, other._status
        return (mine.role == CONTROL, mine.name) < (others.role == CONTROL, others.name)

    @property
    def status(self) -> WorkerStatus:
        """The newest status; the last known one if the worker has been removed."""
        return self._book.status(self._status.name) or self._status

    def get_state(self) -> int:
        return int(getattr(ProcessStates, self.status.state))

    @property
    def pid(self) -> int:
        return self.status.pid or 0

    @property
    def killing(self) -> bool:
        return bool(self.get_state() == ProcessStates.STOPPING)

    @property
    def laststart(self) -> float:
        return self.status.started_at

    @property
    def laststop(self) -> float:
        return self.status.ended_at

    @property
    def exitstatus(self) -> int:
        """-1 after termination by a signal, as in Supervisor."""
        return max(-1, self.status.exit_status)

    @property
    def spawnerr(self) -> str:
        return self.status.spawn_error

    def get_execv_args(self) -> tuple[str, list[str]]:
        """No executable has to be found."""
        return "", []

    def transition(self) -> None:
        """The supervisor sees to it."""

    stop_report = transition

    def spawn(self) -> None:
        self._order_and_wait(lambda orders: orders.to_start(self._status.name))

    def stop(self) -> str | None:
        """Returns why it was not stopped, or None."""
        if self._status.role == CONTROL:
            return f"{GROUP}:{CONTROL} cannot be stopped: it serves these commands"
        self._order_and_wait(lambda orders: orders.to_stop(self._status.name))
        return None

    def signal(self, number: int) -> None:
        def change(orders: Orders) -> Orders:
            return orders.to_signal(self._status.name, int(number))

        if self._status.role == CONTROL:  # the signal may end it before it is confirmed
            self._book.give(change)
        else:
            self._order_and_wait(change)

    def _order_and_wait(self, change: Callable[[Orders], Orders]) -> None:
        if not self._book.wait_obeyed(self._book.give(change), OBEY_S):
            raise TimeoutError

    def removelogs(self) -> None:
        path = Path(self.config.stdout_logfile)
        if path.exists():
            os.truncate(path, 0)

    def write(self, _chars: bytes) -> None:
        raise BrokenPipeError(errno.EPIPE, "workers do not read stdin")


class WorkerGroup:
    """All workers."""

    def __init__(self, config: Any, processes: dict[str, ControlledWorker]) -> None:
        self.config = config
        self.processes = processes


class SupervisordView:
    """What Supervisor's interface expects of a supervisord and of its options."""

    identifier = GROUP

    def __init__(self, book: OrderBook, settings: ControlSettings) -> None:
        self.book = book
        self.mood = SupervisorStates.RUNNING
        self.options = self
        self._state_dir = settings.state_dir
        own_log = str(OwnLog.path_of(self._state_dir, SUPERVISOR))
        self.logfile = own_log if settings.logfile == CONSOLE else settings.logfile

    def get_pid(self) -> int:
        return os.getppid()

    def reap(self) -> None:
        """The supervisor sees to it."""

    def add_process_group(self, _config: Any) -> bool:
        """The only group exists already."""
        return False

    def remove_process_group(self, _name: str) -> bool:
        """The only group always has workers."""
        return False

    @property
    def process_group_configs(self) -> list[Any]:
        configs = [self._config(worker) for worker in self.book.report.workers]
        return [ProcessGroupConfig(self, GROUP, 999, configs)]

    @property
    def process_groups(self) -> dict[str, WorkerGroup]:
        (config,) = self.process_group_configs
        processes = {
            worker.name: ControlledWorker(self.book, its_config, worker)
            for worker, its_config in zip(
                self.book.report.workers, config.process_configs, strict=False
            )
        }
        return {GROUP: WorkerGroup(config, processes)}

    def _config(self, worker: WorkerStatus) -> Any:
        policy = LifePolicy()
        params = {
            **dict.fromkeys(ProcessConfig.req_param_names),
            "name": worker.name,
            "command": worker.role,
            "priority": 999,
            "autostart": True,
            "autorestart": True,
            "startsecs": policy.startsecs,
            "startretries": policy.early_deaths,
            "stdout_logfile": str(OwnLog.path_of(self._state_dir, worker.name)),
            "stdout_logfile_maxbytes": MAX_BYTES,
            "stdout_logfile_backups": 1,
            "redirect_stderr": True,
            "stopsignal": signal.SIGTERM,
            "stopwaitsecs": policy.stop_grace_s,
        }
        return ProcessConfig(self, **params)
