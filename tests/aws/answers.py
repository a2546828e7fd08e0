"""HTTP answers: whole ones, and those that come slowly, or not to their end."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

from .calls import Environ, StartResponse

App = Callable[[Environ, StartResponse], Iterable[bytes]]
Wait = Callable[[float], bool]
"""Waits so many seconds; False if the answer is not to go on."""


class NoAnswerError(ConnectionAbortedError):
    """Close the connection without an answer, or in the middle of one.

    werkzeug takes this for a client that is gone: it answers and logs nothing.
    """


class ResetError(NoAnswerError):
    """Reset the connection instead of closing it."""


@dataclass
class Answer:
    """An HTTP answer, whole. It is sent a byte each `pace_s`, or to its half if it `is_cut`."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=lambda: [("Content-Type", "text/xml")])
    pace_s: float = 0.0
    is_cut: bool = False

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

    @classmethod
    def json(cls, status: int, value: Any) -> Answer:
        return cls(status, json.dumps(value).encode(), [("Content-Type", "application/json")])

    @property
    def error_code(self) -> str | None:
        if self.status < 400:
            return None
        if self.body.startswith(b"{"):
            return str(json.loads(self.body).get("__type", "")) or None
        _, _, rest = self.body.partition(b"<Code>")
        return rest.partition(b"<")[0].decode(errors="replace") or None

    @property
    def half(self) -> bytes:
        return self.body[: len(self.body) // 2]

    def send(self, start_response: StartResponse, wait: Wait) -> Iterable[bytes]:
        headers = [h for h in self.headers if h[0].lower() != "content-length"]
        headers.append(("Content-Length", str(len(self.body))))
        start_response(f"{self.status} {_phrase(self.status)}", headers)
        return self._parts(wait) if self.pace_s or self.is_cut else [self.body]

    def _parts(self, wait: Wait) -> Iterable[bytes]:
        body = self.half if self.is_cut else self.body
        size = 1 if self.pace_s else len(body)
        for start in range(0, len(body), size):
            if self.pace_s and not wait(self.pace_s):
                break
            yield body[start : start + size]
        else:
            if not self.is_cut:
                return
        raise NoAnswerError


def run(app: App, environ: Environ) -> Answer:
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


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
