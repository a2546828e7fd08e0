"""Monitor `ec2status`: hosts are judged by the EC2 status of their instances."""

import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import ClassVar

from vpcrouter.aws.background import BackgroundCalls, Done
from vpcrouter.aws.instance_events import EventKind, Notes, is_of_ours, parse_event
from vpcrouter.aws.instance_health import RUNNING, Reading, judge
from vpcrouter.aws.instance_status import StatusReader
from vpcrouter.aws.sqs import QUEUE_URL, Letter, Queue
from vpcrouter.backoff import backoff_s
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Trouble
from vpcrouter.model.host_state import CheckResult
from vpcrouter.monitoring.check_rounds import CheckRounds
from vpcrouter.monitoring.monitor_loop import MonitorLoop
from vpcrouter.options.kinds import TEXT, Option, seconds
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Monitor

STATUS, EVENTS = "status", "events"
TICK_S = 0.5
AFRESH_GAP_S = 1.0
"""The shortest time between EC2 status reads that are triggered by events."""

log = logs.get(__name__)


class StatusSource:
    """Polls EC2 every interval, and the queue continuously; a Source (see `check_rounds`)."""

    def __init__(self, values: Values) -> None:
        """Raises ConfigError."""
        self._interval_s: float = values["ec2status_interval"]
        self._reader = StatusReader(values["region"], values["vpc"])
        url = values["sqs_queue"]
        self._queue = Queue(values["region"], url) if url else None
        self._calls: BackgroundCalls[str] = BackgroundCalls(2)
        self._reading = Reading()
        self._notes = Notes()
        self._hosts: tuple[str, ...] = ()
        self._receipts: list[str] = []
        self._read_at_s = self._begun_s = self._receive_at_s = time.monotonic()
        self._is_wanted = False
        """An event has arrived since the current reading started."""
        self._failures = {STATUS: 0, EVENTS: 0}
        self._trouble = {
            STATUS: Trouble(
                log, "EC2 instance status unavailable", "EC2 instance status available again"
            ),
            EVENTS: Trouble(
                log,
                "SQS queue cannot be read; instance events are seen at the next poll only",
                "SQS queue can be read again",
            ),
        }

    @property
    def fds(self) -> Sequence[int]:
        return (self._calls.fd,)

    def tend(self, hosts: Sequence[str]) -> bool:
        self._calls.raise_if_stuck("AWS")
        ended = self._calls.collect()
        for done in ended:
            (self._on_status if done.what == STATUS else self._on_events)(done)
        now_s = time.monotonic()
        if tuple(hosts) != self._hosts:
            self._hosts, self._is_wanted = tuple(hosts), True
        if self._is_wanted:
            self._read_at_s = min(self._read_at_s, max(now_s, self._begun_s + AFRESH_GAP_S))
        self._ask(now_s)
        return bool(ended)

    def _ask(self, now_s: float) -> None:
        under_way = self._calls.under_way
        if self._hosts and STATUS not in under_way and now_s >= self._read_at_s:
            self._is_wanted, self._begun_s = False, now_s
            self._calls.start(STATUS, partial(self._reader.read, self._hosts, self._reading))
        # Until the first reading, events cannot be matched to hosts.
        may_receive = self._reading.begun_s and now_s >= self._receive_at_s
        if self._queue and may_receive and EVENTS not in under_way:
            self._calls.start(EVENTS, partial(self._queue.exchange, tuple(self._receipts)))

    def check(self, hosts: Sequence[str]) -> CheckResult:
        """Judge the hosts by the latest reading and events."""
        return judge(hosts, self._reading, self._notes.words(time.time()))

    def _on_status(self, done: Done[str]) -> None:
        delay_s = self._outcome(STATUS, done)
        self._read_at_s = time.monotonic() + min(delay_s or self._interval_s, self._interval_s)
        if done.error is not None:
            self._reading = self._reading.without_instances()
            return
        self._reading = done.result
        self._notes.settle(self._reading)

    def _on_events(self, done: Done[str]) -> None:
        self._receive_at_s = time.monotonic() + self._outcome(EVENTS, done)
        if done.error is not None:
            return
        letters: list[Letter] = done.result
        self._receipts = [letter.receipt for letter in letters]
        for letter in letters:
            self._open(letter)

    def _outcome(self, what: str, done: Done[str]) -> float:
        """Log the result of a call; return the delay before retrying a failed one."""
        self._trouble[what].tell(str(done.error or ""))
        self._failures[what] = self._failures[what] + 1 if done.error else 0
        return backoff_s(self._failures[what]) if done.error else 0.0

    def _open(self, letter: Letter) -> None:
        try:
            event = parse_event(letter.body)
        except ValueError as error:
            log.warning("SQS message ignored", reason=str(error), body=letter.body[:200])
            return
        is_ours = is_of_ours(event, self._reading)
        log.log(
            20 if is_ours else 10,
            "instance event",
            subject=event.instance,
            kind=str(event.kind),
            value=event.value,
            alarm=event.alarm,
            ours=is_ours,
        )
        if is_ours:
            self._notes.take(event, time.monotonic(), time.time())
        # An instance that has just started may have taken over a host's address.
        is_neighbour = event.account in self._reading.owner_of.values()
        if event.kind is EventKind.STATE and (is_ours or (is_neighbour and event.value == RUNNING)):
            self._is_wanted = True


class Ec2Status(Monitor):
    """Needs the permissions in etc/iam-policy-ec2status.json."""

    name: ClassVar[str] = "ec2status"
    version: ClassVar[str] = "1"
    probes: ClassVar[bool] = False

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        yield Option(
            "ec2status_interval", seconds(1.0), 10.0, "how often EC2 instance status is read"
        )
        yield Option(
            "sqs_queue",
            TEXT,
            None,
            "URL of an SQS queue with instance events, which are acted on at once",
            example="https://sqs.us-east-1.amazonaws.com/123456789012/vpcrouter",
        )

    @classmethod
    def interval_s(cls, values: Values) -> float:
        return float(values["ec2status_interval"])

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        url = values["sqs_queue"]
        if url is not None and not QUEUE_URL.fullmatch(url):
            yield (
                "sqs_queue: must be a queue's URL, as in "
                f"https://sqs.us-east-1.amazonaws.com/123456789012/vpcrouter, not {url!r}"
            )

    def run(self, mailbox: Mailbox) -> None:
        source = StatusSource(self.values)
        checks = CheckRounds(TICK_S, self.values["hold_s"], source.check, source=source)
        MonitorLoop(self.name, checks).run(mailbox)
