"""The HTTP API, in its own process: shows the state, and accepts route specs in mode http."""

import contextlib
import threading
import time
from typing import Any

from flask import Flask, Response, request
from waitress import wasyncore
from werkzeug.exceptions import HTTPException

from vpcrouter.api.access import Gate
from vpcrouter.api.answers import PAGES, ApiState, not_found, protect, respond, style_hash
from vpcrouter.api.server import Server
from vpcrouter.api.server_tls import ServerTls
from vpcrouter.errors import ConfigError, PluginError, SpecError
from vpcrouter.ipc.mailbox import Mailbox, StopWorker, WorkerMailbox
from vpcrouter.linux.wake import WakeFd
from vpcrouter.logs import setup as logs
from vpcrouter.model.messages import (
    DampingReport,
    HealthReport,
    RoutingReport,
    SpecReport,
    TurnReport,
    ViewReport,
    WorkersReport,
)
from vpcrouter.model.spec import MAX_SPEC_BYTES, RouteSpec, parse_spec
from vpcrouter.options.groups import AccessSettings, ApiSettings
from vpcrouter.plugins.contract import Worker
from vpcrouter.plugins.spec_store import SpecStore

TURN_S = 0.5
DRAIN_S = 1.0
"""How long requests in progress may take to finish once the worker is stopping."""
RENEW_S = 5.0
"""How often the token and TLS files are checked for changes."""
SAVE_PATIENCE_S = 5.0
MODE = "http"
SPEC_PATH = "/route_spec"
HEALTH_PATH = "/health"

log = logs.get(__name__)


class Api(Worker):
    """Serves on the listening socket that the supervisor holds."""

    def __init__(self, settings: ApiSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def run(self, mailbox: WorkerMailbox) -> None:
        if mailbox.listener is None:
            raise PluginError("the api worker has no listening socket")
        state = ApiState(self._settings)
        sockets: dict[int, Any] = {}
        intake = Intake(state, self._settings) if self._settings.mode == MODE else None
        keys = Keys(self._settings.access, mailbox.listener.getsockname()[0])
        app = make_app(state, intake, keys.gate)
        writes_to = {} if intake is None else {SPEC_PATH: MAX_SPEC_BYTES}
        server = Server(app, mailbox.listener, sockets, keys.gate, writes_to, keys.tls)
        wake_ups = [_WakeUp(mailbox.fileno(), sockets)]
        if intake is not None:
            wake_ups.append(_WakeUp(intake.fileno(), sockets))
        with contextlib.closing(server):
            try:
                while True:
                    _pass_on(intake, mailbox)
                    server.turn(TURN_S)
                    keys.renew()
                    mailbox.wait(0)
                    _hear(mailbox, state, has_watcher=intake is None)
            except StopWorker:
                for wake_up in wake_ups:
                    wake_up.del_channel()
                server.drain(DRAIN_S)
                _pass_on(intake, mailbox)
                raise


class Keys:
    """The token and the certificate, reloaded when their files change."""

    def __init__(self, settings: AccessSettings, bound: str) -> None:
        """`bound` is the socket's actual address. Raises ConfigError."""
        self.gate = Gate(settings, bound)
        self.tls: ServerTls | None = None
        cert, key = settings.api_tls_cert, settings.api_tls_key
        if cert is not None and key is not None:
            try:
                self.tls = ServerTls(cert, key)
            except ValueError as error:
                raise ConfigError([str(error)]) from None
        elif not self.gate.is_local:
            log.warning("API token is sent unencrypted; set api_tls_cert and api_tls_key")
        self._renew_s = time.monotonic() + RENEW_S

    def renew(self) -> None:
        """Check the files for changes every `RENEW_S`."""
        if time.monotonic() < self._renew_s:
            return
        self._renew_s = time.monotonic() + RENEW_S
        if self.tls is not None:
            self.tls.renew()
        try:
            if self.gate.renew():
                log.info("API token reloaded")
        except ValueError as error:
            log.error("new API token file rejected; keeping the old token", why=str(error))


class _WakeUp(wasyncore.dispatcher):  # type: ignore[misc]
    """Wakes the server's loop when a descriptor is readable; it is read elsewhere."""

    def __init__(self, fd: int, sockets: dict[int, Any]) -> None:
        super().__init__(map=sockets)
        self._fileno = fd
        sockets[fd] = self

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        pass


def _pass_on(intake: "Intake | None", mailbox: Mailbox) -> None:
    if intake is not None and (report := intake.take()) is not None:
        mailbox.post(report)


def _hear(mailbox: WorkerMailbox, state: ApiState, *, has_watcher: bool) -> None:
    for report in mailbox.take_all(HealthReport):
        state.health = {**state.health, report.monitor: report}
    spec = mailbox.take(SpecReport)
    if spec is not None and has_watcher:
        state.spec = spec
    state.routing = mailbox.take(RoutingReport) or state.routing
    state.damping = mailbox.take(DampingReport) or state.damping
    state.view = mailbox.take(ViewReport) or state.view
    state.workers = mailbox.take(WorkersReport) or state.workers
    if (turn := mailbox.take(TurnReport)) is not None:
        state.supervisor_turned_at = turn.turned_at


class Intake:
    """Accepts posted route specs: saved to disk first, then announced. Any thread may post."""

    def __init__(self, state: ApiState, settings: ApiSettings) -> None:
        self._state = state
        self._store = SpecStore(settings.state_dir, {"vpc": settings.vpc, "mode": MODE})
        self._saving = threading.Lock()
        """Held during the write to disk; the work loop never waits for it."""
        self._lock = threading.Lock()
        self._wake = WakeFd()
        self._news: SpecReport | None = None
        if (saved := self._store.load()) is not None:
            log.info("the last accepted route spec is used", file=str(self._store.path))
            self._announce(saved)

    def fileno(self) -> int:
        """Readable when `take` has a spec."""
        return self._wake.fileno()

    def take(self) -> SpecReport | None:
        """The newest spec not yet taken, or None."""
        with self._lock:
            news, self._news = self._news, None
            self._wake.clear()
            return news

    def post(self, body: bytes) -> None:
        """Accept a spec. Raises SpecError if it is invalid, OSError if it cannot be saved."""
        spec = parse_spec(body)
        if not self._saving.acquire(timeout=SAVE_PATIENCE_S):
            raise TimeoutError(0, "the previous one is still being written to disk")
        try:
            self._store.save(spec)
            self._announce(spec)
        finally:
            self._saving.release()

    def _announce(self, spec: RouteSpec) -> None:
        with self._lock:
            self._news = self._state.spec = SpecReport(spec)
            self._wake.wake()


def make_app(state: ApiState, intake: Intake | None, gate: Gate) -> Flask:
    """The WSGI application; without `intake` it is read-only."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_SPEC_BYTES
    app.url_map.merge_slashes = False  # it would redirect
    style = style_hash(app)

    def add(path: str) -> None:
        _, answer = PAGES[path]
        app.add_url_rule(path, path, lambda: respond(*answer(state)), methods=["GET"])

    for path in PAGES.keys() - {HEALTH_PATH}:
        add(path)
    app.add_url_rule(HEALTH_PATH, HEALTH_PATH, lambda: _health(state, gate), methods=["GET"])
    app.add_url_rule(SPEC_PATH, "post", lambda: _take(intake), methods=["POST"])
    app.before_request(lambda: _refuse(gate))
    app.after_request(lambda response: protect(response, style))
    app.register_error_handler(404, lambda _error: respond(*not_found(state)))
    app.register_error_handler(HTTPException, _tell)
    app.register_error_handler(Exception, _fail)
    return app


def _authorization() -> str:
    return request.headers.get("Authorization", "")


def _refuse(gate: Gate) -> Response | None:
    head = {
        "host": request.headers.get("Host", ""),
        "origin": request.headers.get("Origin", ""),
        "authorization": _authorization(),
    }
    refusal = gate.refusal(request.method, request.path, head)
    if refusal is None:
        return None
    response = respond({"error": refusal.sentence}, refusal.status)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _tell(error: HTTPException) -> Response:
    """Errors raised by Flask and Werkzeug themselves, such as 405 Method Not Allowed."""
    response = respond({"error": error.description or error.name}, error.code or 500)
    if (allowed := getattr(error, "valid_methods", None)) is not None:
        response.headers["Allow"] = ", ".join(allowed)
    return response


def _fail(_error: Exception) -> Response:
    log.exception("unhandled exception in API request", path=request.path)
    return respond({"error": "internal error; see the log"}, 500)


def _health(state: ApiState, gate: Gate) -> Response:
    content, status = PAGES[HEALTH_PATH][1](state)
    if not gate.may_see_all(_authorization()):
        content = {"status": content["status"]}
    return respond(content, status)


def _take(intake: Intake | None) -> Response:
    if intake is None:
        return respond({"error": "route specs can be posted in mode http only"}, 405)
    if request.mimetype != "application/json":
        return respond({"error": "Content-Type must be application/json"}, 415)
    try:
        intake.post(request.get_data())
    except SpecError as error:
        log.warning("posted route spec refused", faults="; ".join(error.faults))
        return respond({"error": "route spec refused", "faults": list(error.faults)}, 400)
    except OSError as error:
        log.error("could not save posted route spec", reason=error.strerror)
        return respond({"error": f"could not save the route spec: {error.strerror}"}, 507)
    return Response("Ok\n", 200, mimetype="text/plain")
