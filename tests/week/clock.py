"""Played time: it passes only while everybody waits, so that a week takes a minute.

There is one clock, and one thread runs at a time: the main thread, which is the reconciler's, or
one of the threads of its calls to EC2 while the main thread waits. The same seed plays the same
week.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from unittest import mock

from vpcrouter.aws import background

START_S = 1_000.0


class Clock:
    """The time, and what is to happen when."""

    def __init__(self) -> None:
        self.now_s = START_S
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        """What `time.monotonic` answers meanwhile."""
        return self.now_s

    def at(self, at_s: float, act: Callable[[], None]) -> None:
        """Have `act` called at that time, in the main thread; what is due at once, in order."""
        heapq.heappush(self._events, (at_s, next(self._order), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now_s + seconds, act)

    def play(self, until_s: float, is_enough: Callable[[], bool]) -> None:
        """In the main thread: let time pass until then, or until it is enough."""
        while not is_enough():
            if not self._events or self._events[0][0] > until_s:
                self.now_s = max(self.now_s, until_s)
                return
            at_s, _, act = heapq.heappop(self._events)
            self.now_s = max(self.now_s, at_s)
            act()

    def sleep(self, seconds: float) -> None:
        """What `time.sleep` does meanwhile, in the thread of a call."""
        thread = threading.current_thread()
        assert isinstance(thread, PlayedThread), "only calls to EC2 may sleep"
        thread.sleep(seconds)

    def _pool(self, *_: Any, **__: Any) -> Pool:
        return Pool(self)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Meanwhile, this is the time, and the threads of calls to EC2 are played ones."""
        with (
            mock.patch.object(time, "monotonic", self.monotonic),
            mock.patch.object(time, "sleep", self.sleep),
            mock.patch.object(background, "ThreadPoolExecutor", self._pool),
        ):
            yield


class DeadError(BaseException):
    """Ends a thread whose process is dead."""


class PlayedThread(threading.Thread):
    """Runs only when it is resumed, until it sleeps or ends."""

    def __init__(self, clock: Clock, function: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._clock = clock
        self._function = function
        self._may_run = threading.Semaphore(0)
        self._has_paused = threading.Semaphore(0)
        self.is_dead = False
        self.start()
        clock.at(clock.now_s, self._resume)

    def run(self) -> None:
        self._may_run.acquire()
        try:
            if not self.is_dead:
                self._function()
        except DeadError:
            pass
        finally:
            self._has_paused.release()

    def sleep(self, seconds: float) -> None:
        self._clock.after(seconds, self._resume)
        self._has_paused.release()
        self._may_run.acquire()
        if self.is_dead:
            raise DeadError

    def _resume(self) -> None:
        self._may_run.release()
        self._has_paused.acquire()


class Pool:
    """Stands in for the ThreadPoolExecutor of `BackgroundCalls`."""

    latest: Pool | None = None

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._threads: list[PlayedThread] = []
        Pool.latest = self

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()

        def call() -> None:
            try:
                result = function()
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._threads = [each for each in self._threads if each.is_alive()]
        self._threads.append(PlayedThread(self._clock, call))
        return future

    def die(self) -> None:
        """The process is dead: none of its calls goes on. What was sent is sent."""
        for each in self._threads:
            each.is_dead = True
