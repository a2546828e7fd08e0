"""xmlrpc.server and socketserver: what `vpcrouter.control.http` overrides of them."""

import inspect
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

from tests.unit.contracts.relied_on import Relied, check_names, each

SERVER = "vpcrouter.control.http.ControlServer"
HANDLER = "vpcrouter.control.http.Handler"


@each(
    Relied(SimpleXMLRPCDispatcher._dispatch, ("self", "method", "params"), SERVER),
    Relied(ThreadingMixIn.process_request, ("self", "request", "client_address"), SERVER),
    Relied(UnixStreamServer.shutdown_request, ("self", "request"), SERVER),
    Relied(UnixStreamServer.handle_error, ("self", "request", "client_address"), SERVER),
    Relied(SimpleXMLRPCRequestHandler.do_POST, ("self",), HANDLER),
    Relied(BaseHTTPRequestHandler.address_string, ("self",), HANDLER),
    Relied(BaseHTTPRequestHandler.end_headers, ("self",), HANDLER),
    Relied(BaseHTTPRequestHandler.log_message, ("self", "format", "args"), HANDLER),
)
def test_takes_what_we_give(relied: Relied) -> None:
    relied.check()


def test_has_the_names_that_we_use() -> None:
    check_names(ThreadingMixIn, ("daemon_threads", "block_on_close"), SERVER)
    names = ("rpc_paths", "disable_nagle_algorithm", "protocol_version", "timeout")
    check_names(SimpleXMLRPCRequestHandler, names, HANDLER)


def test_a_call_comes_to_the_dispatcher_that_we_override() -> None:
    source = inspect.getsource(SimpleXMLRPCRequestHandler.do_POST)
    assert "self.server._marshaled_dispatch(" in source
    assert "self._dispatch(" in inspect.getsource(SimpleXMLRPCDispatcher._marshaled_dispatch)
