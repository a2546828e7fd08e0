"""Starts and ends the demo's processes, so that none of them outlives it."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def start(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    output: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` in a new session, where Ctrl-C on the terminal does not reach it.

    It gets SIGTERM when the calling thread ends, for whatever reason.
    """
    return subprocess.Popen(  # noqa: S603 - our own commands
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=env,
        pass_fds=pass_fds,
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - nothing here has threads
    )


def _die_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end(process: subprocess.Popen[bytes], grace_s: float = 6.0) -> int:
    """End a process and its children: SIGTERM, then SIGKILL; return its exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
