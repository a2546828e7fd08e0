"""Something that goes wrong again and again, told when it begins, changes and ends."""

from structlog.stdlib import BoundLogger


class Trouble:
    """One kind of trouble; silent while it stays the same."""

    def __init__(self, log: BoundLogger, begins: str, ends: str) -> None:
        self._log = log
        self._begins = begins
        self._ends = ends
        self.reason = ""
        """What is wrong now; empty if nothing is."""

    def tell(self, reason: str) -> None:
        """Say what is wrong now; nothing is wrong if `reason` is empty."""
        if reason and reason != self.reason:
            self._log.error(self._begins, reason=reason)
        elif self.reason and not reason:
            self._log.info(self._ends)
        self.reason = reason


class Seldom:
    """What happens often is to be logged once in `every_s`."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s = float("-inf")

    def is_time(self, now_s: float) -> bool:
        """Whether to log it now."""
        if now_s - self._last_s < self._every_s:
            return False
        self._last_s = now_s
        return True
