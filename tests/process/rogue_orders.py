"""Orders for the worker that obeys: it sends what no worker of its role may, and lives on."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from tests.process.rogue_frames import deep_heartbeat, number_for_hosts, send, touching
from vpcrouter.ipc.mailbox import WorkerMailbox
from vpcrouter.model.messages import (
    HealthReport,
    Heartbeat,
    HostList,
    Orders,
    RoutingReport,
    SpecReport,
    WorkersReport,
)
from vpcrouter.model.spec import RouteSpec

FAR_S = 1e6
RAN = "ROGUE_RAN"
"""The environment variable with the path of the file that a rogue's code makes."""


def messages(monitor: str) -> Mapping[str, Any]:
    """Each of them is one that a monitor may not send."""
    nobody = frozenset[str]()
    at_s = time.monotonic()
    return {
        "no message": "text",
        "another's name": HealthReport("good", failed=frozenset({"a"})),
        "a future time": HealthReport(monitor, nobody, nobody, nobody, {"a": at_s + FAR_S}),
        "a spec": SpecReport(RouteSpec({"10.0.0.0/8": ("10.0.0.1",)})),
        "hosts to check": HostList(("a",)),
        "a routing report": RoutingReport("all is well", 1),
        "an order": Orders(number=1, shutdown=True),
    }


ENOUGH = 9
"""So many are sent by the order `lie`: all those above, and two frames."""


def _live_on(mailbox: WorkerMailbox) -> NoReturn:
    while True:
        mailbox.wait(1.0)


def _lie(mailbox: WorkerMailbox) -> NoReturn:
    for message in messages(mailbox.worker).values():
        mailbox.post(message)
        mailbox.wait(0.01)  # a newer one of the same kind would replace it
    for frame in (deep_heartbeat, number_for_hosts):
        send(mailbox, frame(mailbox.worker, mailbox.generation))
    _live_on(mailbox)


def _lie_on(mailbox: WorkerMailbox) -> NoReturn:
    while True:
        mailbox.post(WorkersReport(()))
        mailbox.post(Heartbeat())
        mailbox.wait(0.01)


def _run_code(mailbox: WorkerMailbox) -> NoReturn:
    send(mailbox, touching(Path(os.environ[RAN])))
    _live_on(mailbox)


ROGUE_ORDERS: dict[str, Callable[[WorkerMailbox], None]] = {
    "lie": _lie,
    "lie on": _lie_on,
    "run code": _run_code,
}
