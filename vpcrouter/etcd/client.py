"""etcd's v3 API at one of its members, through the HTTP/JSON gateway that every member has.

Source: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/ and etcd's rpc.proto. In that JSON,
bytes are base64, 64-bit numbers are text, and fields that are 0 or false are omitted. Why none of
etcd's clients is used: docs/decisions/0005-etcd-over-http.md.
"""

import base64
import json
import ssl
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError, SSLError

from vpcrouter.errors import EtcdError
from vpcrouter.etcd.access import EtcdAccess, why_os

SILENCE_S = 5.0
"""A watch without any event for this long may be broken."""
PAGE_KEYS = 1000
MAX_ANSWER_BYTES = 64 * 1024 * 1024
READ_BYTES = 64 * 1024
UNAUTHENTICATED = 16
OLD_TOKEN = "auth store is old"  # noqa: S105 - etcd's error for an outdated token


@dataclass(frozen=True, slots=True)
class EtcdKeys:
    """The keys from `first` up to but excluding `end`; without `end`, the key `first` only."""

    first: bytes
    end: bytes | None = None

    @classmethod
    def one(cls, key: str) -> "EtcdKeys":
        return cls(key.encode())

    @classmethod
    def below(cls, prefix: str) -> "EtcdKeys":
        """All keys that start with `prefix`, which must not be empty."""
        first = prefix.encode()
        # UTF-8 has no byte 0xff, so the last byte can always be incremented.
        return cls(first, first[:-1] + bytes([first[-1] + 1]))

    def as_json(self) -> dict[str, Any]:
        end = {} if self.end is None else {"range_end": _encode(self.end)}
        return {"key": _encode(self.first), **end}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The values of the keys at one revision of the store."""

    revision: int
    values: Mapping[bytes, bytes]


class _EtcdRefusedError(EtcdError):
    """etcd returned an error; `code` is the gRPC code, 0 if there is none."""

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)

    @property
    def is_about_the_token(self) -> bool:
        return self.code == UNAUTHENTICATED or OLD_TOKEN in str(self)


class EtcdMember:
    """Calls to one member. Every method raises EtcdError, with the same text for the same failure.
    Methods block for up to the time-out or longer, so they need a thread."""

    def __init__(self, url: str, access: EtcdAccess) -> None:
        self.url = url
        self._access = access
        self._token: str | None = None
        is_tls = url.startswith("https:")
        self._pool = urllib3.PoolManager(
            maxsize=2, retries=False, ssl_context=access.tls() if is_tls else None
        )

    def close(self) -> None:
        self._pool.clear()

    def read(self, keys: EtcdKeys) -> Snapshot:
        """The current values of `keys`, by a linearizable read (agreed on by a majority)."""
        values: dict[bytes, bytes] = {}
        request: dict[str, Any] = {**keys.as_json(), "limit": str(PAGE_KEYS)}
        revision = 0
        while True:
            answer = self._call("kv/range", request)
            try:
                page = {
                    _decode(each["key"]): _decode(each.get("value", ""))
                    for each in answer.get("kvs") or ()
                }
                revision = revision or int(answer["header"]["revision"])
            except (LookupError, TypeError, ValueError, AttributeError):
                raise EtcdError("sent an invalid read response") from None
            values |= page
            if not (answer.get("more") and page):
                return Snapshot(revision, values)
            # Further pages are read at the revision of the first one.
            after = _encode(max(page) + b"\0")
            request = {**request, "key": after, "revision": str(revision)}

    def watch(self, keys: EtcdKeys, revision: int) -> Generator[int, None, None]:
        """The revisions after `revision` at which `keys` changed, as they arrive.

        The first one yielded is `revision` itself, once the watch is established. Returns when
        there was no event for SILENCE_S, or when the revisions in between have been compacted:
        then the keys must be read again.
        """
        request = {"create_request": {**keys.as_json(), "start_revision": str(revision + 1)}}
        response = self._open("watch", request, SILENCE_S, self._login())
        try:
            if response.status != 200:
                raise _refusal(response.status, self._content(response))
            for line in _lines(response):
                result = _watch_result(line)
                if result.get("compact_revision", "0") != "0":
                    return
                if result.get("canceled"):
                    raise EtcdError(
                        f"refused the watch: {result.get('cancel_reason', 'no reason')}"
                    )
                yield _revision(result) if result.get("events") else revision
        except ReadTimeoutError:
            return
        except HTTPError as error:
            raise EtcdError(_why(error)) from None
        finally:
            response.close()
        raise EtcdError("ended the watch")

    def _call(self, path: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The response to one request; retries with a new token if the old one is refused."""
        had_token = self._token is not None
        try:
            return self._exchange(path, request, self._login())
        except _EtcdRefusedError as error:
            if not (had_token and error.is_about_the_token):
                raise
            self._token = None
        return self._exchange(path, request, self._login())

    def _login(self) -> str | None:
        """The auth token for calls, obtained from etcd if there is none yet."""
        if self._access.user is None:
            return None
        if self._token is None:
            request = {"name": self._access.user, "password": self._access.password()}
            token = self._exchange("auth/authenticate", request, None).get("token")
            if not isinstance(token, str):
                raise EtcdError("sent an invalid login response")
            self._token = token
        return self._token

    def _exchange(self, path: str, request: Mapping[str, Any], token: str | None) -> dict[str, Any]:
        response = self._open(path, request, self._access.timeout_s, token)
        try:
            content = self._content(response)
        except HTTPError as error:
            raise EtcdError(_why(error)) from None
        finally:
            response.release_conn()
        if response.status != 200:
            raise _refusal(response.status, content)
        return _object(content)

    def _open(
        self, path: str, request: Mapping[str, Any], timeout_s: float, token: str | None
    ) -> urllib3.BaseHTTPResponse:
        # With this header, a member that has lost its cluster ends a watch instead of stalling.
        headers = {"Content-Type": "application/json", "Grpc-Metadata-hasleader": "true"}
        if token is not None:
            headers["Authorization"] = token
        try:
            return self._pool.request(
                "POST",
                f"{self.url}/v3/{path}",
                body=json.dumps(request),
                headers=headers,
                timeout=urllib3.Timeout(connect=self._access.timeout_s, read=timeout_s),
                preload_content=False,
                redirect=False,
            )
        except HTTPError as error:
            raise EtcdError(_why(error)) from None

    def _content(self, response: urllib3.BaseHTTPResponse) -> bytes:
        content = response.read(MAX_ANSWER_BYTES + 1)
        if len(content) > MAX_ANSWER_BYTES:
            response.close()
            raise EtcdError(f"sent a response of more than {MAX_ANSWER_BYTES // 1024 // 1024} MiB")
        return content


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for piece in response.stream(READ_BYTES):
        *lines, rest = (rest + piece).split(b"\n")
        yield from filter(None, lines)
        if len(rest) > MAX_ANSWER_BYTES:
            raise EtcdError("sent an invalid watch response")


def _object(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise EtcdError("sent an invalid response")
    return answer


def _watch_result(line: bytes) -> dict[str, Any]:
    answer = _object(line)
    result = answer.get("result")
    if isinstance(result, dict):
        return result
    raise _refusal(0, json.dumps(answer.get("error")).encode())


def _revision(result: Mapping[str, Any]) -> int:
    try:
        return int(result["header"]["revision"])
    except (LookupError, TypeError, ValueError):
        raise EtcdError("sent an invalid watch response") from None


def _refusal(status: int, content: bytes) -> _EtcdRefusedError:
    """The error in a response; 3.4 and 3.6 put it in different fields."""
    try:
        answer = json.loads(content)
        message = answer.get("message") or answer["error"]
        code = int(answer.get("code") or answer.get("grpc_code") or 0)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        if status == 404:
            return _EtcdRefusedError("has no HTTP gateway (enable-grpc-gateway), or is not etcd", 0)
        first = content[:200].decode(errors="replace").strip().partition("\n")[0]
        return _EtcdRefusedError(f"returned HTTP status {status} {first}".rstrip(), 0)
    return _EtcdRefusedError(f"refused: {message}", code)


def _why(error: Exception) -> str:
    """The cause of a urllib3 error, without the object addresses in its own text."""
    if isinstance(error, ReadTimeoutError):
        return "does not answer in time"
    inner = [error.__cause__, error.__context__, *error.args]
    for each in inner:
        if isinstance(each, ConnectionError) and not isinstance(each, ConnectionRefusedError):
            return "closed the connection"
        if isinstance(each, OSError):
            what = "TLS failed" if isinstance(each, ssl.SSLError) else "cannot be reached"
            return f"{what}: {why_os(each)}"
    if isinstance(error, SSLError):
        return f"TLS failed: {error}"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "cannot be reached: timed out"
    return "closed the connection"
