"""A process between a monitor and its hosts: passes frames, or does what a host's rule says.

It also serves the hosts' port, so that nothing of what a monitor waits for depends on the test's
own process. Both need to be on time: at real-time priority, where that is allowed.
"""

import contextlib
import heapq
import itertools
import os
import resource
import selectors
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tests.net.packets import Kind, Packet, source_of, target_of
from tests.net.rules import Rule, Sent, packed

MAX_FRAME = 65_536
READ_AT_ONCE = 64
IDLE_S = 60.0
BODY = b"x" * 1000
ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n" + BODY


@dataclass(slots=True)
class InForce:
    """A rule of one host; it acts on so many probes only, unless that is None."""

    rule: Rule
    left: int | None
    asked: Packet | None = None
    """What the monitor sent last that has an answer."""


class Middlebox:
    """Passes frames between two interfaces. Owned by the process's only thread."""

    def __init__(self, to_monitor: socket.socket, to_hosts: socket.socket) -> None:
        self._out = {True: to_monitor, False: to_hosts}
        self._rules: dict[bytes, InForce] = {}
        self._later: list[tuple[float, int, bool, bytes]] = []
        self._numbers = itertools.count()

    def set_rules(self, rules: Mapping[str, Rule | None], times: int | None) -> None:
        for host, rule in rules.items():
            self._rules.pop(packed(host), None)
            if rule is not None:
                self._rules[packed(host)] = InForce(rule, times)

    def unused(self) -> int:
        """How many rules are still to act."""
        return sum(its.left is not None and its.left > 0 for its in self._rules.values())

    def due_s(self) -> float:
        """When `send_late` is to be called."""
        return self._later[0][0] if self._later else time.monotonic() + IDLE_S

    def send_late(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            _, _, to_monitor, frame = heapq.heappop(self._later)
            self._send(to_monitor, frame)

    def read(self, from_monitor: bool) -> None:
        sock = self._out[from_monitor]
        for _ in range(READ_AT_ONCE):
            try:
                frame = sock.recv(MAX_FRAME)
            except BlockingIOError:
                return
            except OSError:  # the interface was down
                continue
            self._handle(frame, from_monitor)

    def _handle(self, frame: bytes, from_monitor: bool) -> None:
        host = target_of(frame) if from_monitor else source_of(frame)
        in_force = self._rules.get(host)
        if in_force is None or in_force.left == 0:
            self._send(not from_monitor, frame)
            return
        packet = Packet.parse(frame)
        kind = packet.kind if packet is not None else Kind.RESOLVE
        if from_monitor and kind in {Kind.PROBE, Kind.DATA}:
            in_force.asked = packet
        # An answer to what was sent before the rule was in force.
        is_unasked = kind in {Kind.ANSWER, Kind.DATA} and in_force.asked is None
        if is_unasked or not in_force.rule.concerns(kind, from_monitor):
            self._send(not from_monitor, frame)
            return
        if in_force.left is not None:
            in_force.left -= 1
        if packet is None:
            return
        for sent in in_force.rule.act(packet, in_force.asked or packet):
            self._plan(sent)

    def _plan(self, sent: Sent) -> None:
        frame = sent.packet.frame()
        if sent.delay_s:
            due_s = time.monotonic() + sent.delay_s
            heapq.heappush(self._later, (due_s, next(self._numbers), sent.to_monitor, frame))
        else:
            self._send(sent.to_monitor, frame)

    def _send(self, to_monitor: bool, frame: bytes) -> None:
        with contextlib.suppress(OSError):  # the interface is down, or its queue is full
            self._out[to_monitor].send(frame)


class Server:
    """Accepts connections and answers each request, whatever it is, by HTTP."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector

    def add(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._watch(listener, self._accept)

    def remove(self, listener: socket.socket) -> None:
        self._selector.unregister(listener)

    def _watch(self, sock: socket.socket, act: Callable[[socket.socket], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, lambda: act(sock))

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            self._watch(connection, self._answer)

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if connection.recv(MAX_FRAME):
                connection.send(ANSWER)
        self._selector.unregister(connection)
        connection.close()


class Process:
    """The loop. It ends when the other end of `control` is closed."""

    def __init__(self, control: Connection, fds: list[int]) -> None:
        self._control = control
        near, far, *self._listeners = (socket.socket(fileno=fd) for fd in fds)
        self._box = Middlebox(near, far)
        self._selector = selectors.DefaultSelector()
        self._server = Server(self._selector)
        for from_monitor, sock in ((True, near), (False, far)):
            self._selector.register(
                sock, selectors.EVENT_READ, lambda side=from_monitor: self._box.read(side)
            )
        for listener in self._listeners:
            self._server.add(listener)
        self._selector.register(control.fileno(), selectors.EVENT_READ, self._obey)

    def run(self) -> None:
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                for key, _ in self._selector.select(self._box.due_s() - time.monotonic()):
                    key.data()
                self._box.send_late()

    def _obey(self) -> None:
        order, *arguments = self._control.recv()
        answer = None
        if order == "rules":
            self._box.set_rules(*arguments)
        elif order == "unused":
            answer = self._box.unused()
        elif order == "accept":
            index, is_wanted = arguments
            (self._server.add if is_wanted else self._server.remove)(self._listeners[index])
        self._control.send(answer)


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    control, *fds = (int(argument) for argument in sys.argv[1:])
    Process(Connection(control), fds).run()


if __name__ == "__main__":
    main()
