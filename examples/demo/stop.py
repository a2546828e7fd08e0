"""Stops the demo at any moment: a signal only sets a flag, which every wait checks."""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


class StoppedError(Exception):
    """A signal asked the demo to stop."""


class Stop:
    """Whether the demo was asked to stop. Owned by the main thread."""

    def __init__(self) -> None:
        self.signal = 0
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Readable once the demo was asked to stop."""
        return self._fd

    def catch_signals(self) -> None:
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # not under nohup
            signal.signal(signal.SIGHUP, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        os.eventfd_write(self._fd, 1)

    def check(self) -> None:
        """Raises StoppedError after a signal."""
        if self.signal:
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Sleep. Raises StoppedError on a signal, BrokenPipeError once the output is unreadable."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(sys.stdout.fileno(), 0)  # its terminal was closed, or the pipe's other end
        lost = {sys.stdout.fileno()} & {fd for fd, _ in poll.poll(1000 * seconds)}
        self.check()
        if lost:
            raise BrokenPipeError

    def poll(self, look: Callable[[], T], limit_s: float, every_s: float = 0.02) -> T:
        """The first truthy answer of `look`, or the last one after `limit_s`."""
        deadline_s = time.monotonic() + limit_s
        while True:
            self.check()
            answer = look()
            if answer or time.monotonic() >= deadline_s:
                return answer
            self.wait(every_s)
