"""A supervisor with workers of the tests' own, seen from outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.process.daemon import run_early
from tests.waiting import wait_until
from vpcrouter.model.messages import API

ROOT = Path(__file__).parents[2]
OBSERVER = ("observer", API, "Observer")
START_S = 30.0
"""How long starting many processes may take on a busy machine."""


@dataclass(frozen=True)
class Seen:
    """A worker as the supervisor reports it."""

    pid: int | None
    generation: int
    state: str
    last_exit: str
    refused: int = 0


class Supervised:
    """A supervisor in a process and session of its own."""

    def __init__(self, folder: Path, *children: tuple[str, str, str]) -> None:
        self.folder = folder
        self._names = [name for name, _, _ in children]
        (folder / "children").write_text(json.dumps(children))
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.process.driver", str(folder)],
                cwd=ROOT,
                stderr=log,
                start_new_session=True,
            )

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def said(self, name: str) -> Any:
        """What a worker has written down, or None."""
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else None

    def workers(self) -> dict[str, Seen]:
        return {name: Seen(*seen) for name, seen in (self.said("workers") or {}).items()}

    def order(self, name: str, word: str) -> None:
        new = self.folder / f"{name}.written"
        new.write_text(word)
        new.replace(self.folder / f"{name}.order")

    def has_heard(self, name: str) -> bool:
        return not (self.folder / f"{name}.order").exists()

    def wait_running(self) -> dict[str, Seen]:
        def all_run() -> bool:
            states = {seen.state for seen in self.workers().values()}
            return states == {"RUNNING"}

        wait_until(all_run, START_S, self.log)
        return self.workers()

    def wait_replaced(self, name: str, before: Seen) -> Seen:
        def again() -> bool:
            now = self.workers()[name]
            return now.generation > before.generation and now.state == "RUNNING"

        wait_until(again, START_S, self.log)
        return self.workers()[name]

    def wait_end(self, timeout_s: float) -> int:
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.log()) from None

    def end(self) -> None:
        """Leave nothing of the session behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


StartSupervised = Callable[..., Supervised]


def state_of(pid: int) -> str:
    """The letter of proc_pid_stat(5); X when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "X"
    return stat.rpartition(")")[2].split()[0]


def is_there(pid: int) -> bool:
    """Whether the process runs or is stopped; a zombie is only waiting to be counted."""
    return state_of(pid) not in "ZX"


def assert_gone(pids: set[int], within_s: float) -> None:
    def left() -> list[int]:
        return sorted(filter(is_there, pids))

    wait_until(lambda: not left(), within_s, lambda: f"left: {left()}", patience=1.0)


def run_first(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every Python that is started from now on run `code` before all else."""
    for name, value in run_early(code, folder).items():
        monkeypatch.setenv(name, value)


NO_FORKER = """
import sys
if "forker.main" in sys.orig_argv[-1]:
    raise SystemExit
"""
"""For `run_first`: every worker is started by an interpreter of its own."""
