"""HTTP on the control socket: Supervisor's XML-RPC, and following logs. One thread per request."""

import select
import socket
import sys
import time
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any
from urllib.parse import unquote, urlsplit
from xmlrpc.client import Fault
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

from supervisor.http import NOT_DONE_YET, tail_f_producer
from supervisor.xmlrpc import Faults, RPCError

from vpcrouter.control.rpc import COMMAND_S, Commands
from vpcrouter.logs import setup as logs

MAX_REQUESTS = 16
MAX_FOLLOWERS = 8
MAX_BODY_BYTES = 64 * 1024
STEP_S = 10.0
"""How long a client may send nothing within a request."""
REQUEST_S = COMMAND_S + 2 * STEP_S
REFUSE_S = 1.0
FOLLOW_S = 0.1
FOLLOW_FROM_BYTES = 1024
FOREVER_S = float("inf")

log = logs.get(__name__)


class ControlServer(ThreadingMixIn, UnixStreamServer, SimpleXMLRPCDispatcher):
    """Serves on the caller's listening socket. Call `handle_request` when it is readable."""

    daemon_threads = True
    block_on_close = False
    timeout = 0
    logRequests = False  # noqa: N815 - the handler's name for it

    def __init__(self, listener: socket.socket, commands: Commands) -> None:
        UnixStreamServer.__init__(self, "", Handler, bind_and_activate=False)
        SimpleXMLRPCDispatcher.__init__(self, allow_none=False, encoding="utf-8")
        self.socket.close()
        self.socket = listener
        self.commands = commands
        self._open: dict[Any, float] = {}
        """Connections, each with its deadline (monotonic)."""

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._open) >= MAX_REQUESTS:
            log.warning("too many control connections; refusing a new one", limit=MAX_REQUESTS)
            self.shutdown_request(request)
            return
        self._open[request] = time.monotonic() + REQUEST_S
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.pop(request, None)
        super().shutdown_request(request)

    def may_follow(self, request: Any) -> bool:
        """Let this connection stay open to follow a log, unless too many already do."""
        if list(self._open.values()).count(FOREVER_S) >= MAX_FOLLOWERS:
            return False
        self._open[request] = FOREVER_S
        return True

    def end_overdue(self) -> None:
        now_s = time.monotonic()
        for request, deadline_s in list(self._open.items()):
            if now_s > deadline_s:
                try:
                    request.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def drain(self, timeout_s: float) -> None:
        """Let commands in progress finish, within `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if all(until_s == FOREVER_S for until_s in list(self._open.values())):
                return
            time.sleep(0.01)

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        if isinstance(sys.exception(), OSError):  # most likely the client has disconnected
            log.debug("control connection failed", exc_info=True)
        else:
            log.exception("unhandled exception in control request")

    def _dispatch(self, method: str, params: Iterable[Any]) -> Any:
        try:
            return self.commands.call(method, tuple(params))
        except RPCError as error:
            raise Fault(error.code, error.text) from None
        except Exception as error:  # most likely an argument of the wrong type
            log.exception("control command failed", method=method)
            raise Fault(Faults.FAILED, f"FAILED: {error!r}") from None


class Handler(SimpleXMLRPCRequestHandler):
    """One request on one connection."""

    server: ControlServer
    rpc_paths = ("/RPC2",)
    disable_nagle_algorithm = False  # TCP only
    protocol_version = "HTTP/1.1"
    server_version = "vpcrouter"
    timeout = STEP_S

    def address_string(self) -> str:
        return "control socket"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        log.debug("control request", text=format % args)

    def end_headers(self) -> None:
        self.send_header("Connection", "close")
        super().end_headers()

    def do_POST(self) -> None:  # noqa: N802
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal() and int(length) <= MAX_BODY_BYTES):
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        super().do_POST()

    def do_GET(self) -> None:  # noqa: N802
        """`/mainlogtail` and `/logtail/NAME[/stdout|/stderr]`: the end of a log, then follow it."""
        first, _, rest = unquote(urlsplit(self.path).path).strip("/").partition("/")
        path: str | None = None
        if first == "mainlogtail":
            path = self.server.commands.main_log
        elif first == "logtail":
            name, _, channel = rest.partition("/")
            path = self.server.commands.log_of(name, channel or "stdout")
        if path is None or not Path(path).is_file():
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not self.server.may_follow(self.request):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self._follow(path)

    def _refuse(self, status: HTTPStatus) -> None:
        """Wait for the client to close: supervisorctl sends two bytes more than a request has,
        and would lose the answer if that failed."""
        self.send_error(status)
        self.wfile.flush()
        deadline_s = time.monotonic() + REFUSE_S
        while time.monotonic() < deadline_s and not self._has_left():
            continue

    def _follow(self, path: str) -> None:
        producer = tail_f_producer(self, path, FOLLOW_FROM_BYTES)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain;charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        while piece := producer.more():
            if piece is NOT_DONE_YET:
                if self._has_left():
                    return
                continue
            data = piece.encode() if isinstance(piece, str) else piece
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.flush()

    def _has_left(self) -> bool:
        """Whether the client has closed the connection; waits briefly for that."""
        poll = select.poll()
        poll.register(self.request, select.POLLIN)
        return bool(poll.poll(FOLLOW_S * 1000)) and not self.request.recv(1024)
