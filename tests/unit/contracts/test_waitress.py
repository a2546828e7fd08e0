"""waitress: what `vpcrouter.api.server` overrides of it, which it promises to nobody."""

import socket
from collections.abc import Iterator

import pytest
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import Error

from tests.unit.contracts.relied_on import Relied, check_names, each
from vpcrouter.api.request_parser import Parser
from vpcrouter.api.server import Connection, Server

SERVER = "vpcrouter.api.server.Server"
CONNECTION = "vpcrouter.api.server.Connection"
TLS = "vpcrouter.api.server.TlsConnection"
PARSER = "vpcrouter.api.request_parser.Parser"
OVERRIDDEN = {"parse_header", "received", "maintenance", "accept"}


@each(
    Relied(wasyncore.poll2, ("timeout", "map"), f"{SERVER}.turn"),
    Relied(wasyncore.dispatcher.__init__, ("self", "sock", "map"), "workers.api"),
    Relied(wasyncore.dispatcher.handle_read_event, ("self",), "workers.api"),
    Relied(wasyncore.dispatcher.del_channel, ("self", "map"), "workers.api"),
    Relied(wasyncore.dispatcher.writable, ("self",), "workers.api"),
    Relied(HTTPChannel.__init__, ("self", "server", "sock", "addr", "adj", "map"), CONNECTION),
    Relied(HTTPChannel.handle_close, ("self",), CONNECTION),
    Relied(HTTPChannel.readable, ("self",), TLS),
    Relied(HTTPChannel.writable, ("self",), TLS),
    Relied(HTTPChannel.handle_read, ("self",), TLS),
    Relied(HTTPChannel.handle_write, ("self",), TLS),
    Relied(HTTPChannel.recv, ("self", "buffer_size"), TLS),
    Relied(HTTPChannel.send, ("self", "data", "do_close"), TLS),
    Relied(HTTPRequestParser.__init__, ("self", "adj"), PARSER),
    Relied(HTTPRequestParser.parse_header, ("self", "header_plus"), PARSER),
    Relied(HTTPRequestParser.received, ("self", "data"), PARSER),
    Relied(Error.to_response, ("self", "ident"), "vpcrouter.api.request_parser.RefusedError"),
    Relied(TcpWSGIServer.accept, ("self",), SERVER),
    Relied(TcpWSGIServer.maintenance, ("self", "now"), SERVER),
    Relied(ThreadedTaskDispatcher.set_thread_count, ("self", "count"), SERVER),
)
def test_takes_what_we_give(relied: Relied) -> None:
    relied.check()


def test_the_server_is_made_of_what_we_give() -> None:
    found = Relied(TcpWSGIServer.__init__, (), SERVER)
    names = ("self", "application", "map", "_start", "_sock", "dispatcher", "adj", "sockinfo")
    found._replace(parameters=(*names, "bind_socket", "kw")).check()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


class Listener:
    """What a channel of theirs asks of its server."""

    def __init__(self) -> None:
        self.active_channels: dict[int, HTTPChannel] = {}
        self.tasks: list[HTTPChannel] = []

    def add_task(self, channel: HTTPChannel) -> None:
        self.tasks.append(channel)


def test_a_connection_tells_its_stage(pair: tuple[socket.socket, socket.socket]) -> None:
    server = Listener()
    channel = HTTPChannel(server, pair[0], ("client", 0), Adjustments(), map={})
    stage = ("request", "requests", "total_outbufs_len", "close_when_flushed", "connected")
    check_names(channel, (*stage, "parser_class", "socket"), CONNECTION)
    assert (channel.request, channel.requests) == (None, [])
    assert list(server.active_channels.values()) == [channel]
    pair[1].sendall(b"GET / HTTP/1.1\r\nHo")
    channel.handle_read()
    assert channel.request is not None, "a request of which only the head has begun is kept there"
    pair[1].sendall(b"st: a\r\n\r\n")
    channel.handle_read()
    assert channel.request is None
    assert len(channel.requests) == 1, "a whole request waits here until it is answered"
    assert server.tasks == [channel]
    channel.handle_close()
    assert not server.active_channels


def test_a_parser_tells_a_head_from_its_body() -> None:
    parser = HTTPRequestParser(Adjustments())
    assert not parser.headers_finished
    parser.received(b"POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\n")
    assert (parser.headers_finished, parser.completed) == (True, False)
    assert (parser.command, parser.path, parser.content_length) == ("POST", "/a", 3)
    assert (parser.chunked, parser.error, parser.expect_continue) == (False, None, False)
    assert parser.headers["HOST"] == "b"
    assert parser.received(b"abc") == 3
    assert parser.completed


def test_a_parser_keeps_the_authority_of_an_absolute_target() -> None:
    parser = HTTPRequestParser(Adjustments())
    parser.received(b"GET http://a:1/b HTTP/1.1\r\nHost: c\r\n\r\n")
    assert (parser.proxy_scheme, parser.proxy_netloc, parser.path) == ("http", "a:1", "/b")
    assert not parser.empty
    for target in ("/b", "//a/b", "*"):
        parser = HTTPRequestParser(Adjustments())
        parser.received(f"GET {target} HTTP/1.1\r\nHost: c\r\n\r\n".encode())
        assert not parser.proxy_scheme
    parser = HTTPRequestParser(Adjustments())
    parser.received(b"\r\n\r\n")
    assert (parser.empty, parser.headers_finished) == (True, True)


def test_a_parser_takes_our_errors_for_its_own() -> None:
    assert issubclass(ParsingError, Exception)
    parser = Parser(Adjustments(), lambda _: None)
    parser.received(b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n")
    status, headers, body = parser.error.to_response("vpcrouter")
    assert status.startswith("400 ")
    assert ("Content-Type", "text/plain; charset=utf-8") in headers
    assert isinstance(body, bytes)


def test_nothing_of_theirs_is_hidden_by_a_name_of_ours() -> None:
    """A new attribute of theirs that is called as one of ours would be taken for it."""
    for ours, theirs in (
        (Connection, HTTPChannel),
        (Parser, HTTPRequestParser),
        (Server, TcpWSGIServer),
    ):
        added = {name for name in vars(ours) if not name.startswith("__")} - OVERRIDDEN
        hidden = {name for name in added if hasattr(theirs, name)}
        assert not hidden, f"{ours} has {hidden} for something else than {theirs}: rename ours"
