"""An answer as a whole has a time limit, however it dribbles in."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from vpcrouter.aws.session import make_client, mapping_errors, open_session
from vpcrouter.errors import Ec2Error

LIMIT_S = 0.5
PAUSE_S = 0.05
BODY = b"<DescribeRegionsResponse><regionInfo/></DescribeRegionsResponse>"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)


class Server:
    """Answers each request with `parts`, pausing before each of them."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.requests = 0
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    self._answer_all(connection)

    def _answer_all(self, connection: socket.socket) -> None:
        while received := connection.recv(65536):
            if b"Action=" not in received:
                continue  # the headers alone
            self.requests += 1
            for part in self.parts:
                if self._ended.wait(PAUSE_S):
                    return
                connection.sendall(part)

    def close(self) -> None:
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5.0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    found = Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("NO_PROXY", "*")
    yield found
    found.close()


def ask(server: Server, *answers: list[bytes]) -> float:
    """One request for each answer, over one client; the time that the last one took."""
    session = open_session("us-east-1")
    client = make_client(session, "ec2", attempts=1, answer_timeout_s=LIMIT_S)
    with contextlib.closing(client):
        for server.parts in answers:
            began_s = time.monotonic()
            mapping_errors("DescribeRegions", client.describe_regions)
    return time.monotonic() - began_s


def bytewise(text: bytes) -> list[bytes]:
    return [text[index : index + 1] for index in range(len(text))]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([*bytewise(HEAD), BODY], id="the head a byte at a time"),
        pytest.param([HEAD, *bytewise(BODY)], id="the body a byte at a time"),
        pytest.param([HEAD + BODY[:1], b"", *[b""] * 40], id="half of it"),
        pytest.param([b""] * 40, id="nothing"),
    ],
)
def test_an_answer_that_takes_too_long_is_a_time_out(server: Server, answer: list[bytes]) -> None:
    began_s = time.monotonic()
    with pytest.raises(Ec2Error, match="DescribeRegions: ReadTimeoutError"):
        ask(server, answer)
    assert time.monotonic() - began_s >= LIMIT_S
    assert server.requests == 1


def test_one_in_pieces_within_the_limit_is_read_and_the_connection_used_again(
    server: Server,
) -> None:
    answer = [HEAD[:20], HEAD[20:] + BODY[:10], BODY[10:]]
    assert ask(server, answer, answer, answer, answer) < LIMIT_S
    assert server.requests == 4
