"""Shared by the control worker's requests and its work loop: the newest report, and the orders."""

import threading
from collections.abc import Callable

from vpcrouter.linux.wake import WakeFd
from vpcrouter.model.messages import Orders, WorkersReport, WorkerStatus


class OrderBook:
    """Requests, each in its own thread, give orders and wait; the work loop sends the orders.

    `fileno` is readable when there are orders to send.
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
        """Reset `fileno` until there are new orders."""
        self._wake.clear()

    def hear(self, report: WorkersReport) -> None:
        """Take a report of the supervisor, with the orders of an earlier generation if newer."""
        with self._changed:
            self._report = report
            self._reports += 1
            if report.orders.number > self._orders.number:
                self._orders = report.orders
            self._changed.notify_all()

    def unobeyed(self) -> Orders | None:
        """Orders that the supervisor has not confirmed yet."""
        with self._changed:
            done = self._report.orders.number if self._report else 0
            return self._orders if self._orders.number > done else None

    # For the requests

    @property
    def report(self) -> WorkersReport:
        return self._report or WorkersReport(())

    @property
    def reports(self) -> int:
        """The number of reports received, for `wait_newer`."""
        return self._reports

    def status(self, name: str) -> WorkerStatus | None:
        return next((worker for worker in self.report.workers if worker.name == name), None)

    def wait_newer(self, reports: int, timeout_s: float) -> bool:
        """Wait for a report after the first `reports`; False on timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self._reports > reports, timeout_s)

    def give(self, change: Callable[[Orders], Orders]) -> int:
        """Add an order; returns its number."""
        with self._changed:
            self._orders = change(self._orders)
            self._wake.wake()
            return self._orders.number

    def wait_obeyed(self, number: int, timeout_s: float) -> bool:
        """Wait until the supervisor has carried out order `number`; False on timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self.report.orders.number >= number, timeout_s)
