"""A child process, by a descriptor that cannot mean any other process (pidfd_open(2))."""

import contextlib
import os
import signal


class ChildProcess:
    """An unreaped child of this process, whoever forked it. Its descriptor becomes readable when
    the process ends.
    """

    def __init__(self, pid: int) -> None:
        """Raises OSError if there is no such child, ended or not."""
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def fileno(self) -> int:
        return self._pidfd

    def send_signal(self, number: int) -> None:
        """Does nothing if the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def is_stopped(self) -> bool:
        """Whether it is stopped by a signal (SIGSTOP)."""
        how = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PIDFD, self._pidfd, how) is not None
        except ChildProcessError:
            return False

    def reap(self) -> int | None:
        """The exit status, or the negative number of the signal that ended it; None while it runs.

        Once it has returned a status, only `close` may be called.
        """
        ended = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def close(self) -> None:
        os.close(self._pidfd)


def reap_others(known: frozenset[int]) -> None:
    """Reap children that have ended and are not `known`: orphans that this process adopted.

    A known one that has ended hides those behind it until it is reaped.
    """
    with contextlib.suppress(ChildProcessError):  # no children at all
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in known:
                return
            os.waitpid(ended.si_pid, 0)
