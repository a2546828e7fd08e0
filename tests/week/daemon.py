"""The daemon: the reconciler's own loop, its messages, and what happens when it dies."""

from __future__ import annotations

import select
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from tests.aws.client import REGION
from tests.week.clock import Clock, Pool
from tests.week.hosts import MONITORS
from tests.week.others import IGNORED
from vpcrouter.ipc.mailbox import Mailbox, StopWorker, WorkerMailbox
from vpcrouter.model.messages import (
    DampingReport,
    HealthReport,
    HostList,
    Message,
    RoutingReport,
    SpecReport,
)
from workers.reconciler import Reconciler

RESTART_S = 0.7
DELETE_LIMIT = 0.5
TURN_S = 0.0005
"""A turn of the loop takes time, too; without that, one that is woken a rounding error too early
would turn for ever."""

M = TypeVar("M", bound=Message)


class PlayedMailbox(Mailbox):
    """Lets time pass while the reconciler waits, and has its mail at once."""

    def __init__(self, clock: Clock, generation: int, post: Callable[[Message], None]) -> None:
        self.generation = generation
        self.is_ended = False
        self._clock = clock
        self._post = post
        self._fds = select.poll()
        self._mail: dict[tuple[str, type[Message]], Message] = {}
        self._has_mail = False

    def deliver(self, sender: str, message: Message) -> None:
        self._mail[sender, type(message)] = message
        self._has_mail = True

    def wait(self, timeout_s: float) -> set[int]:
        self._clock.play(self._clock.now_s + max(TURN_S, timeout_s), self._is_enough)
        if self.is_ended:
            raise StopWorker
        self._has_mail = False
        return {fd for fd, _ in self._fds.poll(0)}

    def _is_enough(self) -> bool:
        return self.is_ended or self._has_mail or bool(self._fds.poll(0))

    def watch(self, fd: int) -> None:
        self._fds.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        self._fds.unregister(fd)

    def take(self, kind: type[M]) -> M | None:
        taken = self.take_all(kind)
        return taken[-1] if taken else None

    def take_all(self, kind: type[M]) -> list[M]:
        keys = [key for key in self._mail if key[1] is kind]
        return [message for key in keys if isinstance(message := self._mail.pop(key), kind)]

    def post(self, message: Message) -> None:
        self._post(message)


@dataclass
class Daemon:
    """One reconciler after the other. `ask` gets its list of hosts."""

    clock: Clock
    vpc: str
    recheck_s: float
    ask: Callable[[tuple[str, ...]], None]
    problem: Callable[[str], None]
    """Told when a reconciler ends by itself."""
    report: RoutingReport | None = None
    generations: int = 0
    started_s: float = 0.0
    _mailbox: PlayedMailbox | None = None
    _latest: dict[str, Message] = field(default_factory=dict)
    """What the supervisor gives to the next generation."""
    _is_over: bool = False

    def run(self) -> None:
        """Until the end of the week."""
        while not self._is_over:
            self.generations += 1
            self.started_s = self.clock.now_s
            self._mailbox = PlayedMailbox(self.clock, self.generations, self._posted)
            for sender, message in self._latest.items():
                self._mailbox.deliver(sender, message)
            try:
                Reconciler(self._values()).run(cast(WorkerMailbox, self._mailbox))
            except StopWorker:
                pass
            except Exception:
                self.problem(traceback.format_exc())
            assert Pool.latest is not None
            Pool.latest.die()
            self.clock.play(self.clock.now_s + RESTART_S, lambda: False)

    def tell(self, message: HealthReport | SpecReport) -> None:
        sender = message.monitor if isinstance(message, HealthReport) else "watcher"
        self._latest[sender] = message
        if self._mailbox is not None:
            self._mailbox.deliver(sender, message)

    def die(self) -> None:
        """The process is killed; its successor starts a moment later."""
        if self._mailbox is not None:
            self._mailbox.is_ended = True

    def end(self) -> None:
        self._is_over = True
        self.die()

    def _posted(self, message: Message) -> None:
        if isinstance(message, HostList):
            self.ask(message.hosts)
        elif isinstance(message, DampingReport):
            self._latest["reconciler"] = message
        elif isinstance(message, RoutingReport):
            self.report = message

    def _values(self) -> dict[str, Any]:
        """The defaults, but for what is to be ignored."""
        return {
            "region": REGION,
            "vpc": self.vpc,
            "monitors": MONITORS,
            "route_recheck_interval": self.recheck_s,
            "ignore_routes": IGNORED,
            "delete_limit": DELETE_LIMIT,
            "flap_count": 5,
            "flap_window_s": 600.0,
            "ec2_burst": 50,
            "ec2_rate": 5,
        }
