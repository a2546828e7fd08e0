"""Every end point of the API, asked anything: an answer in words, and no more than was due."""

import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import example, given
from hypothesis import strategies as st
from waitress.adjustments import Adjustments
from werkzeug.datastructures import Headers
from werkzeug.test import create_environ, run_wsgi_app

from vpcrouter.api.access import Gate
from vpcrouter.api.answers import PAGES, ApiState
from vpcrouter.api.request_parser import Parser
from vpcrouter.api.server import MAX_HEAD_BYTES
from vpcrouter.config import settings as config
from vpcrouter.model.messages import SpecReport
from vpcrouter.model.spec import parse_spec
from vpcrouter.supervisor.workforce import api_settings
from workers.api import Intake, make_app

TOKEN = "fuzz-0123456789abcdef"  # noqa: S105
SPEC = '{"10.1.0.0/16": ["10.0.0.1"]}'
HIDDEN = "10.1.0.0"
"""In every detailed answer that could give something away."""


BOUND = {"localhost": "127.0.0.1", "0.0.0.0": "0.0.0.0"}  # noqa: S104


@dataclass(frozen=True)
class Target:
    """An API that listens at `address`, with or without a token."""

    app: Flask
    state: ApiState
    is_local: bool
    has_token: bool


def target(folder: Path, address: str, has_token: bool) -> Target:
    folder.mkdir()
    flags = ["-m", "http", "-H", "always", "-v", "vpc-1", "-a", address]
    flags += ["--state_dir", str(folder)]
    if has_token:
        token_file = folder / "token"
        token_file.write_text(TOKEN)
        token_file.chmod(0o600)
        flags += ["--api_token_file", str(token_file)]
    settings = api_settings(config.load("vpcrouter", flags, None).values, 0.0)
    state = ApiState(settings, SpecReport(parse_spec(SPEC)))
    app = make_app(state, Intake(state, settings), Gate(settings.access, BOUND[address]))
    return Target(app, state, address == "localhost", has_token)


@pytest.fixture(scope="module")
def targets() -> Iterator[list[Target]]:
    with tempfile.TemporaryDirectory() as folder:
        yield [
            target(Path(folder) / "local", "localhost", False),
            target(Path(folder) / "token", "localhost", True),
            target(Path(folder) / "open", "0.0.0.0", True),  # noqa: S104
        ]


LATIN = st.characters(codec="latin-1", exclude_characters="\r\n\0")
METHODS = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
PATHS = st.sampled_from([*PAGES, "//", "/health/", "/%00", "/static/x", "/../etc/passwd", "*", ""])
NAMES = st.sampled_from(
    [
        *("Host", "Origin", "Authorization", "Accept", "Content-Type", "Content-Length", "Expect"),
        *(
            "Accept-Encoding",
            "Transfer-Encoding",
            "Cookie",
            "Range",
            "X-Forwarded-Host",
            "If-Match",
        ),
    ]
)
VALUES = st.sampled_from(
    [
        *("localhost", "evil.example", "null", f"Bearer {TOKEN}", f"bearer {TOKEN[:-1]}", "Bearer"),
        *(
            "application/json",
            "text/html",
            "*/*;q=x",
            "text/html;q=0.5,*/*;q=0",
            "-1",
            "99999999999",
        ),
        *("http://localhost", "http://[", "chunked", "bytes=0-", "100-continue", "0", ""),
    ]
)
HEADERS = st.lists(
    st.tuples(NAMES, VALUES | st.text(LATIN, max_size=20))
    | st.tuples(st.from_regex(r"[A-Za-z-]{1,12}", fullmatch=True), st.text(LATIN, max_size=10)),
    max_size=6,
)
BODIES = st.sampled_from([b"", SPEC.encode(), b"{}", b"[" * 50_000]) | st.binary(max_size=50)


def ask(
    app: Flask, method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes
) -> tuple[int, Headers, bytes]:
    """Past any client, which would tidy the request up."""
    environ = create_environ("/", input_stream=io.BytesIO(body))
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in headers:
        key = name.upper().replace("-", "_")
        bare = key in {"CONTENT_TYPE", "CONTENT_LENGTH"}
        environ[key if bare else f"HTTP_{key}"] = value
    pieces, status, answered = run_wsgi_app(app, environ, buffered=True)
    return int(status.split()[0]), answered, b"".join(pieces)


@given(
    which=st.integers(0, 2),
    method=METHODS | st.from_regex(r"[A-Z]{1,8}", fullmatch=True),
    path=PATHS | st.text(LATIN, max_size=20).map("/{}".format),
    query=st.text(LATIN, max_size=20),
    headers=HEADERS,
    body=BODIES,
)
@example(0, "GET", "/", "", [("Accept", "text/html;q=nan")], b"")
@example(0, "GET", "//evil.example/%2e%2e", "", [], b"")
@example(2, "POST", "/route_spec", "", [("Content-Type", "application/json")], SPEC.encode())
def test_any_request(
    targets: list[Target],
    which: int,
    method: str,
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    body: bytes,
) -> None:
    asked = targets[which]
    before = asked.state.spec
    status, answered, text = ask(asked.app, method, path, query, headers, body)
    told = f"{status} {answered} {text[:300]!r}"
    assert 200 <= status < 500 or (status == 503 and path == "/health"), told
    assert answered["Content-Type"].partition(";")[0] in {
        "application/json",
        "text/html",
        "text/plain",
    }, told
    if answered["Content-Type"] == "application/json" and text:
        json.loads(text)
    assert "default-src 'none'" in answered["Content-Security-Policy"]
    assert not {name for name in answered.keys() if name.startswith("Access-Control")}  # noqa: SIM118
    assert TOKEN.encode() not in text
    sent: dict[str, Any] = {name.lower(): value for name, value in headers}
    is_trusted = sent.get("authorization") in {f"Bearer {TOKEN}"}
    if not asked.is_local and not is_trusted:
        assert HIDDEN.encode() not in text, told
    if asked.state.spec is not before:
        assert (method, path, sent["content-type"]) == ("POST", "/route_spec", ANY_JSON), told
        assert is_trusted or not asked.has_token, told
        assert sent.get("origin") is None or "localhost" in sent["origin"]


class _AnyJson:
    """Equal to every way to say application/json."""

    def __eq__(self, other: object) -> bool:
        return str(other).partition(";")[0].strip().lower() == "application/json"

    __hash__ = None  # type: ignore[assignment]


ANY_JSON = _AnyJson()


# The server's reading of requests

ADJUSTMENTS = Adjustments(max_request_header_size=MAX_HEAD_BYTES, max_request_body_size=100_000)
HEAD_LINES = st.one_of(
    st.sampled_from(
        [
            *(b"Host: localhost", b"Content-Length: 3", b"Content-Length: 3, 4", b"X", b": x"),
            *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Connection: close"),
            *(b"Content-Length: 99999999", b"Expect: 100-continue", b"Host : x", b" folded"),
        ]
    ),
    st.binary(max_size=20),
)
REQUESTS = st.builds(
    lambda first, lines, body: b"\r\n".join([first, *lines, b"", body]),
    st.sampled_from([b"GET / HTTP/1.1", b"POST /route_spec HTTP/1.1", b"GET / HTTP/1.0", b"GET /"])
    | st.binary(max_size=20),
    st.lists(HEAD_LINES, max_size=5),
    st.sampled_from([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"ffffffff\r\n"])
    | st.binary(max_size=20),
)


@given(REQUESTS | st.binary(max_size=100), st.lists(st.integers(0, 150), max_size=6))
@example(b"GET http://[ HTTP/1.1\r\n\r\n", [])
def test_any_bytes_to_the_server(data: bytes, cuts: list[int]) -> None:
    """However they are cut, they are one request or the beginning of one."""
    parser: Any = Parser(ADJUSTMENTS, lambda _request: None)
    at = 0
    for cut in sorted({*cuts, len(data)}):
        piece = data[at:cut]
        at = cut
        while piece and not parser.completed:
            consumed = parser.received(piece)
            assert 0 <= consumed <= len(piece)
            piece = piece[consumed:]
            if not consumed:
                break
    is_taken = parser.completed and parser.error is None and not parser.empty
    assert not is_taken or parser.headers["CONNECTION"] == "close"
