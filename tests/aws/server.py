"""An EC2 on loopback: `python -m tests.aws.server [--port 0]`.

Runs in the foreground, prints `listening http://127.0.0.1:PORT` once it accepts connections, and
ends on SIGTERM, SIGINT, or the death of the thread that started it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import struct
import sys
import threading
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from . import corrections
from .answers import ResetError
from .front import FaultyEc2

HOST = "127.0.0.1"
REGION = "us-east-1"
ENDING = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG = 1
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""socket(7), SO_LINGER: close() at once, and what is unsent is discarded."""


class Handler(MotoRequestHandler):
    """Keep-alive, no Nagle, no request log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, *_: Any, **__: Any) -> None:
        pass

    def connection_dropped(self, error: BaseException, _environ: Any = None) -> None:
        """The client has gone, or is to be left without an answer (`NoAnswerError`)."""
        self.close_connection = True
        if isinstance(error, ResetError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            os.close(self.connection.detach())


def build_server(port: int) -> BaseWSGIServer:
    """Correct moto and bind to `port` of loopback; 0: any free one."""
    corrections.install()
    corrections.warm_up(DEFAULT_ACCOUNT_ID, REGION)
    app = FaultyEc2(DomainDispatcherApplication(create_backend_app))
    return make_server(HOST, port, app, threaded=True, request_handler=Handler)


def die_with_parent() -> None:
    """Be killed when the parent ends, or end now if it has."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent is gone")


def main() -> None:
    """Serve until told to end."""
    die_with_parent()
    # Blocked before any thread starts, so that sigwait alone takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    parser = argparse.ArgumentParser(description="EC2 on loopback, with faults on demand")
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    server = build_server(parser.parse_args().port)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    sys.stdout.write(f"listening http://{HOST}:{server.server_port}\n")
    sys.stdout.flush()
    signal.sigwait(ENDING)
    server.shutdown()
    server.server_close()
    # Nothing is left to do, and taking moto's thousands of objects down takes seconds.
    os._exit(0)


if __name__ == "__main__":
    main()
