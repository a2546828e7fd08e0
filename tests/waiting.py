"""Waiting for something to become true, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.5
SHARE = 10
"""So much longer a pause is than the look before it, so that waiting keeps no core busy."""


PATIENCE = 4.0
"""How many times longer things may take on a machine that is busy with other tests."""


def wait_until(
    predicate: Callable[[], T],
    timeout_s: float,
    what: str | Callable[[], str],
    patience: float = PATIENCE,
) -> T:
    """The first truthy answer of `predicate`; fails, naming `what`, when it does not come.

    `timeout_s` is for a quiet machine. A promise that holds on a busy one, too, has a `patience`
    of 1.
    """
    timeout_s *= patience
    deadline_s = time.monotonic() + timeout_s
    while True:
        began_s = time.monotonic()
        answer = predicate()
        took_s = time.monotonic() - began_s
        if answer:
            return answer
        if time.monotonic() >= deadline_s:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"{said}: not within {timeout_s:g} s, but {answer!r}")
        time.sleep(min(max(PAUSE_S, SHARE * took_s), LONGEST_PAUSE_S))
