"""Memory that is freed is kept for the next use: mallopt(3).

The C library gives tens of MiB that a large answer took back to the kernel in one call, of
several milliseconds, made by whichever thread happens to free the last of it. So that not every
thread keeps as much, all share one arena.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
TRIM_ABOVE = 1 << 30
MAP_FROM = 1 << 24


def keep_freed() -> None:
    """For all of this process, where the C library can be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, TRIM_ABOVE)
        mallopt(M_MMAP_THRESHOLD, MAP_FROM)
        mallopt(M_ARENA_MAX, 1)
