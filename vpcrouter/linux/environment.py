"""The variables that a process was started with, and what /proc/PID/environ shows of them."""

import contextlib
import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_ENV_START, _ENV_END = 47, 48
"""In /proc/PID/stat: the fields 50 and 51 of proc(5), counted from the state, the third."""

_withheld: dict[str, str] = {}


def withhold(prefix: str) -> None:
    """Take the variables whose names begin with `prefix` out of this process's environment.

    No child inherits them, and /proc/PID/environ no longer shows them: it shows the memory in
    which the kernel has put them, for this process and for all that it forks.
    """
    for name in [name for name in os.environ if name.startswith(prefix)]:
        _withheld[name] = os.environ.pop(name)
    with contextlib.suppress(OSError):
        _wipe(prefix.encode())


def withheld(prefixes: Iterable[str]) -> dict[str, str]:
    """Of the variables taken out those whose names begin with any of `prefixes`."""
    begins = tuple(prefixes)
    return {name: value for name, value in _withheld.items() if name.startswith(begins)}


def _wipe(prefix: bytes) -> None:
    """Overwrite the strings that the kernel has put there; nothing refers to them any more."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    for line in ctypes.string_at(start, end - start).split(b"\0"):
        if line.startswith(prefix):
            ctypes.memset(start, 0, len(line))
        start += len(line) + 1
