"""Exponential backoff after consecutive failures. Pure; callers add jitter."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


def backoff_s(
    failures: int, first_s: float = FIRST_PAUSE_S, longest_s: float = LONGEST_PAUSE_S
) -> float:
    """The pause in seconds: `first_s` after one failure, twice that after two, and so on."""
    return min(first_s * 2.0 ** min(failures - 1, 16), longest_s)
