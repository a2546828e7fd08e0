"""Exponential backoff after consecutive failures. Pure; callers supply the randomness of jitter."""

from collections.abc import Callable

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
SHORTEST_SHARE = 0.5


def backoff_s(
    failures: int, first_s: float = FIRST_PAUSE_S, longest_s: float = LONGEST_PAUSE_S
) -> float:
    """The pause in seconds: `first_s` after one failure, twice that after two, and so on."""
    return min(first_s * 2.0 ** min(failures - 1, 16), longest_s)


def jittered_s(pause_s: float, uniform: Callable[[float, float], float]) -> float:
    """At most `pause_s` and at least half of it, lest many come at once; `uniform` is random's."""
    return pause_s * uniform(SHORTEST_SHARE, 1.0)
