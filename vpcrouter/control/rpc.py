"""Supervisor's XML-RPC interface for our workers: its own code, on stand-ins for its objects.

States, faults, waiting and wording are therefore Supervisor's.
"""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

from supervisor.http import NOT_DONE_YET
from supervisor.options import readFile
from supervisor.rpcinterface import SupervisorNamespaceRPCInterface, isRunning, make_allfunc
from supervisor.xmlrpc import (
    Faults,
    RootRPCInterface,
    RPCError,
    SystemNamespaceRPCInterface,
    traverse,
)

from vpcrouter.control.orders import OrderBook
from vpcrouter.control.supervisord import (
    GROUP,
    OBEY_S,
    ControlledWorker,
    SupervisordView,
    WorkerGroup,
)
from vpcrouter.model.messages import CONTROL, Orders
from vpcrouter.options.groups import ControlSettings

COMMAND_S = 60.0
ASK_S = 0.05
READ_BYTES = 1024 * 1024
UNSHOWABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow."""


class SupervisorInterface(SupervisorNamespaceRPCInterface):  # type: ignore[misc]
    """Supervisor's methods, except those that make no sense for a fixed set of workers.

    `system.methodSignature` reads `@param` and `@return` in their docstrings.
    """

    supervisord: SupervisordView

    def _getGroupAndProcess(self, name: str) -> tuple[WorkerGroup, ControlledWorker | None]:  # noqa: N802
        """A worker's name without the group is accepted, too."""
        (group,) = self.supervisord.process_groups.values()
        if name in group.processes:
            return group, group.processes[name]
        found: tuple[WorkerGroup, ControlledWorker | None] = super()._getGroupAndProcess(name)
        return found

    def stopProcessGroup(self, name: str, wait: bool = True) -> Any:  # noqa: N802
        """Stop all workers except the one that serves this command

        @param string name     The group name
        @param boolean wait    Wait for each process to be fully stopped
        @return array result   An array of process status info structs
        """
        self._update("stopProcessGroup")
        group = self.supervisord.process_groups.get(name)
        if group is None:
            raise RPCError(Faults.BAD_NAME, name)
        others = [
            (group, process)
            for process in sorted(group.processes.values())
            if process.status.role != CONTROL
        ]
        stop_all = make_allfunc(others, isRunning, self.stopProcess, wait=wait)
        stop_all.delay = 0.05
        stop_all.rpcinterface = self
        return stop_all

    def stopAllProcesses(self, wait: bool = True) -> Any:  # noqa: N802
        """Stop all workers except the one that serves this command

        @param boolean wait    Wait for each process to be fully stopped
        @return array result   An array of process status info structs
        """
        return self.stopProcessGroup(GROUP, wait)

    def shutdown(self) -> bool:
        """Shut the daemon down; routes stay as they are

        @return boolean result always returns True unless error
        """
        super().shutdown()
        self.supervisord.book.give(Orders.to_shut_down)
        return True

    def reloadConfig(self) -> Any:  # noqa: N802
        """Reload the configuration, or say why it was rejected

        @return array result  always [[[], [], []]]: the one group stays
        """
        self._update("reloadConfig")
        book = self.supervisord.book
        before = book.report.reloads
        book.give(Orders.to_reload)
        deadline_s = time.monotonic() + COMMAND_S
        while book.report.reloads == before:
            if time.monotonic() >= deadline_s:
                raise TimeoutError
            book.wait_newer(book.reports, ASK_S)
        if book.report.reload_faults:
            raise RPCError(Faults.CANT_REREAD, "; ".join(book.report.reload_faults))
        return [[[], [], []]]

    def restart(self) -> Any:
        """Not supported

        @return boolean result  never
        """
        raise RPCError(
            Faults.FAILED, "not supported; use the service manager to restart the daemon"
        )

    def clearLog(self) -> Any:  # noqa: N802
        """Not supported

        @return boolean result  never
        """
        raise RPCError(Faults.FAILED, "not supported; rotate the daemon's log instead")

    def readLog(self, offset: int, length: int) -> str:  # noqa: N802
        """Read length bytes from the main log starting at offset

        @param int offset         offset to start reading from.
        @param int length         number of bytes to read from the log.
        @return string result     Bytes of log
        """
        self._update("readLog")
        return _read(self.supervisord.logfile, offset, length)

    readMainLog = readLog  # noqa: N815

    def _readProcessLog(  # noqa: N802
        self, name: str, offset: int, length: int, channel: str
    ) -> str:
        return _read(self._log_of(name, channel), offset, length)

    def _log_of(self, name: str, channel: str) -> str | None:
        _, process = self._getGroupAndProcess(name)
        if process is None:
            raise RPCError(Faults.BAD_NAME, name)
        path: str | None = getattr(process.config, f"{channel}_logfile", None)
        return path


class System(SystemNamespaceRPCInterface):  # type: ignore[misc]
    """Supervisor's introspection, extended to inherited methods."""

    def _listMethods(self) -> dict[str, str]:  # noqa: N802
        return {
            f"{space}.{name}": str(getattr(interface, name).__doc__)
            for space, interface in self.namespaces.items()
            for name in dir(interface)
            if not name.startswith("_") and isinstance(getattr(interface, name), MethodType)
        }


def _read(path: str | None, offset: int, length: int) -> str:
    """At most `READ_BYTES`, as text that XML allows."""
    if path is None or not Path(path).exists():
        raise RPCError(Faults.NO_FILE, path)
    offset = max(offset, -READ_BYTES)
    if offset >= 0 and (length == 0 or length > READ_BYTES):
        length = READ_BYTES
    try:
        data: bytes = readFile(path, offset, length)
    except ValueError as error:  # its argument is the name of the fault
        raise RPCError(getattr(Faults, error.args[0])) from None
    return UNSHOWABLE.sub("?", data.decode("utf-8", "replace"))


class Commands:
    """Dispatches calls by method name; each runs in its own thread."""

    def __init__(self, book: OrderBook, settings: ControlSettings) -> None:
        self._book = book
        daemon = SupervisordView(book, settings)
        self.main_log = daemon.logfile
        self._interface = SupervisorInterface(daemon)
        spaces = [("supervisor", self._interface)]
        self._root = RootRPCInterface([*spaces, ("system", System(spaces))])

    def log_of(self, name: str, channel: str) -> str | None:
        """The path of a worker's log, or None."""
        try:
            return self._interface._log_of(name, channel)
        except RPCError:
            return None

    def call(self, method: str, params: Sequence[Any]) -> Any:
        """Run a command to completion. Raises RPCError."""
        try:
            if not self._book.reports and not self._book.wait_newer(0, OBEY_S):
                raise TimeoutError  # noqa: TRY301 - as below
            answer = traverse(self._root, method, params)
            return self._finish(answer) if isinstance(answer, FunctionType) else answer
        except TimeoutError:
            # The client reports a failed start under this code only.
            code = Faults.ABNORMAL_TERMINATION if ".start" in method else Faults.FAILED
            raise RPCError(code, "timed out") from None

    def _finish(self, is_done: Callable[[], Any]) -> Any:
        """Poll for completion on each report, as supervisord does on each loop iteration."""
        deadline_s = time.monotonic() + COMMAND_S
        while True:
            heard = self._book.reports
            answer = is_done()
            if answer is not NOT_DONE_YET:
                return answer
            if time.monotonic() >= deadline_s:
                raise TimeoutError
            self._book.wait_newer(heard, ASK_S)
