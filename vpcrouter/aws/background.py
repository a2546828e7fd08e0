"""Calls that may take long run in threads, so that the loop that starts them never blocks."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vpcrouter.errors import Ec2Error
from vpcrouter.linux.wake import WakeFd

CALL_LIMIT_S = 60.0
"""Requests have their own, shorter limits; this is for what those do not cover."""

K = TypeVar("K")


@dataclass(slots=True)
class Done(Generic[K]):
    """An ended call: what it was for, what it returned or how it failed, and when it ended."""

    what: K
    result: Any = None
    error: Ec2Error | None = None
    ended_s: float = 0.0
    took_s: float = 0.0


@dataclass
class BackgroundCalls(Generic[K]):
    """Up to `parallel` calls at once; `fd` is readable when one has ended."""

    parallel: int

    def __post_init__(self) -> None:
        self._wake = WakeFd()
        self._pool = ThreadPoolExecutor(self.parallel, thread_name_prefix="ec2")
        self._ended: deque[tuple[Future[Any], Done[K]]] = deque()
        self.under_way: dict[K, float] = {}
        self._progress_at: dict[K, float] = {}
        self._thread = threading.local()

    @property
    def fd(self) -> int:
        return self._wake.fileno()

    @property
    def has_room(self) -> bool:
        return len(self.under_way) < self.parallel

    def start(self, what: K, function: Callable[[], Any]) -> None:
        """Start the call for `what`. No call for it may be under way."""
        self.under_way[what] = self._progress_at[what] = time.monotonic()

        def call() -> Any:
            self._thread.what = what
            return function()

        def ended(future: Future[Any]) -> None:
            self._ended.append((future, Done(what, ended_s=time.monotonic())))
            self._wake.wake()

        self._pool.submit(call).add_done_callback(ended)

    def progressed(self) -> None:
        """The call that this thread makes has come a step further, however long it may take."""
        self._progress_at[self._thread.what] = time.monotonic()

    def collect(self) -> list[Done[K]]:
        """The calls that ended since the last time. Raises any error other than an Ec2Error."""
        if not self._wake.clear():
            return []
        done: list[Done[K]] = []
        while self._ended:
            future, each = self._ended.popleft()
            each.took_s = each.ended_s - self.under_way.pop(each.what)
            del self._progress_at[each.what]
            try:
                each.result = future.result()
            except Ec2Error as error:
                each.error = error
            done.append(each)
        return done

    def raise_if_stuck(self, service: str) -> None:
        """Raise an Ec2Error when a call to `service` has made no progress for `CALL_LIMIT_S`."""
        now_s = time.monotonic()
        if now_s - min(self._progress_at.values(), default=now_s) > CALL_LIMIT_S:
            raise Ec2Error(service, "NoReturn", f"a call did not return within {CALL_LIMIT_S:g} s")
