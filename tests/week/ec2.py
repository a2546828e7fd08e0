"""The embedded EC2 of `tests/aws` in this process, without a socket."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from io import BytesIO
from typing import Any, Self

from botocore.awsrequest import AWSPreparedRequest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import create_backend_app

from tests.aws import corrections
from tests.aws.answers import Answer, App, run
from tests.aws.calls import Call, Environ, StartResponse, parse
from tests.aws.client import REGION, EmbeddedEc2
from tests.aws.front import CONTROL, FaultyEc2
from tests.aws.history import HISTORY

HOST, PORT = "127.0.0.1", "4566"
CHANGE = re.compile(rb"Action=(Create|Replace|Delete)Route&")
TABLES = b"Action=DescribeRouteTables&"


class Remembered:
    """Right in front of moto: while nothing changes, a read is answered as the last time.

    Most of a week nothing does, and moto takes most of the time that a read takes.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._answers: dict[bytes, Answer] = {}

    def forget(self) -> None:
        self._answers.clear()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].getvalue()
        if not body.startswith(b"Action=Describe") or HISTORY.is_kept:
            self._forget_what_changes(body)
            return self._app(environ, start_response)
        if body not in self._answers:
            self._answers[body] = run(self._app, environ)
        answer = self._answers[body]
        start_response(f"{answer.status} Remembered", answer.headers)
        return [answer.body]

    def _forget_what_changes(self, body: bytes) -> None:
        """A change of a route is shown by route tables only, any other by anything."""
        if not CHANGE.match(body):
            self.forget()
        for each in [each for each in self._answers if each.startswith(TABLES)]:
            del self._answers[each]


class PlayedEc2(EmbeddedEc2):
    """Executes requests at once; `Wire` says when they arrive."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def start(self) -> Self:
        corrections.install()
        mock_random.seed(self._seed)
        self._url = f"http://{HOST}:{PORT}"
        self._memory = Remembered(create_backend_app("ec2"))
        self._app = FaultyEc2(self._memory)
        return self

    @property
    def backend(self) -> Any:
        """moto's models of the region: what really is."""
        return ec2_backends[DEFAULT_ACCOUNT_ID][REGION]

    def read(self, request: AWSPreparedRequest) -> tuple[Environ, Call]:
        """What a WSGI server makes of the request, and the call in it."""
        body = request.body.encode() if isinstance(request.body, str) else request.body
        assert isinstance(body, bytes)
        headers = {name: _text(value) for name, value in request.headers.items()}
        environ = _environ("POST", "/", body) | {
            f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()
        }
        environ["CONTENT_TYPE"] = headers["Content-Type"]
        call = parse(environ, body)
        assert call is not None
        return environ, call

    def execute_for_others(self, environ: Environ) -> Answer:
        """The answer to another tool, whose own faults and retries are not played."""
        return run(self._memory, environ)

    def execute(self, environ: Environ) -> Answer:
        """The answer of EC2, or of a fault. Raises NoAnswerError."""
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            started.append((status, headers))

        body = b"".join(self._app(environ, start_response))
        status, headers = started[-1]
        return Answer(int(status.split()[0]), body, headers)

    def _control(self, method: str, name: str, payload: Any = None) -> Any:
        self._memory.forget()
        path, _, query = name.partition("?")
        body = b"" if payload is None else json.dumps(payload).encode()
        environ = {**_environ(method, CONTROL + path, body), "QUERY_STRING": query}
        answer = self.execute(environ)
        content = json.loads(answer.body)
        if answer.status != 200:
            raise ValueError(content["error"])
        return content


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _environ(method: str, path: str, body: bytes) -> Environ:
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": HOST,
        "SERVER_PORT": PORT,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": f"{HOST}:{PORT}",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
