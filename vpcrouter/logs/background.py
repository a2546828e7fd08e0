"""A log handler whose lines are written by a thread of its own, so that no log call waits.

A pipe that nobody reads, or a disk that is full, slow or hangs, costs lines and nothing else.
"""

import contextlib
import logging
import queue
import signal
import threading
import time
from abc import ABC, abstractmethod
from typing import Self

from vpcrouter.linux import privileges

MAX_WAITING_LINES = 1000
FINISH_S = 0.5
LOOK_S = 5.0
"""How often a handler without lines checks what it writes to."""
STUCK_S = 3 * LOOK_S
LINE = "vpcrouter_line"
"""Where a record keeps its line for the other handlers."""
STACK_BYTES = 512 * 1024
"""Of the thread: the default of 8 MiB would count against the worker's memory limit."""


class BackgroundHandler(logging.Handler, ABC):
    """Queues formatted lines for its thread, and drops and counts those that do not fit.

    No method that logs raises or waits. All handlers of a process have the same formatter, so that
    a record is formatted once.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._trouble = ""
        self._dropped = 0
        self._turned_at = time.monotonic()
        self._lines: queue.Queue[str] = queue.Queue(MAX_WAITING_LINES)

    def start(self) -> Self:
        """Start the thread: once all handlers are in place, since it logs what it finds."""
        before = threading.stack_size(STACK_BYTES)
        try:
            threading.Thread(target=self._keep, name=self._name, daemon=True).start()
        finally:
            threading.stack_size(before)
        return self

    @property
    def problem(self) -> str:
        """Why lines are lost or go elsewhere, or ""."""
        silent_s = time.monotonic() - self._turned_at
        if not self._trouble and silent_s > STUCK_S:
            return f"{self._name} cannot be written: no answer from the system for {STUCK_S:g} s"
        return self._trouble

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = vars(record).get(LINE) or self.format(record)
            vars(record)[LINE] = line
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1  # under the handler's lock
        except Exception as error:  # a value whose __str__ raises anything
            if logging.raiseExceptions:
                said = "event of %s, line %d, cannot be logged: %s"
                self._note(logging.ERROR, said, record.name, record.lineno, type(error).__name__)

    def finish(self) -> None:
        """Wait until all lines are written, for a moment."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, FINISH_S)

    def _line(self, level: int, text: str, *values: object) -> str:
        """A line of this handler's own."""
        return self.format(logging.LogRecord(__name__, level, "", 0, text, values, None))

    def _note(self, level: int, text: str, *values: object) -> None:
        with contextlib.suppress(Exception):  # as for the event itself
            self._lines.put_nowait(self._line(level, text, *values))

    def _keep(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # the main thread's
        with contextlib.suppress(OSError):  # the main thread logs it if forbidden
            privileges.give_up()
        said = 0
        with contextlib.suppress(OSError):
            self.look()
        while True:
            self._turned_at = time.monotonic()
            try:
                line = self._lines.get(timeout=LOOK_S)
            except queue.Empty:
                with contextlib.suppress(OSError):  # what it is has not changed
                    self.look()
                continue
            try:
                self.write(line)
            finally:
                self._lines.task_done()
            if self._dropped > said and self._lines.empty():
                said, dropped = self._dropped, self._dropped - said
                self._note(logging.WARNING, "%d log lines were dropped", dropped)

    @abstractmethod
    def look(self) -> None:
        """Check what is written to, in the thread: at first, and every `LOOK_S` without a line.

        May wait. Raises OSError.
        """

    @abstractmethod
    def write(self, line: str) -> None:
        """Write a line, in the thread. Does not raise; may wait."""
