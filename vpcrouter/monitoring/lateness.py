"""How late a loop runs: its own delay must not count as a failure of hosts."""

from collections.abc import Callable


class Lateness:
    """Measures how late the turns of a loop start, or how long they take."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wake_s = self.woken_s = clock()
        self._turn_s = 0.0

    def plan(self, now_s: float, due_s: float) -> float:
        """A turn has ended and the next is due at `due_s`; return when it should start."""
        self._turn_s = now_s - self.woken_s
        self._wake_s = max(now_s, due_s)
        return self._wake_s

    def begin_turn(self) -> float:
        """A turn starts; return its delay or the length of the last turn, whichever is more."""
        self.woken_s = self._clock()
        return max(self.woken_s - self._wake_s, self._turn_s)
