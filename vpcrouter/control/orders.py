"""What the control worker's requests and its work loop share: the newest report, and the orders."""

import threading
from collections.abc import Callable

from vpcrouter.linux.wake import WakeFd
from vpcrouter.model.messages import Orders, WorkersReport, WorkerStatus


class OrderBook:
    """Requests, each in a thread of its own, give orders and wait; the work loop carries them.

    `fileno` is readable when there are orders to carry.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._report: WorkersReport | None = None
        self._orders = Orders()
        self._reports = 0
        self._wake = WakeFd()

    # For the work loop

    def fileno(self) -> int:
        return self._wake.fileno()

    def clear(self) -> None:
        """Unless there are new orders, `fileno` is not readable any more."""
        self._wake.clear()

    def hear(self, report: WorkersReport) -> None:
        """The supervisor has spoken; what it obeys is what an earlier generation ordered."""
        with self._changed:
            self._report = report
            self._reports += 1
            if report.orders.number > self._orders.number:
                self._orders = report.orders
            self._changed.notify_all()

    def unobeyed(self) -> Orders | None:
        """What the supervisor has not done yet, as far as is known."""
        with self._changed:
            done = self._report.orders.number if self._report else 0
            return self._orders if self._orders.number > done else None

    # For the requests

    @property
    def report(self) -> WorkersReport:
        return self._report or WorkersReport(())

    @property
    def reports(self) -> int:
        """How many reports have been heard, for `wait_newer`."""
        return self._reports

    def status(self, name: str) -> WorkerStatus | None:
        return next((worker for worker in self.report.workers if worker.name == name), None)

    def wait_newer(self, reports: int, timeout_s: float) -> bool:
        """Wait for a report after the first `reports`; False when there is none in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._reports > reports, timeout_s)

    def give(self, change: Callable[[Orders], Orders]) -> int:
        """Add to the orders; returns their number."""
        with self._changed:
            self._orders = change(self._orders)
            self._wake.wake()
            return self._orders.number

    def wait_obeyed(self, number: int, timeout_s: float) -> bool:
        """Wait until the supervisor has done as `number` says; False when not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.report.orders.number >= number, timeout_s)
