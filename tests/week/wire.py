"""The network between the daemon and EC2, in the place of botocore's HTTP session.

A request travels, is executed when it arrives (in `PlayedEc2`, by the rules and faults of
`tests/aws`), and its answer travels back, all in played time. It arrives even if its sender has
given up meanwhile, or is dead: EC2 has no fencing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from unittest import mock

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from tests.aws.answers import Answer, NoAnswerError
from tests.aws.calls import Call
from tests.week.clock import Clock
from tests.week.ec2 import PlayedEc2

CHANGE_S = (0.16, 0.22)
"""One call, as Fortinet's published logs show it."""
READ_S = (0.05, 0.3)
KINDS = ("hang", "reset", "reset-after", "late")


@dataclass(frozen=True)
class Trouble:
    """What happens to the requests of matching actions, to this share of them.

    `hang`: they get lost, and nobody says so. `reset`: the connection is reset before they arrive;
    `reset-after`: once they are executed. `late`: they arrive, and are executed, after their sender
    has given up.
    """

    action: str
    kind: str
    share: float = 1.0

    def __post_init__(self) -> None:
        assert self.kind in KINDS


@dataclass
class Sent:
    """A request of the daemon under way, and its answer once it is executed; None: none comes."""

    call: Call
    sent_s: float
    answer: Answer | None = None
    is_executed: bool = False


@dataclass
class Wire:
    """`watch` is called right before and after each request of the daemon is executed."""

    clock: Clock
    ec2: PlayedEc2
    rng: random.Random
    watch: Callable[[Sent], None] = lambda _: None
    troubles: list[Trouble] = field(default_factory=list)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile, botocore sends through this wire."""

        def send(session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
            return self._send(session, request)

        with mock.patch.object(URLLib3Session, "send", send):
            yield

    def _send(self, session: Any, request: AWSPreparedRequest) -> AWSResponse:
        environ, call = self.ec2.read(request)
        if call.is_drivers:
            return _response(request, self.ec2.execute_for_others(environ))
        sent = Sent(call, self.clock.now_s)
        trouble = self._trouble(call.action)
        limit_s = session._timeout.read_timeout
        there_s, back_s = self._travel(call)
        if trouble == "late":
            there_s = limit_s * self.rng.uniform(1.0, 3.0)
        if trouble not in ("hang", "reset"):
            self.clock.after(there_s, lambda: self._arrive(sent, environ))
        if trouble == "reset":
            self.clock.sleep(there_s)
            raise ConnectionClosedError(endpoint_url=request.url)
        self.clock.sleep(limit_s if trouble in ("hang", "late") else there_s + back_s)
        if trouble in ("hang", "late"):
            raise ReadTimeoutError(endpoint_url=request.url)
        if sent.answer is None or trouble == "reset-after":
            raise ConnectionClosedError(endpoint_url=request.url)
        return _response(request, sent.answer)

    def _arrive(self, sent: Sent, environ: dict[str, Any]) -> None:
        self.watch(sent)
        try:
            sent.answer = self.ec2.execute(environ)
        except NoAnswerError:
            sent.answer = None
        sent.is_executed = True
        self.watch(sent)

    def _travel(self, call: Call) -> tuple[float, float]:
        took_s = self.rng.uniform(*(CHANGE_S if call.mutating else READ_S))
        share = self.rng.uniform(0.3, 0.7)
        return share * took_s, (1 - share) * took_s

    def _trouble(self, action: str) -> str | None:
        for each in self.troubles:
            if fnmatchcase(action, each.action) and self.rng.random() < each.share:
                return each.kind
        return None


class _Body:
    """The part of urllib3's response that botocore reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


def _response(request: AWSPreparedRequest, answer: Answer) -> AWSResponse:
    headers: Any = dict(answer.headers)
    return AWSResponse(request.url, answer.status, headers, _Body(answer.body))
