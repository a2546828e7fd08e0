"""Producers killed while they write: the reader goes on, and reads no bad message."""

import os
import random
import selectors
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess

import pytest

from tests.process.producing import message, produce
from tests.waiting import PATIENCE
from vpcrouter.ipc.channel import STEP_BYTES, Channel, Consumer

PRODUCERS = 6
LONGEST_STEP_S = 1.0 * PATIENCE
"""A read that blocks at a torn message takes for ever; one whose process is not run, a second."""
"""Far above what a step takes, far below what a blocked one would."""
LIMIT_S = 15.0


class Victim:
    """A producer with its reader, killed after some messages."""

    def __init__(self, size: int, stop_first: bool, rng: random.Random) -> None:
        self.size = size
        self.number = -1
        self.torn_bytes = 0
        self._stop_first = stop_first
        self._is_stopped = False
        self._messages_before = rng.randrange(2, 30)
        self.channel = channel = Channel()  # kept: nothing but `consumer` closes its other end
        self.process = SpawnProcess(target=produce, args=(channel, size))
        self.process.start()
        self.consumer: Consumer = channel.consumer()

    def read(self) -> None:
        """One step, whether something has come or not."""
        self.torn_bytes = len(self.consumer._buffer)
        envelopes = self.consumer.get_all()
        for envelope in envelopes:
            number = int(envelope.sent_s)
            assert number > self.number
            assert envelope == message(number, self.size)
            self.number = number
        self._messages_before -= len(envelopes)
        if self._messages_before <= 0 and not self.consumer.ended:
            self._hit(is_idle=not envelopes)

    def _hit(self, is_idle: bool) -> None:
        """Kill it; where it is stopped first, only after reading on for a while."""
        pid = self.process.pid
        if pid is None or not self.process.is_alive():
            return
        if self._stop_first and not self._is_stopped:
            os.kill(pid, signal.SIGSTOP)
            self._is_stopped = True
        elif is_idle or not self._stop_first:
            os.kill(pid, signal.SIGKILL)


@contextmanager
def victims(size: int, stop_first: bool) -> Iterator[list[Victim]]:
    rng = random.Random(size)  # noqa: S311
    made = [Victim(size, stop_first, rng) for _ in range(PRODUCERS)]
    try:
        yield made
    finally:
        for each in made:
            each.process.kill()
            each.process.join(5)
            each.consumer.close()


@pytest.mark.parametrize("size", [200, 60_000, 2_000_000])
@pytest.mark.parametrize("stop_first", [False, True], ids=["KILL", "STOP+KILL"])
def test_killed_amid_messages(size: int, stop_first: bool) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    longest_step_s = 0.0
    with victims(size, stop_first) as everybody, selectors.DefaultSelector() as selector:
        for victim in everybody:
            selector.register(victim.consumer, selectors.EVENT_READ)
        while selector.get_map():
            assert time.monotonic() < deadline_s, "no end-of-file"
            selector.select(0.05)
            for victim in [each for each in everybody if not each.consumer.ended]:
                started_s = time.monotonic()
                victim.read()
                longest_step_s = max(longest_step_s, time.monotonic() - started_s)
                if victim.consumer.ended:
                    selector.unregister(victim.consumer)
        assert longest_step_s < LONGEST_STEP_S
        assert all(victim.number >= 0 for victim in everybody)
        if size > STEP_BYTES:
            assert any(victim.torn_bytes for victim in everybody), "none was hit amid a message"
