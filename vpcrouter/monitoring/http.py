"""A Prober by HTTP: each probe is one connection, one GET and one response."""

import errno
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11

from vpcrouter import __version__
from vpcrouter.logs.reasons import Reasons
from vpcrouter.monitoring.client_tls import ClientTls
from vpcrouter.monitoring.connect import SocketProber
from vpcrouter.monitoring.refusal import MissedError, raise_for_error, stands

HOST = "{host}"
READ_BYTES = 32 * 1024
"""Bytes per read; more than a TLS record, so that a record is always read whole."""
MAX_BODY = 64 * 1024
MAX_READ = 4 * MAX_BODY
"""The limit of a response: head, body and chunk overhead."""
MAX_PENDING = 10_000
SHOWN = 100
CUT_SHORT = "connection closed before the response was complete"


@dataclass(frozen=True, slots=True)
class CheckUrl:
    """An http or https URL whose host is `{host}`."""

    is_tls: bool
    port: int
    path: str

    @classmethod
    def of(cls, text: str) -> "CheckUrl":
        """Raises ValueError with a sentence's end."""
        if not (text.isascii() and text.isprintable()) or " " in text:
            raise ValueError("must be ASCII without spaces; write other characters as %XX")
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError:
            raise ValueError("must be a URL with a port from 1 to 65535") from None
        if url.scheme not in {"http", "https"}:
            raise ValueError("must begin with http:// or https://")
        if "@" in url.netloc or url.hostname != HOST:
            raise ValueError(f"must have {HOST}, and nothing else, as its host")
        if url.fragment or port == 0:
            raise ValueError("must have no fragment (#) and a port from 1 to 65535")
        is_tls = url.scheme == "https"
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return cls(is_tls, port or (443 if is_tls else 80), path)

    def authority(self, name: str) -> str:
        """The Host header for a server of that name or address (RFC 3986, 3.2.2)."""
        name = f"[{name}]" if ":" in name else name
        return name if self.port == (443 if self.is_tls else 80) else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Statuses:
    """HTTP statuses, as ranges."""

    ranges: tuple[range, ...]

    @classmethod
    def of(cls, text: str) -> "Statuses":
        """From text such as `200,204` or `200-399`. Raises ValueError with a sentence's end."""
        return cls(tuple(cls._range(part.strip()) for part in text.split(",")))

    @staticmethod
    def _range(text: str) -> range:
        low, dash, high = text.partition("-")
        try:
            found = range(int(low), int(high if dash else low) + 1)
        except ValueError:
            found = range(0)
        if not found or found[0] < 200 or found[-1] > 599:
            raise ValueError("must be statuses from 200 to 599, such as 200,204 or 200-399")
        return found

    def __contains__(self, status: int) -> bool:
        return any(status in each for each in self.ranges)


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """The request, and the response that counts as healthy.

    `server_name` is the Host header and the name in the certificate; if it is empty, the host's
    address is used for both.
    """

    url: CheckUrl
    statuses: Statuses
    body: bytes = b""
    tls: ClientTls = field(default_factory=ClientTls)
    server_name: str = ""

    def request(self, host: str) -> h11.Request:
        headers = [
            ("Host", self.url.authority(self.server_name or host)),
            ("User-Agent", f"vpcrouter/{__version__}"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ]
        target = self.url.path.replace(HOST, host)
        return h11.Request(method="GET", target=target, headers=headers)


class Answer:
    """Reads and judges the response to one GET."""

    def __init__(self, check: HttpCheck, request: h11.Request) -> None:
        self._check = check
        self._parser = h11.Connection(h11.CLIENT)
        self.request = self._parser.send(request) or b""
        self._parser.send(h11.EndOfMessage())
        self._read = 0
        self._body_read = 0
        self._tail = b""
        self._has_text = not check.body

    def feed(self, data: bytes) -> bool:
        """Process received data, empty at end-of-file. True once a healthy response is complete.

        Raises MissedError for any other response, and for none at all.
        """
        self._read += len(data)
        if self._read > MAX_READ:
            raise MissedError(f"response exceeds {MAX_READ >> 10} KiB")
        try:
            self._parser.receive_data(data)
            while (event := self._parser.next_event()) is not h11.NEED_DATA:
                if self._is_complete(event):
                    return True
        except h11.RemoteProtocolError as error:
            what = f"not an HTTP response: {str(error)[:SHOWN]}" if data else CUT_SHORT
            raise MissedError(what) from None
        return False

    def _is_complete(self, event: object) -> bool:
        if isinstance(event, h11.InformationalResponse):
            return False
        if isinstance(event, h11.Response):
            if event.status_code not in self._check.statuses:
                raise MissedError(f"status {event.status_code}")
            return False
        is_all = isinstance(event, h11.EndOfMessage)
        if isinstance(event, h11.Data):
            self._look_at(bytes(event.data))
            is_all = self._body_read >= MAX_BODY
        elif not is_all:
            raise MissedError(CUT_SHORT)
        if is_all and not self._has_text:
            raise MissedError("body does not contain the expected text")
        return is_all

    def _look_at(self, data: bytes) -> None:
        """Search the start of the body for the text, keeping as little of it as possible."""
        data = data[: MAX_BODY - self._body_read]
        self._body_read += len(data)
        if self._has_text:
            return
        text = self._check.body
        seen = self._tail + data
        self._has_text = text in seen
        self._tail = seen[len(seen) - len(text) + 1 :] if len(text) <= len(seen) else seen


class Exchange:
    """One check of one host in progress: connect, TLS if wanted, request, response."""

    def __init__(
        self, check: HttpCheck, request: h11.Request, host: str, sock: socket.socket
    ) -> None:
        self.host = host
        self.events = select.EPOLLOUT
        """The epoll events to wait for."""
        self._check = check
        self._sock = sock
        self._fd = sock.fileno()
        self._encrypted: ssl.SSLSocket | None = None
        self._is_connected = False
        self._answer = Answer(check, request)
        self._unsent = self._answer.request

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        self._sock.close()

    @property
    def stage(self) -> str:
        """The stage it has reached, for display."""
        if not self._is_connected:
            return "connecting"
        if self._encrypted is not None and self._unsent:
            return "in the TLS handshake"
        return "waiting for the response"

    def advance(self, event: int) -> bool:
        """Continue; True once there is a healthy response. Raises MissedError, UnsentError."""
        try:
            return self._advance(event)
        except ssl.SSLWantReadError:
            self.events = select.EPOLLIN
        except ssl.SSLWantWriteError:
            self.events = select.EPOLLOUT
        except BlockingIOError:
            self.events = select.EPOLLOUT if self._unsent else select.EPOLLIN
        except ssl.SSLCertVerificationError as error:
            raise MissedError(f"TLS: {error.verify_message or error.reason}") from None
        except ssl.SSLError as error:
            raise MissedError(f"TLS: {error.reason or 'connection closed'}") from None
        except OSError as error:
            raise_for_error(error.errno or errno.ENOTCONN)
        return False

    def _advance(self, event: int) -> bool:
        if not self._is_connected:
            if not stands(self._sock, event):
                return False
            self._is_connected = True
            if self._check.url.is_tls:
                self._encrypt(self._check.tls.context())
        if self._unsent:
            if self._encrypted is not None:
                self._encrypted.do_handshake()
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
            self.events = select.EPOLLOUT if self._unsent else select.EPOLLIN
            return False
        self.events = select.EPOLLIN
        return self._read()

    def _encrypt(self, context: ssl.SSLContext) -> None:
        # The request must not wait for the ACK of the last handshake packet.
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = self._encrypted = context.wrap_socket(
            self._sock,
            do_handshake_on_connect=False,
            server_hostname=self._check.server_name or self.host,
        )

    def _read(self) -> bool:
        while True:
            data = self._sock.recv(READ_BYTES)
            if self._answer.feed(data):
                return True
            if self._encrypted is None or not self._encrypted.pending():
                return False


class HttpProber(SocketProber[Exchange]):
    """A Prober that sends each host an HTTP request."""

    def __init__(
        self, monitor: str, check: HttpCheck, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock, MAX_PENDING)
        self._check = check
        self._reasons = Reasons(monitor)
        self._requests: dict[str, h11.Request] = {}

    def set_hosts(self, hosts: Sequence[str]) -> None:
        super().set_hosts(hosts)
        self._reasons.keep(hosts)
        self._requests = {host: self._check.request(host) for host in hosts}

    def address(self, host: str) -> tuple[str, int]:
        return host, self._check.url.port

    def begun(self, host: str, sock: socket.socket) -> Exchange:
        return Exchange(self._check, self._requests[host], host, sock)

    def advance(self, pending: Exchange, event: int) -> bool:
        events = pending.events
        try:
            is_good = pending.advance(event)
        except MissedError as error:
            self._reasons.note(pending.host, str(error))
            raise
        if is_good:
            self._reasons.clear(pending.host)
        elif pending.events != events:
            self.want(pending, pending.events)
        return is_good

    def expire(self, probes: Iterable[tuple[int, str]]) -> None:
        probes = list(probes)
        for serial, host in probes:
            if host in self._hosts and (exchange := self._pending.get(serial)) is not None:
                self._reasons.note(host, f"timed out {exchange.stage}")
        super().expire(probes)
