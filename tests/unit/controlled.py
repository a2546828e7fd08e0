"""An order book with a supervisor at its other side, in a thread, that does as a test says."""

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from vpcrouter.control.orders import OrderBook
from vpcrouter.model.messages import CONTROL, MONITOR, Orders, WorkersReport, WorkerStatus

Reaction = Callable[[Orders], list[WorkersReport]]

TCP = WorkerStatus("tcp", MONITOR, "RUNNING", 42, 1, 1_000.0, {})
SERVING = WorkerStatus("control", CONTROL, "RUNNING", 43, 1, 1_000.0, {})


def report(tcp: WorkerStatus = TCP, orders: Orders | None = None) -> WorkersReport:
    return WorkersReport((tcp, SERVING), orders or Orders())


def tcp_is(state: str, **more: str) -> Callable[[Orders], WorkersReport]:
    """A report on orders that have been obeyed."""
    pid = 42 if state in ("RUNNING", "STARTING", "STOPPING") else None
    status = replace(TCP, state=state, pid=pid, spawn_error=more.get("spawn_error", ""))
    return lambda orders: report(status, orders)


def reacting(*answers: Callable[[Orders], WorkersReport]) -> Reaction:
    return lambda orders: [answer(orders) for answer in answers]


@contextmanager
def supervised(book: OrderBook, react: Reaction) -> Iterator[None]:
    """Carry orders as the control worker's loop does."""
    is_over = threading.Event()

    def carry() -> None:
        while not is_over.is_set():
            if select.select([book], [], [], 0.01)[0]:
                book.clear()
                if (orders := book.unobeyed()) is not None:
                    for answer in react(orders):
                        book.hear(answer)

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(5)
