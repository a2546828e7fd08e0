"""Memory of a process that reads much, again and again: kept for the next use, and rarely searched.

The C library gives tens of MiB that a large answer took back to the kernel in one call, of
several milliseconds, made by whichever thread happens to free the last of it. So that not every
thread keeps as much, all share one arena.
"""

import ctypes
import gc

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
TRIM_ABOVE = 1 << 30
MAP_FROM = 1 << 24
MIN_YOUNG = 10_000
GENERATIONS = 50, 100


def keep_freed() -> None:
    """For all of this process, where the C library can be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, TRIM_ABOVE)
        mallopt(M_MMAP_THRESHOLD, MAP_FROM)
        mallopt(M_ARENA_MAX, 1)


def search_rarely(read: int) -> None:
    """Look for garbage less often, and never among what is there the first time.

    `read` is how many things a reading has. What boto3 makes of EC2's API takes long to search.
    Searches while a large VPC was read kept failovers waiting for up to 0.25 s; where little is
    read, as few of them as are good there let 10 MiB of garbage pile up in an hour.
    """
    if not gc.get_freeze_count():
        gc.freeze()
    gc.set_threshold(max(MIN_YOUNG, 2 * read), *GENERATIONS)
