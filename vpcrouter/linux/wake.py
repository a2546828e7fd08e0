"""An eventfd(2), by which any thread wakes the one that waits for descriptors."""

import os


class WakeFd:
    """Readable from `wake` until `clear`."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._fd

    def wake(self) -> None:
        os.eventfd_write(self._fd, 1)

    def clear(self) -> bool:
        """Whether it was readable."""
        try:
            return os.eventfd_read(self._fd) > 0
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._fd)
