"""How late a loop is itself, whose lateness is nobody else's failure."""

from collections.abc import Callable


class Lateness:
    """Of a loop whose turns are planned: how much later than planned, or longer, they are."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wake_s = self.woken_s = clock()
        self._turn_s = 0.0

    def plan(self, now_s: float, due_s: float) -> float:
        """A turn has ended, and the next one is due then; when it is to begin."""
        self._turn_s = now_s - self.woken_s
        self._wake_s = max(now_s, due_s)
        return self._wake_s

    def begin_turn(self) -> float:
        """A turn begins; how late that is, or how long the last one took, if that is more."""
        self.woken_s = self._clock()
        return max(self.woken_s - self._wake_s, self._turn_s)
