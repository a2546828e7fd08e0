"""Real-time priority for the thread that must not be late: sched(7), SCHED_FIFO.

On a busy machine, a loop that wakes every 100 ms is late by up to 100 ms; under SCHED_FIFO by
1.4 ms. A real-time thread must also be prevented from running for ever: see `go_first`.
"""

import os
import resource
import signal
from collections.abc import Callable

LOWEST = 1
"""The lowest real-time priority: all other real-time threads take precedence."""
RIGHT = "CAP_SYS_NICE"
"""The capability required where RLIMIT_RTPRIO does not permit it."""
REST_S = 1.0
"""The longest time the thread may run without blocking."""
KILLED_S = 3.0
"""The same, after which the process is killed."""


def go_first(
    when_restless: Callable[[], None], rest_s: float = REST_S, killed_s: float = KILLED_S
) -> str:
    """Give this thread, which must be the main one, the lowest real-time priority.

    Other threads and children do not get it. If the thread runs for `rest_s` without blocking,
    it gets normal priority again and `when_restless` is called; after `killed_s`, the process is
    killed. Returns "", or why the priority was refused.
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
    """Keep this process and its children from getting real-time priority without CAP_SYS_NICE."""
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))


def _limit(which: int, soft: int, hard: int) -> None:
    _, highest = resource.getrlimit(which)
    if highest != resource.RLIM_INFINITY:
        hard = min(hard, highest)
    resource.setrlimit(which, (min(soft, hard), hard))
