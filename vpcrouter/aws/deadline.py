"""A time limit for an answer as a whole.

botocore's read time-out is one for each packet, so a server that sends a byte a second could keep a
request for hours. Here it covers the whole answer, from the end of the request to the last byte.
"""

import io
import socket
import time
from http.client import HTTPResponse
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)


class _TimedReader(io.RawIOBase):
    """What a socket receives within its time-out, counted from now on."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        limit_s = sock.gettimeout()
        self._ends_at = None if limit_s is None else time.monotonic() + limit_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ends_at is not None:
            left_s = self._ends_at - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class TimedResponse(HTTPResponse):
    """An answer that has to be complete within the time-out that its socket has at first."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach()))


class _TimedConnection(AWSHTTPConnection):
    response_class: Any = TimedResponse


class _TimedTlsConnection(AWSHTTPSConnection):
    response_class: Any = TimedResponse


class _TimedPool(AWSHTTPConnectionPool):
    ConnectionCls: Any = _TimedConnection


class _TimedTlsPool(AWSHTTPSConnectionPool):
    ConnectionCls: Any = _TimedTlsConnection


POOLS = {"http": _TimedPool, "https": _TimedTlsPool}


def limit_answers(session: Any) -> None:
    """Make the read time-out of a client's `URLLib3Session` one for whole answers."""
    session._pool_classes_by_scheme = POOLS  # of the proxies that it may come to use
    session._manager.pool_classes_by_scheme = POOLS
