"""Reads EC2: keeps the view, decides when to read what again, and processes the reads.

Changes are verified here, too: the view is read again soon after a change was accepted, and a
read that is older than the change does not undo it. Times are monotonic seconds.
"""

from collections.abc import Callable, Iterable
from functools import partial

from vpcrouter.aws.background import CALL_LIMIT_S, BackgroundCalls, Done
from vpcrouter.backoff import backoff_s
from vpcrouter.errors import Ec2Error
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Trouble
from vpcrouter.model.view import View
from vpcrouter.reconcile.facts import ChangeOutcome, Observation
from vpcrouter.routing.change import Change
from vpcrouter.routing.partial_read import (
    PartialRead,
    ReadRequest,
    ReadRequests,
    renewed,
)
from vpcrouter.routing.verify import Expectations, changed

READ_ALL, READ_PART = "read all", "read part"
VERIFY_AFTER_S = 0.2


class Observer:
    """Owned by the reconciler's loop; reads in the background, so no method waits."""

    def __init__(
        self,
        calls: "BackgroundCalls[Change | str]",
        read_all: Callable[[Callable[[], frozenset[str]]], View],
        read_part: Callable[[ReadRequest], PartialRead],
        recheck_s: float,
        log: logs.Later,
        now_s: float,
    ) -> None:
        """The VPC is read at once, and then at least every `recheck_s`.

        `read_all` gets a function that returns the hosts of the route spec.
        """
        self.view: View | None = None
        self._hosts: frozenset[str] = frozenset()
        self._calls = calls
        self._read_all = read_all
        self._read_part = read_part
        self._recheck_s = recheck_s
        self._read_at = now_s
        self._rests_until = 0.0
        self._failures = 0
        self._verify_tries = 0
        self._expectations = Expectations()
        self._requests = ReadRequests()
        self._log = log
        self._unreadable = Trouble(
            logs.get(__name__),
            "cannot read EC2; routes left unchanged",
            "EC2 readable again",
        )

    @property
    def trouble(self) -> str:
        """Why EC2 cannot be read; empty while it can."""
        return self._unreadable.reason

    def start_reads(self, now_s: float) -> None:
        """Start the reads that are due."""
        if now_s >= self._read_at and READ_ALL not in self._calls.under_way:
            self._requests.full_read_begins()
            self._calls.start(READ_ALL, partial(self._read_all, lambda: self._hosts))
        if self._requests and READ_PART not in self._calls.under_way:
            self._calls.start(READ_PART, partial(self._read_part, self._requests.take()))

    def look_for(self, hosts: Iterable[str]) -> None:
        """The hosts of a new route spec: in a large VPC only their interfaces are read."""
        self._hosts = frozenset(hosts)
        if self.view is not None:
            self._requests.look_for(self.view.unread(self._hosts))

    def next_at(self, now_s: float) -> float:
        """When a read is due, or the read under way is overdue."""
        return now_s + CALL_LIMIT_S if READ_ALL in self._calls.under_way else self._read_at

    def read_ended(self, done: Done[Change | str], now_s: float) -> Observation:
        """Process the result of a read that was started here."""
        if done.what == READ_PART:
            return self._part_read(done)
        if done.error is not None:
            return self._read_failed(done.error, now_s)
        self._rests_until = done.ended_s + done.took_s
        return self._all_read(self._requests.correct(done.result), done)

    def change_ended(self, outcome: ChangeOutcome) -> None:
        """Apply an accepted change to the view; a rejected one may show that the view is stale."""
        if outcome.stale_code:
            self._requests.note(outcome.change, outcome.stale_code)
        self._read_by(outcome.read_by)
        if not outcome.is_accepted:
            return
        assert self.view is not None  # noqa: S101
        self.view = changed(self.view, [outcome.change])
        self._expectations.accept(outcome.change, outcome.ended_s)
        # Reading a large VPC takes longer than that, and there is a pause between reads.
        self._read_by(max(outcome.ended_s + VERIFY_AFTER_S, self._rests_until))

    def _read_by(self, at_s: float) -> None:
        self._read_at = min(self._read_at, at_s)

    def _read_failed(self, error: Ec2Error, now_s: float) -> Observation:
        self._failures += 1
        self._read_at = now_s + min(backoff_s(self._failures), self._recheck_s)
        self._unreadable.tell(str(error))
        return Observation(now_s, is_unreadable=True)

    def _all_read(self, view: View, done: Done[Change | str]) -> Observation:
        self._unreadable.tell("")
        self._failures = 0
        observation = self._take_over(view, done)
        tries = self._verify_tries = self._verify_tries + 1 if self._expectations.unseen() else 0
        # Reading a large VPC again and again must not use up the account's request rate.
        delay_s = max(VERIFY_AFTER_S * 2.0**tries, done.took_s) if tries else self._recheck_s
        self._read_at = done.ended_s + min(delay_s, self._recheck_s)
        return observation._replace(size=view.size)

    def _part_read(self, done: Done[Change | str]) -> Observation:
        self._requests.ended(done.result)
        assert self.view is not None  # noqa: S101
        view = None if done.error is not None else renewed(self.view, done.result)
        if view is not None:
            return self._take_over(view, done)
        self._read_at = done.ended_s
        return Observation(done.ended_s)

    def _take_over(self, view: View, done: Done[Change | str]) -> Observation:
        """Take over what was read, except where it is older than our own changes."""
        before, at_s = self.view, done.ended_s
        self.view, seen = self._expectations.correct(view, at_s, done.took_s)
        if seen:
            slowest_s = max(at_s - each.accepted_s for each in seen)
            self._log.info(
                "changes verified", count=len(seen), slowest_ms=round(1000 * slowest_s, 1)
            )
        self._requests.look_for(self.view.unread(self._hosts))
        self._log_news(before)
        is_new = self.view != before
        return Observation(at_s, True, is_new, seen, self._requests.are_settled())

    def _log_news(self, before: View | None) -> None:
        """Log what is read only in part, and the tables in which no route is ever changed."""
        assert self.view is not None  # noqa: S101
        if self.view.scope is not None and (before is None or before.scope is None):
            self._log.info("large VPC: only the interfaces of hosts and of routes are read")
        known = {(table.id, table.gateway) for table in before.tables} if before else set()
        for table in self.view.tables:
            if table.gateway and (table.id, table.gateway) not in known:
                text = "gateway route table left unchanged"
                self._log.info(text, table=table.id, gateway=table.gateway)
