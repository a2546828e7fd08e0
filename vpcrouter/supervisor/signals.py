"""The daemon's signals, for its loop: handlers only enqueue."""

import contextlib
import os
import signal
from collections import deque
from collections.abc import Iterator

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
OTHER_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Reload; reopen the log (automatic, nothing to do); write the state to the log."""


class SignalQueue:
    """Received signals in order; `fileno` is readable while there are any.

    Caught and taken by the main thread.
    """

    def __init__(self) -> None:
        self._received: deque[int] = deque()
        self._wake_fd, self._writer_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def catch(self) -> None:
        signal.set_wakeup_fd(self._writer_fd, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, *OTHER_SIGNALS):
            signal.signal(number, lambda received, _frame: self._received.append(received))
        # Ignored, as a parent may have left it, the kernel would discard exit statuses.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def fileno(self) -> int:
        return self._wake_fd

    def drain(self) -> None:
        """Reset `fileno` until the next signal."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_fd, 4096)

    def take(self) -> Iterator[int]:
        while self._received:
            yield self._received.popleft()

    def ignore(self) -> None:
        """For interpreter shutdown, when Python's default handlers would let a signal kill us."""
        for number in (*STOP_SIGNALS, *OTHER_SIGNALS):
            signal.signal(number, signal.SIG_IGN)
