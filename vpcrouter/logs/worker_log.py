"""The log that each process keeps of its own lines: small and non-blocking."""

import logging
import os
from io import FileIO
from pathlib import Path

from vpcrouter.logs.background import BackgroundHandler

FOLDER = "log"
MAX_BYTES = 1024 * 1024


class OwnLog(BackgroundHandler):
    """Appends lines to a file of at most `MAX_BYTES` and keeps one older file beside it.

    Lines are ASCII, so that reading from the middle never splits a character.
    """

    def __init__(self, path: Path, complain_at: int = logging.WARNING) -> None:
        """`complain_at` is the level at which a loss of lines is logged, once."""
        super().__init__("own log")
        self._complain_at = complain_at
        self._path = path
        self._file: FileIO | None = None
        self._has_complained = False

    @staticmethod
    def path_of(state_dir: str, worker: str) -> Path:
        """The path of the log of `worker`."""
        return Path(state_dir) / FOLDER / f"{worker}.log"

    def look(self) -> None:
        """Open the file, so that it is there before the first line."""
        try:
            self._file = self._file or self._open()
        except OSError as error:
            self._complain(error)

    def write(self, line: str) -> None:
        try:
            self._write(line.encode("ascii", "backslashreplace") + b"\n")
        except OSError as error:
            self._complain(error)

    def _write(self, line: bytes) -> None:
        if self._file is not None:
            status = os.fstat(self._file.fileno())
            if status.st_size + len(line) > MAX_BYTES:
                self._file.close()
                self._file = None
                self._path.replace(self._path.with_suffix(".log.1"))
            elif not status.st_nlink:  # the file has been deleted
                self._file.close()
                self._file = None
        if self._file is None:
            self._file = self._open()
        self._file.write(line)

    def _open(self) -> FileIO:
        folder = self._path.parent
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return self._path.open("ab", buffering=0)

    def _complain(self, error: OSError) -> None:
        """Log once, to the other handlers, that lines are lost."""
        if self._has_complained:
            return
        self._has_complained = True
        said = "%s cannot be written: %s; supervisorctl tail will miss lines"
        logging.getLogger(__name__).log(self._complain_at, said, self._path, error.strerror)
