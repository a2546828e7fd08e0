"""The HTTP server of the API: waitress, with stricter limits, access control and optional TLS.

One request per connection, so that no client can block a thread; each stage of a connection has
a deadline, even if the client keeps sending. Everything except the application runs in the
thread of the loop. Why waitress: docs/decisions/0004-waitress.md.
"""

import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from vpcrouter.api.access import Gate, Refusal
from vpcrouter.api.request_parser import SMALL_BODY_BYTES, Parser
from vpcrouter.api.server_tls import MAX_RECORD_BYTES, ServerTls, TlsSocket

HEAD_S = 10.0
"""From the connection, including the TLS handshake, to the end of the request's headers."""
BODY_S = 30.0
ANSWER_S = 30.0
NEW_S = 0.5
MAX_CONNECTIONS = 256
MAX_HEAD_BYTES = 16 * 1024
MAX_LARGE_BODIES = 8
THREADS = 4

Sockets = dict[int, Any]


class Connection(HTTPChannel):  # type: ignore[misc]
    """One client's connection, and the age of its current stage."""

    def __init__(self, server: "Server", sock: Any, addr: Any, adj: Any, map: Any) -> None:  # noqa: A002
        self._stage: object = None
        self._since_s = time.monotonic()
        super().__init__(server, sock, addr, adj, map=map)
        self.parser_class = lambda adj: Parser(adj, server.refusal_of)

    @property
    def is_asking(self) -> bool:
        """Whether its request is still incomplete."""
        return not (self.requests or self.total_outbufs_len or self.close_when_flushed)

    @property
    def reads_body(self) -> bool:
        return self.request is not None and self.request.reads_body

    @property
    def reads_large_body(self) -> bool:
        return self.request is not None and self.request.reads_large_body

    def is_expected(self, now_s: float) -> bool:
        """Whether it has sent a request, or is new enough to be about to."""
        return not self.is_asking or self.request is not None or self.age_s(now_s) < NEW_S

    def age_s(self, now_s: float) -> float:
        return now_s - self._since_s

    def is_overdue(self, now_s: float) -> bool:
        stage = (self.is_asking, self.reads_body, bool(self.requests))
        if stage != self._stage:
            self._stage, self._since_s = stage, now_s
        limit_s = ANSWER_S if not self.is_asking else BODY_S if self.reads_body else HEAD_S
        return self.age_s(now_s) > limit_s


class _NotYet(Exception):  # noqa: N818 - it is no error
    """No complete TLS record has been received."""


class TlsConnection(Connection):
    """The same under TLS: `socket` is a TlsSocket."""

    def __init__(self, *arguments: Any, **others: Any) -> None:
        self._is_shaken = False
        self._wants_write = False
        super().__init__(*arguments, **others)

    def readable(self) -> bool:
        return bool(super().readable()) if self._is_shaken else not self._wants_write

    def writable(self) -> bool:
        return bool(super().writable()) if self._is_shaken else self._wants_write

    def handle_read(self) -> None:
        if not self._is_shaken:
            self._shake()
            return
        try:
            super().handle_read()
        except _NotYet:
            return

    def handle_write(self) -> None:
        if self._is_shaken:
            super().handle_write()
        else:
            self._shake()

    def _shake(self) -> None:
        try:
            self.socket.handshake()
        except ssl.SSLWantReadError:
            self._wants_write = False
        except ssl.SSLWantWriteError:
            self._wants_write = True
        except OSError:  # not TLS, or no version in common
            self.handle_close()
        else:
            self._is_shaken = True

    def recv(self, buffer_size: int) -> bytes:
        try:
            data: bytes = super().recv(buffer_size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise _NotYet from None
        return data

    def send(self, data: Any, do_close: bool = True) -> int:
        try:
            sent: int = super().send(data, do_close=do_close)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        return sent

    def handle_close(self) -> None:
        if self._is_shaken and self.connected:
            self.socket.say_goodbye()
        super().handle_close()


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Serves `application` on a listening socket owned by the caller."""

    def __init__(
        self,
        application: Callable[..., Any],
        listener: socket.socket,
        sockets: Sockets,
        gate: Gate,
        writes_to: Mapping[str, int],
        tls: ServerTls | None = None,
    ) -> None:
        """`writes_to`: the paths that accept a POST body, with its maximum size in bytes."""
        for name in ("waitress", "waitress.queue"):  # clients must not be able to flood the log
            logging.getLogger(name).setLevel(logging.ERROR)
        self._gate = gate
        self._writes_to = writes_to
        self._tls = tls
        self.channel_class = Connection if tls is None else TlsConnection
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(THREADS)
        super().__init__(
            application,
            sockets,
            True,
            listener,
            dispatcher=dispatcher,
            adj=Adjustments(
                ident="vpcrouter",
                url_scheme="http" if tls is None else "https",
                recv_bytes=MAX_RECORD_BYTES,
                max_request_header_size=MAX_HEAD_BYTES,
                max_request_body_size=max([SMALL_BODY_BYTES, *writes_to.values()]) + 1,
                connection_limit=2 * MAX_CONNECTIONS,
                log_socket_errors=False,
            ),
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
            bind_socket=False,
        )

    def turn(self, timeout_s: float) -> None:
        """Wait for events, serve them, and close connections past their deadline."""
        wasyncore.poll2(timeout_s, self._map)
        now_s = time.monotonic()
        for connection in list(self.active_channels.values()):
            if connection.is_overdue(now_s):
                connection.handle_close()

    def drain(self, limit_s: float) -> None:
        """Stop accepting connections, and finish requests in progress within `limit_s`."""
        self.accepting = False
        deadline_s = time.monotonic() + limit_s
        while (now_s := time.monotonic()) < deadline_s and any(
            connection.is_expected(now_s) for connection in self.active_channels.values()
        ):
            self.turn(0.05)

    def maintenance(self, now: float) -> None:
        """Done in `turn`, by deadlines of stages instead of by inactivity."""

    def refusal_of(self, request: Parser) -> Refusal | None:
        """Why a request whose head has been received is refused already, or None.

        The application sees the path of a target in absolute form, but not its host, which the
        request is for (RFC 9112, 3.2.2).
        """
        if request.proxy_scheme:
            refusal = self._gate.refusal_of_host(request.proxy_netloc, "request target")
            if refusal is not None:
                return refusal
        return self._refusal_of_body(request) if request.reads_large_body else None

    def _refusal_of_body(self, request: Parser) -> Refusal | None:
        """Why its large body is refused, or None."""
        refusal = self._gate.refusal(request.command, request.path, request.head())
        if refusal is not None:
            return refusal
        if request.command != "POST" or request.path not in self._writes_to:
            return Refusal(400, f"{request.command} {request.path} does not accept a body")
        if (
            sum(other.reads_large_body for other in list(self.active_channels.values()))
            > MAX_LARGE_BODIES
        ):
            return Refusal(503, "too many large requests in progress; try again")
        return None

    def accept(self) -> tuple[Any, Any] | None:
        """A new connection; at the limit, the oldest one without a complete request is closed."""
        accepted: tuple[socket.socket, Any] | None = super().accept()
        if accepted is None:
            return None
        sock, where = accepted
        if len(self.active_channels) >= MAX_CONNECTIONS and not self._make_room():
            sock.close()
            return None
        if self._tls is None:
            return sock, where
        sock.setblocking(False)
        try:
            wrapped = self._tls.context.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False
            )
        except (OSError, ValueError):  # the client has disconnected already
            sock.close()
            return None
        return TlsSocket(wrapped), where

    def _make_room(self) -> bool:
        now_s = time.monotonic()
        asking = [each for each in self.active_channels.values() if each.is_asking]
        oldest = max(asking, key=lambda each: each.age_s(now_s), default=None)
        if oldest is None:
            return False
        oldest.handle_close()
        return True
