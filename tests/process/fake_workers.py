"""Workers that behave as a test tells them: by a file named after them in the test's folder."""

import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tests.process.rogue_orders import ROGUE_ORDERS
from vpcrouter.errors import ConfigError
from vpcrouter.ipc.mailbox import WorkerMailbox
from vpcrouter.model.messages import HealthReport, HostList, WorkersReport
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Worker

LOOK_S = 0.05
FLOOD_BYTES = 300_000


class _InFolder(Worker):
    def __init__(self, values: Values) -> None:
        super().__init__(values)
        self.folder = Path(values["folder"])

    def write(self, name: str, content: object) -> None:
        """Have a whole file there, or none."""
        new = self.folder / f"{name}.new"
        new.write_text(json.dumps(content))
        new.replace(self.folder / name)


class Obedient(_InFolder):
    """Works well until it is told otherwise."""

    def run(self, mailbox: WorkerMailbox) -> None:
        logging.getLogger(__name__).info("at your service")
        order = self.folder / f"{mailbox.worker}.order"
        while order.exists() is False:
            mailbox.wait(LOOK_S)
        word = order.read_text()
        order.unlink()
        ORDERS[word](mailbox)


def _end(_: WorkerMailbox) -> NoReturn:
    os._exit(3)


def _fail(_: WorkerMailbox) -> NoReturn:
    raise RuntimeError("as told")


def _return(_: WorkerMailbox) -> None:
    """A worker must not."""


def _loop(_: WorkerMailbox) -> NoReturn:
    while True:
        pass


def _block(_: WorkerMailbox) -> NoReturn:
    while True:
        time.sleep(60)


def _babble(mailbox: WorkerMailbox) -> NoReturn:
    os.write(mailbox._outbox.fileno(), b"\xff" * 64)
    _block(mailbox)


def _refuse(_: WorkerMailbox) -> NoReturn:
    raise ConfigError(["a setting cannot work here"])


def _flood(mailbox: WorkerMailbox) -> None:
    """Send large messages, each with its number, as fast as they go out."""
    number = 0
    while True:
        number += 1
        mailbox.post(HostList((str(number), "x" * FLOOD_BYTES)))
        mailbox.wait(0.001)


ORDERS: dict[str, Callable[[WorkerMailbox], None]] = {
    "end": _end,
    "fail": _fail,
    "return": _return,
    "loop": _loop,
    "block": _block,
    "babble": _babble,
    "refuse": _refuse,
    "flood": _flood,
    **ROGUE_ORDERS,
}


class Ancestor(_InFolder):
    """Leaves a process behind that ends soon, as a child of whoever takes it in."""

    def run(self, mailbox: WorkerMailbox) -> None:
        if (between := os.fork()) == 0:
            if (orphan := os.fork()) == 0:
                time.sleep(0.2)
            else:
                self.write("orphan", orphan)
            os._exit(0)
        os.waitpid(between, 0)
        while True:
            mailbox.wait(1.0)


class Refusing(Worker):
    """Cannot work with its settings, and says so at once."""

    def run(self, mailbox: WorkerMailbox) -> None:
        _refuse(mailbox)


class Stillborn(Worker):
    """Fails before it runs."""

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        raise RuntimeError("as told")

    def run(self, mailbox: WorkerMailbox) -> None:
        """Never reached."""


class Observer(_InFolder):
    """Writes down what the supervisor reports of all workers."""

    def run(self, mailbox: WorkerMailbox) -> None:
        while True:
            mailbox.wait(1.0)
            if (report := mailbox.take(WorkersReport)) is not None:
                content = {
                    each.name: [
                        *(each.pid, each.generation, each.state, each.last_exit),
                        each.refused,
                    ]
                    for each in report.workers
                }
                self.write("workers", content)


class HeldOnce(Observer):
    """Is stopped the first time, before it shows that it lives."""

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        mark = Path(os.environ["HELD_ONCE"])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGSTOP)


class Listener(_InFolder):
    """Writes down the health and the numbers of host lists that reach it."""

    def run(self, mailbox: WorkerMailbox) -> None:
        while True:
            mailbox.wait(1.0)
            if (report := mailbox.take(HealthReport)) is not None:
                known = [
                    sorted(report.healthy),
                    sorted(report.failed),
                    dict(report.failed_since_at),
                ]
                self.write(f"{mailbox.worker}.health", known)
            if (hosts := mailbox.take(HostList)) is not None:
                self.write(f"{mailbox.worker}.hosts", int(hosts.hosts[0]))


class Mortal(_InFolder):
    """Reports health and dies when told; its successor writes down what it was left."""

    def run(self, mailbox: WorkerMailbox) -> None:
        logging.getLogger(__name__).info("at your service")
        order = self.folder / f"{mailbox.worker}.order"
        first = self.folder / "first"
        if first.exists():
            while (left := mailbox.take(HealthReport)) is None:
                mailbox.wait(1.0)
            self.write(
                "left", [sorted(left.healthy), sorted(left.failed), dict(left.failed_since_at)]
            )
        else:
            first.touch()
            mailbox.post(
                HealthReport(
                    mailbox.worker,
                    healthy=frozenset({"a"}),
                    questionable=frozenset({"b"}),
                    failed=frozenset({"c"}),
                    failed_since_at={"c": 1.5},
                )
            )
        while not order.exists():
            mailbox.wait(LOOK_S)
        order.unlink()
        os._exit(1)
