"""The WSGI layer in front of the corrected moto: faults, throttling, call log, `/_control/`.

Each request runs in a thread of its own.  `_state` guards faults, settings and log; `_moto` lets
one call at a time into moto, which is not thread-safe.  A call that waits holds neither.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from http import HTTPStatus
from io import BytesIO
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from . import corrections, long_poll

CONTROL = "/_control/"
LOG_LIMIT = 100_000
HANG_LIMIT_S = 60.0
KINDS = ("error", "delay", "hang", "garbage", "drop")
READING = ("Describe", "Get", "List", "Search")
GARBAGE = b"<html><h1>\x00\xff It works!</h1"

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


@dataclass(kw_only=True)
class Fault:
    """Something to go wrong with each call whose action matches `action` (fnmatch).

    `error`, `garbage` and `drop` replace the answer of a call that is not executed, or, with
    `after`, of one that is.  `delay` waits `seconds`, then lets the call go on.  `hang` waits
    until the faults are replaced, then drops the connection; the call is not executed.
    """

    action: str
    kind: str
    code: str = "InternalError"
    message: str = "An internal error has occurred"
    http_status: int = 400
    seconds: float = 0.0
    times: int | None = None
    after: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.after and self.kind in ("delay", "hang"):
            raise ValueError(f"kind {self.kind!r} can't come after the call")


@dataclass
class Bucket:
    """A token bucket; the caller holds the lock that guards it."""

    capacity: float
    per_s: float
    tokens: float = field(init=False)
    filled_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens, self.filled_s = self.capacity, time.monotonic()

    def take(self) -> bool:
        """Take a token, if there is one."""
        now = time.monotonic()
        self.tokens = min(self.capacity, self.tokens + (now - self.filled_s) * self.per_s)
        self.filled_s = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(kw_only=True)
class Settings:
    """What `POST /_control/settings` sets; what it does not name stays as it is.

    `bucket` is the size of the token bucket that each mutating action has of its own.
    """

    page_size: int | None = None
    stale_s: float = 0.0
    bucket: dict[str, float] | None = None

    def __post_init__(self) -> None:
        if self.page_size is not None and self.page_size < 1:
            raise ValueError("page_size is less than 1")
        if self.bucket is not None:
            Bucket(**self.bucket)


@dataclass(kw_only=True)
class Call:
    """A call to AWS, as the log shows it once it is answered, or known never to be executed.

    `monotonic_s` is its arrival on this machine's monotonic clock, `waited_s` its wait for other
    calls in moto, `took_s` its time in moto; `status` 0: the connection was closed unanswered.
    """

    action: str
    params: dict[str, str]
    service: str
    monotonic_s: float
    seq: int = 0
    waited_s: float = 0.0
    took_s: float = 0.0
    status: int = 0
    error_code: str | None = None

    @property
    def speaks_json(self) -> bool:
        return self.service == "AmazonSQS"

    @property
    def mutating(self) -> bool:
        return self.service == "ec2" and not self.action.startswith(READING)


@dataclass
class Answer:
    """An HTTP answer, whole."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=lambda: [("Content-Type", "text/xml")])

    @classmethod
    def error(cls, status: int, code: str, message: str) -> Answer:
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error><Code>{escape(code)}</Code>"
            f"<Message>{escape(message)}</Message></Error></Errors>"
            "<RequestID>00000000-0000-4000-8000-000000000000</RequestID></Response>"
        )
        return cls(status, text.encode())

    @classmethod
    def json_error(cls, status: int, code: str, message: str) -> Answer:
        body = json.dumps({"__type": code, "message": message}).encode()
        return cls(status, body, [("Content-Type", "application/x-amz-json-1.0")])

    @property
    def error_code(self) -> str | None:
        if self.status < 400:
            return None
        _, _, rest = self.body.partition(b"<Code>")
        return rest.partition(b"<")[0].decode(errors="replace") or None

    def send(self, start_response: StartResponse) -> Iterable[bytes]:
        headers = [h for h in self.headers if h[0].lower() != "content-length"]
        headers.append(("Content-Length", str(len(self.body))))
        start_response(f"{self.status} {_phrase(self.status)}", headers)
        return [self.body]


class NoAnswerError(Exception):
    """Close the connection without an answer."""


class Throttle:
    """A token bucket for each mutating action; the caller holds the lock that guards it."""

    def __init__(self, size: dict[str, float] | None = None) -> None:
        self._size = size
        self._buckets: dict[str, Bucket] = {}

    def admits(self, call: Call) -> bool:
        if self._size is None or not call.mutating:
            return True
        if call.action not in self._buckets:
            self._buckets[call.action] = Bucket(**self._size)
        return self._buckets[call.action].take()


class FaultyEc2:
    """The WSGI application: `/_control/` itself, everything else from `app`."""

    def __init__(self, app: Callable[[Environ, StartResponse], Iterable[bytes]]) -> None:
        self._app = app
        self._moto = threading.Lock()
        self._state = threading.Condition()
        self._faults: list[Fault] = []
        self._faults_version = 0
        self._era = 0
        self._settings = Settings()
        self._throttle = Throttle()
        self._log: deque[Call] = deque(maxlen=LOG_LIMIT)
        self._seq = 0
        self._in_flight: dict[int, Call] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        path = environ.get("PATH_INFO", "")
        if path.startswith(CONTROL):
            return self._control(environ, path.removeprefix(CONTROL), body).send(start_response)
        environ["wsgi.input"] = BytesIO(body)
        call = _parse(environ, body)
        if call is None:
            return self._execute(environ, None).send(start_response)
        try:
            return self._answer(environ, call).send(start_response)
        except NoAnswerError:
            return _hang_up(environ)

    # ---- calls to AWS ---------------------------------------------------------------------

    def _answer(self, environ: Environ, call: Call) -> Answer:
        with self._state:
            self._in_flight[id(call)] = call
            era = self._era
        try:
            answer = self._faulty_answer(environ, call, era)
        finally:
            self._record(call, era)
        return answer

    def _faulty_answer(self, environ: Environ, call: Call, era: int) -> Answer:
        fault = self._suffer(call, era)
        if fault is not None and not fault.after:
            return _spoil(fault, call)
        with self._state:
            admitted = self._throttle.admits(call)
        if not admitted:
            return _note(call, Answer.error(503, "RequestLimitExceeded", "Request limit exceeded."))
        answer = _note(call, self._execute_patiently(environ, call, era))
        return answer if fault is None else _spoil(fault, call)

    def _suffer(self, call: Call, era: int) -> Fault | None:
        """Wait as the faults say; answer the first one that decides the call's fate."""
        with self._state:
            version = self._faults_version
            matching = [f for f in self._faults if fnmatchcase(call.action, f.action)]
            for fault in matching:
                if fault.times is not None:
                    if fault.times <= 0:
                        continue
                    fault.times -= 1
                if fault.kind == "delay":
                    self._state.wait_for(lambda: self._era != era, fault.seconds)
                elif fault.kind == "hang":
                    self._state.wait_for(lambda: self._faults_version != version, HANG_LIMIT_S)
                    raise NoAnswerError
                else:
                    return fault
        return None

    def _execute_patiently(self, environ: Environ, call: Call, era: int) -> Answer:
        """Execute it; what waits for messages waits here, where it keeps no other call waiting."""
        if call.action != "ReceiveMessage":
            return self._execute(environ, call, era)
        wait_s, body = long_poll.without_wait(environ)
        deadline_s = time.monotonic() + wait_s
        while True:
            answer = self._execute(long_poll.again(environ, body), call, era)
            if not long_poll.is_empty(answer.body) or time.monotonic() >= deadline_s:
                return answer
            with self._state:
                self._state.wait_for(lambda: self._era != era, long_poll.PAUSE_S)

    def _execute(self, environ: Environ, call: Call | None, era: int | None = None) -> Answer:
        """Let moto answer; a call from before a reset is dropped."""
        queued = time.monotonic()
        with self._moto:
            if era is not None and era != self._era:
                raise NoAnswerError
            started = time.monotonic()
            answer = _run(self._app, environ)
            if call is not None:
                call.waited_s = started - queued
                call.took_s = time.monotonic() - started
        return answer

    def _record(self, call: Call, era: int) -> None:
        with self._state:
            self._in_flight.pop(id(call), None)
            if era != self._era:
                return
            self._seq += 1
            call.seq = self._seq
            self._log.append(call)

    # ---- control --------------------------------------------------------------------------

    def _control(self, environ: Environ, name: str, body: bytes) -> Answer:
        method = environ["REQUEST_METHOD"]
        try:
            payload = json.loads(body) if body else {}
            result = self._obey(f"{method} {name}", environ, payload)
        except (ValueError, TypeError, KeyError, AttributeError, LookupError) as error:
            return _json(400, {"error": f"{type(error).__name__}: {error}"})
        return _json(200, result)

    def _obey(self, command: str, environ: Environ, payload: Any) -> Any:
        match command:
            case "GET calls":
                query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
                return self._calls_since(int(query.get("since", 0)))
            case "GET in_flight":
                with self._state:
                    return [asdict(call) for call in self._in_flight.values()]
            case "POST faults":
                return self._set_faults([Fault(**item) for item in payload])
            case "POST settings":
                return self._set(payload)
            case "POST reset":
                return self._reset()
        if plant := corrections.PLANTS.get(command.removeprefix("POST ")):
            with self._moto:
                return plant(**payload)
        raise ValueError(f"no such control: {command}")

    def _calls_since(self, seq: int) -> list[dict[str, Any]]:
        with self._state:
            oldest = self._seq - len(self._log)
            calls = list(islice(self._log, max(0, seq - oldest), None))
        return [asdict(call) for call in calls]

    def _set_faults(self, faults: list[Fault]) -> dict[str, int]:
        with self._state:
            self._faults = faults
            self._faults_version += 1
            self._state.notify_all()
        return {"faults": len(faults)}

    def _set(self, changes: dict[str, Any]) -> dict[str, Any]:
        with self._moto, self._state:
            settings = Settings(**{**asdict(self._settings), **changes})
            if "bucket" in changes:
                self._throttle = Throttle(settings.bucket)
            self._settings = settings
            corrections.configure(settings.page_size, settings.stale_s)
            return asdict(settings)

    def _reset(self) -> dict[str, bool]:
        with self._moto, self._state:
            self._era += 1
            self._settings, self._throttle = Settings(), Throttle()
            self._set_faults([])
            # Numbers go on, so that a `since` from before the reset stays good.
            self._log.clear()
            corrections.reset()
        return {"reset": True}


def _parse(environ: Environ, body: bytes) -> Call | None:
    """The call in an HTTP request; None if it is none (instance metadata, say)."""
    now = time.monotonic()
    json_target = environ.get("HTTP_X_AMZ_TARGET", "")
    if json_target:
        service, _, action = json_target.rpartition(".")
        return Call(action=action, params={}, service=service, monotonic_s=now)
    text = body.decode("utf-8", "replace") or environ.get("QUERY_STRING", "")
    params = dict(parse_qsl(text, keep_blank_values=True))
    action, version = params.pop("Action", ""), params.pop("Version", "")
    if not action:
        return None
    service = "ec2" if version == "2016-11-15" else version
    return Call(action=action, params=params, service=service, monotonic_s=now)


def _run(app: Callable[[Environ, StartResponse], Iterable[bytes]], environ: Environ) -> Answer:
    """The whole answer of `app`; its failure is an answer too, and its traceback on stderr."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        started.append((status, headers))

    try:
        parts = app(environ, start_response)
        body = b"".join(parts)
        if hasattr(parts, "close"):
            parts.close()
    except Exception:
        traceback.print_exc()
        return Answer.error(500, "InternalError", "moto failed; see the server's stderr")
    status, headers = started[-1]
    return Answer(int(status.split()[0]), body, headers)


def _spoil(fault: Fault, call: Call) -> Answer:
    """The answer that `fault` makes of the call, executed or not."""
    if fault.kind == "drop":
        call.status, call.error_code = 0, None
        raise NoAnswerError
    if fault.kind == "garbage":
        return _note(call, Answer(200, GARBAGE))
    error = Answer.json_error if call.speaks_json else Answer.error
    return _note(call, error(fault.http_status, fault.code, fault.message))


def _note(call: Call, answer: Answer) -> Answer:
    call.status, call.error_code = answer.status, answer.error_code
    return answer


def _hang_up(environ: Environ) -> Iterable[bytes]:
    connection: socket.socket = environ["werkzeug.socket"]
    with suppress(OSError):  # the client may have hung up first
        connection.shutdown(socket.SHUT_RDWR)
    # werkzeug takes this for a client that is gone: it answers and logs nothing.
    raise ConnectionAbortedError


def _json(status: int, value: Any) -> Answer:
    return Answer(status, json.dumps(value).encode(), [("Content-Type", "application/json")])


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
