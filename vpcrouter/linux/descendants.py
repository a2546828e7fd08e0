"""Ending all that a process has started, which is a subreaper (see `prctl`): daemons, too."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

KILL_PAUSE_S = 0.005
KILL_PAUSE_MAX_S = 0.5


def end_descendants(patience_s: float) -> bool:
    """Kill all descendants of this process, which is a subreaper; False if some survive.

    Killing children is enough, because their children are reparented to this process. It is
    safe, because the process id of an unreaped child is not reused.
    """
    deadline_s = time.monotonic() + patience_s
    pause_s = KILL_PAUSE_S
    while True:
        kill(children())
        list(reaped())
        if not children():
            return True
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, KILL_PAUSE_MAX_S)


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(PermissionError):  # a command with a set-uid bit
            os.kill(pid, signal.SIGKILL)


def reaped() -> Iterator[tuple[int, int]]:
    """Process ids and wait statuses of children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            yield pid, status


def children() -> list[int]:
    """The process ids of this process' children, zombies included."""
    try:
        return [int(word) for word in Path("/proc/thread-self/children").read_text().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return list(_children_by_search())


def _children_by_search() -> Iterator[int]:
    ours = str(os.getpid())
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "stat").read_text().rpartition(")")[2].split()[1] == ours:
                    yield int(entry.name)
