"""The control socket's HTTP server: what it serves, and its bounds."""

import http.client
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault, ServerProxy

import pytest
from supervisor.xmlrpc import SupervisorTransport

from tests.unit.controlled import report
from tests.waiting import wait_until
from vpcrouter.control import http as control_http
from vpcrouter.control.http import MAX_BODY_BYTES, MAX_FOLLOWERS, MAX_REQUESTS, ControlServer
from vpcrouter.control.orders import OrderBook
from vpcrouter.control.rpc import Commands
from vpcrouter.control.socket import listening
from vpcrouter.logs.worker_log import OwnLog
from vpcrouter.options.groups import ControlSettings


class Served:
    """A server whose loop turns in a thread."""

    def __init__(self, path: str, server: ControlServer) -> None:
        self.path = path
        self.server = server

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(self.path)
        return client

    def ask(self, request: bytes) -> bytes:
        """What the server answers until it closes."""
        with self.connect() as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(4096), b""))

    def status(self, request: bytes) -> int:
        return int(self.ask(request).split()[1])

    def proxy(self) -> ServerProxy:
        return ServerProxy(
            "http://x", transport=SupervisorTransport(serverurl=f"unix://{self.path}")
        )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    path = str(tmp_path / "c.sock")
    book = OrderBook()
    book.hear(report())
    is_over = threading.Event()
    with listening(path) as listener:
        server = ControlServer(listener, Commands(book, ControlSettings(str(tmp_path), "-")))

        def serve() -> None:
            while not is_over.is_set():
                if select.select([listener], [], [], 0.01)[0]:
                    server.handle_request()
                server.end_overdue()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Served(path, server)
        finally:
            is_over.set()
            thread.join(5)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = OwnLog.path_of(str(tmp_path), "tcp")
    path.parent.mkdir()
    path.write_text("first\n")
    return path


def test_methods_and_faults_go_by_xml_rpc(served: Served) -> None:
    with served.proxy() as proxy:
        assert proxy.supervisor.getVersion() == "3.0"
        with pytest.raises(Fault, match="BAD_NAME: nothing"):
            proxy.supervisor.getProcessInfo("nothing")
        with pytest.raises(Fault, match="FAILED"):
            proxy.supervisor.getProcessInfo(5)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /RPC2 HTTP/1.1\r\n\r\n", 413),
        (b"POST /RPC2 HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 413),
        (b"POST /RPC2 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), 413),
        (b"POST /else HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 404),
        (b"PUT /RPC2 HTTP/1.1\r\n\r\n", 501),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /mainlogtail HTTP/1.1\r\n\r\n", 404),
        (b"GET /logtail/tcp HTTP/1.1\r\n\r\n", 404),
        (b"GET /logtail/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
    ],
)
def test_what_is_refused(
    request_: bytes, status: int, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_http, "REFUSE_S", 0.1)
    answer = served.ask(request_)
    assert b" %d " % status in answer.splitlines()[0] or b"code: %d" % status in answer


def test_a_log_is_followed_in_chunks(served: Served, log: Path) -> None:
    client = http.client.HTTPConnection("x")
    client.sock = served.connect()
    client.request("GET", "/logtail/vpcrouter%3Atcp/stdout")
    answer = client.getresponse()
    assert answer.status == 200
    assert answer.getheader("Transfer-Encoding") == "chunked"
    assert answer.readline() == b"first\n"
    with log.open("a") as file:
        file.write("second\n")
    assert answer.readline() == b"second\n"
    log.replace(log.with_suffix(".log.1"))
    log.write_text("third\n")
    assert answer.readline() == b"third\n"
    answer.close()
    client.close()
    wait_until(lambda: not served.server._open, 5, "the end of the connection")


def test_followers_leave_room_for_commands(served: Served, log: Path) -> None:
    request = b"GET /logtail/tcp HTTP/1.1\r\n\r\n"
    followers = [served.connect() for _ in range(MAX_FOLLOWERS)]
    for follower in followers:
        follower.sendall(request)
        assert follower.recv(100)
    assert served.status(request) == 503
    with served.proxy() as proxy:
        assert proxy.supervisor.getVersion()
    served.server.drain(5)
    assert len(served.server._open) == MAX_FOLLOWERS, "they are not waited for"
    for follower in followers:
        follower.close()
    wait_until(lambda: not served.server._open, 5, "the end of the connections")


def test_there_are_never_too_many(served: Served) -> None:
    held = [served.connect() for _ in range(MAX_REQUESTS)]
    wait_until(lambda: len(served.server._open) == MAX_REQUESTS, 5, "all of them")
    with served.connect() as one_more:
        assert one_more.recv(1) == b""
    for client in held:
        client.close()
    wait_until(lambda: not served.server._open, 5, "their end")
    with served.proxy() as proxy:
        assert proxy.supervisor.getVersion()


def test_a_client_that_drips_is_ended(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_http, "REQUEST_S", 0.2)
    began_s = time.monotonic()
    with served.connect() as client:
        client.sendall(b"POST /RPC2 HTTP/1.1\r\nContent-Length: 10\r\n\r\n<")
        while client.recv(4096):
            continue
    assert time.monotonic() - began_s < 3
    wait_until(lambda: not served.server._open, 5, "its end")
