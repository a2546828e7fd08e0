"""The log that all processes of the daemon share: stderr, or a file."""

import logging
import os
import select
import sys
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path

from vpcrouter.logs import background
from vpcrouter.logs.background import BackgroundHandler

RETRY_S = 5.0
"""From one attempt to open the file to the next."""
BESIDE_S = 0.5
"""How long a line that the file did not take waits for stderr."""


def _stderr() -> int | None:
    """Its descriptor, unless the process was started without."""
    with suppress(AttributeError, OSError, ValueError):
        return sys.stderr.fileno()
    return None


def _write_within(fd: int, data: bytes, patience_s: float) -> bytes:
    """What has not been written when `fd` has taken nothing for `patience_s`. Raises OSError.

    Never waits for longer on a pipe that this process alone writes to: one that is writable takes
    `PIPE_BUF` bytes without waiting (pipe(7)).
    """
    while data and select.select([], [fd], [], patience_s)[1]:
        with suppress(BlockingIOError):
            data = data[os.write(fd, data[: select.PIPE_BUF]) :]
    return data


class StderrLog(BackgroundHandler):
    """Writes lines to stderr."""

    def __init__(self) -> None:
        super().__init__("stderr")
        self._fd = _stderr()

    def look(self) -> None:
        if self._fd is not None and select.select([], [self._fd], [], background.LOOK_S)[1]:
            self._trouble = ""
        elif self._fd is not None:
            self._trouble = "stderr is full: what reads it has stopped"

    def write(self, line: str) -> None:
        if self._fd is None:
            return
        data = _encoded(line)
        try:
            while data := _write_within(self._fd, data, background.LOOK_S):
                self.look()
        except OSError as error:
            self._trouble = f"stderr cannot be written: {error.strerror}"
        else:
            self._trouble = ""


class FileLog(BackgroundHandler):
    """Appends lines to a file, which is opened again once it has been moved, as by logrotate.

    While it cannot be written, lines go to stderr.
    """

    def __init__(self, path: str, complain_at: int = logging.WARNING) -> None:
        """`complain_at` is the level at which a loss of the file is logged, once."""
        super().__init__("log file")
        self._path = path
        self._complain_at = complain_at
        self._file: FileIO | None = None
        self._next_try_at = 0.0
        self._stderr = _stderr()

    def look(self) -> None:
        try:
            if self._file is not None and self._was_moved(self._file):
                self._close()
            if self._file is None and time.monotonic() >= self._next_try_at:
                self._open()
        except OSError as error:
            self._lose(error)

    def write(self, line: str) -> None:
        self.look()
        data = _encoded(line)
        try:
            while self._file is not None and data:
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            self._lose(error)
        if data and self._stderr is not None:
            with suppress(OSError):
                _write_within(self._stderr, data, BESIDE_S)

    def _was_moved(self, file: FileIO) -> bool:
        try:
            return not os.path.samestat(Path(self._path).stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return True

    def _open(self) -> None:
        """Raises OSError."""
        self._file = FileIO(self._path, "ab")
        if self._trouble:  # the line shows whether it can be written, not only opened
            self._file.write(_encoded(self._line(logging.INFO, "log file is written again")))
            self._trouble = ""

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file = None

    def _lose(self, error: OSError) -> None:
        self._close()
        self._next_try_at = time.monotonic() + RETRY_S
        is_news = not self._trouble
        self._trouble = f"log file {self._path} cannot be written: {error.strerror}"
        if is_news:
            log = logging.getLogger(__name__)
            log.log(self._complain_at, "%s; lines go to stderr until it can be", self._trouble)


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace") + b"\n"
