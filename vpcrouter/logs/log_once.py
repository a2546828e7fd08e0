"""Repeated trouble, logged only when it begins, changes and ends."""

from structlog.stdlib import BoundLogger


class Trouble:
    """One kind of trouble; logs nothing while the reason stays the same."""

    def __init__(self, log: BoundLogger, begins: str, ends: str) -> None:
        self._log = log
        self._begins = begins
        self._ends = ends
        self.reason = ""
        """The current reason; empty if there is no trouble."""

    def tell(self, reason: str) -> None:
        """Set the current reason; an empty one means that the trouble is over."""
        if reason and reason != self.reason:
            self._log.error(self._begins, reason=reason)
        elif self.reason and not reason:
            self._log.info(self._ends)
        self.reason = reason


class Seldom:
    """Limits a frequent log event to one per `every_s`."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s = float("-inf")

    def is_time(self, now_s: float) -> bool:
        """Whether to log it now."""
        if now_s - self._last_s < self._every_s:
            return False
        self._last_s = now_s
        return True
