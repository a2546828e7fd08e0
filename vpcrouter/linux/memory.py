"""Tunes malloc and garbage collection for a process that reads large responses repeatedly.

The C library returns the tens of MiB of a large response to the kernel in one call of several
milliseconds, in whichever thread frees the last of it. All threads share one arena, so that not
every thread keeps as much.
"""

import ctypes
import gc

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
TRIM_ABOVE = 1 << 30
MAP_FROM = 1 << 24
MIN_YOUNG = 10_000
GENERATIONS = 50, 100


def keep_freed() -> None:
    """Keep freed memory in this process, where the C library has `mallopt`."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, TRIM_ABOVE)
        mallopt(M_MMAP_THRESHOLD, MAP_FROM)
        mallopt(M_ARENA_MAX, 1)


def search_rarely(read: int) -> None:
    """Run garbage collection less often, and exclude the objects that exist at the first call.

    `read` is the number of objects in a reading. boto3's data for the EC2 API takes long to
    traverse: collections while reading a large VPC delayed failovers by up to 0.25 s. For a small
    VPC the same thresholds would let 10 MiB of garbage accumulate in an hour.

    The thresholds show whether it is the first call: to count the excluded objects takes 5 to 20
    ms, in which no other thread runs.
    """
    if gc.get_threshold()[1:] != GENERATIONS:  # the first call; the forker has frozen objects, too
        gc.freeze()
    gc.set_threshold(max(MIN_YOUNG, 2 * read), *GENERATIONS)
