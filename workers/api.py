"""The HTTP API, in a process of its own: shows the state, and takes route specs in mode http."""

import contextlib
import os
import threading
from typing import Any

from flask import Flask, Response, request
from waitress import wasyncore
from waitress.server import create_server

from vpcrouter import log as logs
from vpcrouter.errors import SpecError
from vpcrouter.mailbox import Mailbox
from vpcrouter.messages import HealthReport, RoutingReport, SpecReport, WorkersReport
from vpcrouter.pages import PAGES, State, not_found, respond
from vpcrouter.plugins import Values, Worker
from vpcrouter.spec import MAX_SPEC_BYTES, RouteSpec, parse_spec
from vpcrouter.store import SpecStore

TURN_S = 0.5
THREADS = 4
MODE = "http"

log = logs.get(__name__)


class Api(Worker):
    """Serves on the listening socket that the supervisor holds."""

    def run(self, mailbox: Mailbox) -> None:
        state = State(self.values)
        sockets: dict[int, Any] = {}
        intake = Intake(state, self.values) if self.values["mode"] == MODE else None
        server = create_server(
            make_app(state, intake),
            map=sockets,
            sockets=[mailbox.listener],
            threads=THREADS,
            channel_timeout=30,
            max_request_body_size=MAX_SPEC_BYTES + 1,
            ident="vpcrouter",
        )
        _WakeUp(mailbox.fileno(), sockets)
        if intake is not None:
            _WakeUp(intake.fileno(), sockets)
        with contextlib.closing(server):
            while True:
                if intake is not None and (report := intake.take()) is not None:
                    mailbox.post(report)
                wasyncore.poll2(TURN_S, sockets)
                mailbox.wait(0)
                _hear(mailbox, state, has_watcher=intake is None)


class _WakeUp(wasyncore.dispatcher):  # type: ignore[misc]
    """Turns the server's loop when a descriptor is readable; others read it."""

    def __init__(self, fd: int, sockets: dict[int, Any]) -> None:
        super().__init__(map=sockets)
        self._fileno = fd
        sockets[fd] = self

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        pass


def _hear(mailbox: Mailbox, state: State, *, has_watcher: bool) -> None:
    for report in mailbox.take_all(HealthReport):
        state.health = {**state.health, report.monitor: report}
    spec = mailbox.take(SpecReport)
    if spec is not None and has_watcher:
        state.spec = spec
    state.routing = mailbox.take(RoutingReport) or state.routing
    state.workers = mailbox.take(WorkersReport) or state.workers


class Intake:
    """Takes posted route specs: on disk first, then said to be in force. Any thread may post."""

    def __init__(self, state: State, values: Values) -> None:
        self._state = state
        self._store = SpecStore(values["state_dir"], {"vpc": values["vpc"], "mode": MODE})
        self._lock = threading.Lock()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._news: SpecReport | None = None
        if (saved := self._store.load()) is not None:
            log.info("the last accepted route spec is used", file=str(self._store.path))
            self._announce(saved)

    def fileno(self) -> int:
        """Readable when `take` has something."""
        return self._fd

    def take(self) -> SpecReport | None:
        """The newest spec not yet taken."""
        with self._lock:
            news, self._news = self._news, None
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._fd)
            return news

    def post(self, body: bytes) -> None:
        """Accept a spec. Raises SpecError for a bad one, OSError when it cannot be kept."""
        spec = parse_spec(body)
        with self._lock:
            self._store.save(spec)
            self._announce(spec)

    def _announce(self, spec: RouteSpec) -> None:
        self._news = self._state.spec = SpecReport(spec)
        os.eventfd_write(self._fd, 1)


def make_app(state: State, intake: Intake | None) -> Flask:
    """The WSGI application; without `intake` it changes nothing."""
    app = Flask(__name__)

    def add(path: str) -> None:
        _, answer = PAGES[path]
        app.add_url_rule(path, path, lambda: respond(*answer(state)), methods=["GET"])

    for path in PAGES:
        add(path)
    app.add_url_rule("/route_spec", "post", lambda: _take(intake), methods=["POST"])
    app.register_error_handler(404, lambda _error: respond(*not_found(state)))
    return app


def _take(intake: Intake | None) -> Response:
    if intake is None:
        return respond({"error": "route specs are taken by POST in mode http only"}, 405)
    if request.mimetype != "application/json":
        return respond({"error": "the content type must be application/json"}, 415)
    try:
        intake.post(request.get_data())
    except SpecError as error:
        log.warning("posted route spec refused", faults="; ".join(error.faults))
        return respond({"error": "the route spec is refused", "faults": list(error.faults)}, 400)
    except OSError as error:
        log.error("posted route spec cannot be kept", reason=error.strerror)
        return respond({"error": f"the route spec cannot be kept: {error.strerror}"}, 507)
    return Response("Ok\n", 200, mimetype="text/plain")
