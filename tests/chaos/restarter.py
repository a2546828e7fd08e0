"""Plays systemd: runs vpcrouterd and starts it again, at once, whenever it ends."""

import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from examples.demo import children
from examples.demo.daemon import PROGRAM

_STARTED = re.compile(r'event="(?:worker started" subject=(\S+)|(forker) started") pid=(\d+)')


@dataclass
class Restarter:
    """Owned by the run; its thread starts the daemon, which ends with that thread.

    `ends` are the daemon's ends that nobody ordered: when, and with what status.
    """

    ini_path: Path
    log_path: Path
    env: Mapping[str, str]
    pid: int = 0
    started_s: float = 0.0
    starts: int = 0
    ends: list[tuple[float, int]] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    """Each start's, with the number of the supervisor that began it."""
    _is_ordered: bool = False
    _stopping: threading.Event = field(default_factory=threading.Event)
    _read_to: int = 0
    _pids: dict[str, list[int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        self.log_path.touch()
        self._thread = threading.Thread(target=self._keep, name="restarter")
        self._thread.start()

    def _keep(self) -> None:
        env = {**os.environ, **self.env}
        while not self._stopping.is_set():
            self._is_ordered = False
            with self.log_path.open("ab") as log:
                process = children.start(
                    [PROGRAM, "--config", self.ini_path], env=env, output=log.fileno()
                )
            self.sessions.add(process.pid)
            self.pid, self.started_s = process.pid, time.monotonic()
            self.starts += 1
            status = process.wait()
            if not (self._is_ordered or self._stopping.is_set()):
                self.ends.append((time.monotonic(), status))

    def kill(self) -> bool:
        """SIGKILL the supervisor; whether it was there."""
        self._is_ordered = True
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def stop(self, limit_s: float = 12.0) -> bool:
        """End the daemon for good; whether SIGTERM was enough."""
        self._stopping.set()
        os.kill(self.pid, signal.SIGTERM)
        self._thread.join(limit_s)
        if not self._thread.is_alive():
            return True
        self.kill()
        self._thread.join()
        return False

    def name_of(self, pid: int) -> str | None:
        """The worker, or the forker, that a process was started as, as the log tells."""
        with self._lock:
            self._read_log()
            return next((name for name, pids in self._pids.items() if pid in pids), None)

    def pid_of(self, worker: str) -> int | None:
        """The newest process of a worker; it may have ended."""
        with self._lock:
            self._read_log()
            pids = self._pids.get(worker)
            return pids[-1] if pids else None

    def _read_log(self) -> None:
        with self.log_path.open("rb") as log:
            log.seek(self._read_to)
            text, newline, _ = log.read().rpartition(b"\n")
        self._read_to += len(text) + len(newline)
        for worker, forker, pid in _STARTED.findall(text.decode(errors="replace")):
            for pids in self._pids.values():
                if int(pid) in pids:
                    pids.remove(int(pid))  # the number is used again
            self._pids.setdefault(worker or forker, []).append(int(pid))
