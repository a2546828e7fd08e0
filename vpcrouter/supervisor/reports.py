"""What the supervisor itself reports: its workers, and that its loop turns."""

import time
from collections.abc import Iterable

from vpcrouter.model.messages import Orders, TurnReport, WorkersReport
from vpcrouter.supervisor.child import Child
from vpcrouter.supervisor.relay import Relay
from vpcrouter.supervisor.reload import Reload

SENDER = "supervisor"
TURN_REPORT_S = 1.0


class Reports:
    """Owned by the supervisor's loop."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._last: WorkersReport | None = None
        self._turned_at = float("-inf")

    def next_s(self) -> float:
        """When the next report is due at the latest."""
        return self._turned_at + TURN_REPORT_S

    def report_turn(self) -> None:
        """Called on each turn; one a second is reported."""
        now_s = time.monotonic()
        if now_s >= self.next_s():
            self._turned_at = now_s
            self._relay.publish(SENDER, 1, TurnReport(now_s))

    def report_workers(self, workers: Iterable[Child], orders: Orders, reload: Reload) -> None:
        """Report the workers if anything about them has changed."""
        statuses = tuple(child.status() for child in workers)
        report = WorkersReport(statuses, orders, reload.ended, reload.faults)
        if report != self._last:
            self._last = report
            self._relay.publish(SENDER, 1, report)
