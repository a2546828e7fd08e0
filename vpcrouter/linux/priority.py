"""Real-time priority for the one thread that must not be late: sched(7), SCHED_FIFO.

Beside busy ordinary processes, a loop that wakes every 100 ms is late by up to 100 ms; under
SCHED_FIFO by 1.4 ms. What may go before everybody must also be sure to rest: see `go_first`.
"""

import os
import resource
import signal
from collections.abc import Callable

LOWEST = 1
"""Of real-time priorities: all others go before us."""
RIGHT = "CAP_SYS_NICE"
"""What it takes where RLIMIT_RTPRIO does not allow it."""
REST_S = 1.0
"""So long may the thread run without waiting for anything, at most."""
KILLED_S = 3.0
"""The same, for one that does not even hear signals any more."""


def go_first(
    when_restless: Callable[[], None], rest_s: float = REST_S, killed_s: float = KILLED_S
) -> str:
    """Give this thread, which must be the main one, the lowest real-time priority.

    Neither other threads nor children get it. A thread that then computes for `rest_s` without
    a pause is an ordinary one again, and `when_restless` is called; for `killed_s`, the process
    is killed. Returns "", or why the priority was refused.
    """

    def rest(_signal: int, _frame: object) -> None:
        os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
        when_restless()

    signal.signal(signal.SIGXCPU, rest)
    try:
        _limit(resource.RLIMIT_RTTIME, round(rest_s * 1e6), round(killed_s * 1e6))
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(LOWEST))
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def stay_ordinary() -> None:
    """Let neither this process nor its children get such a priority without a right to it."""
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))


def _limit(which: int, soft: int, hard: int) -> None:
    _, highest = resource.getrlimit(which)
    if highest != resource.RLIM_INFINITY:
        hard = min(hard, highest)
    resource.setrlimit(which, (min(soft, hard), hard))
