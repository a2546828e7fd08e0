"""The HTTP API: what the daemon knows, as JSON and as pages; in a process of its own."""

import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, render_template, request
from waitress import wasyncore
from waitress.server import create_server

from vpcrouter import __version__
from vpcrouter.health import Health, merge
from vpcrouter.mailbox import Mailbox
from vpcrouter.messages import (
    MONITOR,
    WATCHER,
    HealthReport,
    RoutingReport,
    SpecReport,
    WorkersReport,
)
from vpcrouter.plugins import Values, Worker

TURN_S = 0.5
THREADS = 4
PAGES = {
    "/": "version, parameters and links",
    "/ips": "the hosts and their health",
    "/plugins": "the watcher and the monitors",
    "/route_info": "the route spec and where its routes point",
    "/route_spec": "the route spec in force",
    "/vpc": "what was read of the VPC",
    "/health": "whether the daemon can do its work",
}


class State:
    """What the workers last reported; each attribute is replaced as a whole, never changed."""

    def __init__(self, values: Values, started_at: float) -> None:
        self.values = values
        self.started_at = started_at
        self.spec = SpecReport(None)
        self.health: Mapping[str, HealthReport] = {}
        self.routing = RoutingReport("waiting for the reconciler", 0)
        self.workers = WorkersReport(())

    def merged_health(self) -> Health:
        hosts = self.routing.spec.hosts if self.routing.spec else ()
        return merge(self.health.values(), hosts, self.values["monitors"])


class Api(Worker):
    """Serves the API on the listening socket that the supervisor holds."""

    def run(self, mailbox: Mailbox) -> None:
        state = State(self.values, time.time())
        sockets: dict[int, Any] = {}
        server = create_server(
            make_app(state),
            map=sockets,
            sockets=[mailbox.listener],
            threads=THREADS,
            channel_timeout=30,
            ident="vpcrouter",
        )
        _WakeUp(mailbox, sockets)
        with contextlib.closing(server):
            while True:
                wasyncore.poll2(TURN_S, sockets)
                mailbox.wait(0)
                _hear(mailbox, state)


class _WakeUp(wasyncore.dispatcher):  # type: ignore[misc]
    """Turns the server's loop when a message comes; the mailbox itself reads it."""

    def __init__(self, mailbox: Mailbox, sockets: dict[int, Any]) -> None:
        super().__init__(map=sockets)
        self._fileno = mailbox.fileno()
        sockets[self._fileno] = self

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        pass


def _hear(mailbox: Mailbox, state: State) -> None:
    for report in mailbox.take_all(HealthReport):
        state.health = {**state.health, report.monitor: report}
    state.spec = mailbox.take(SpecReport) or state.spec
    state.routing = mailbox.take(RoutingReport) or state.routing
    state.workers = mailbox.take(WorkersReport) or state.workers


def make_app(state: State) -> Flask:
    """The WSGI application; reads `state`, changes nothing."""
    app = Flask(__name__)
    answers: dict[str, Callable[[State], tuple[Any, int]]] = {
        "/": _root,
        "/ips": _ips,
        "/plugins": _plugins,
        "/route_info": _route_info,
        "/route_spec": _route_spec,
        "/vpc": _vpc,
        "/health": _health,
    }

    def add(path: str, answer: Callable[[State], tuple[Any, int]]) -> None:
        app.add_url_rule(path, path, lambda: _respond(app, path, *answer(state)))

    for path, answer in answers.items():
        add(path, answer)
    app.register_error_handler(404, lambda _error: _respond(app, "", _not_found(), 404))
    return app


def _respond(app: Flask, path: str, content: Any, status: int) -> Response:
    """JSON where it is asked for, a page for a browser, indented JSON for everybody else."""
    kinds = ("application/json", "text/html")
    asked = request.headers.get("Accept", "*/*")
    kind = request.accept_mimetypes.best_match(kinds)
    if kind == "text/html" and "text/html" in asked:
        page = render_template("page.html", path=path, pages=PAGES, content=content)
        return Response(page, status, mimetype="text/html")
    compact = "application/json" in asked
    layout: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 4}
    text = app.json.dumps(content, sort_keys=False, **layout)
    return Response(text + "\n", status, mimetype="application/json")


def _not_found() -> dict[str, Any]:
    return {"error": f"there is no {request.path}", "_links": list(PAGES)}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _root(state: State) -> tuple[Any, int]:
    params = {name: state.values[name] for name in sorted(state.values["shown"])}
    return {
        "version": __version__,
        "start_time": _iso(state.values["started_at"]),
        "decided": state.routing.sentence,
        "params": params,
        "workers": {
            worker.name: {
                "role": worker.role,
                "state": worker.state,
                "pid": worker.pid,
                "generation": worker.generation,
                "started": _iso(worker.started_at),
                "last_exit": worker.last_exit,
            }
            for worker in state.workers.workers
        },
        "_links": [{"href": path, "title": title} for path, title in PAGES.items()],
    }, 200


def _ips(state: State) -> tuple[Any, int]:
    health = state.merged_health()
    hosts = state.routing.spec.hosts if state.routing.spec else ()
    return {
        "failed_ips": sorted(health.failed),
        "questionable_ips": sorted(health.questionable),
        "unknown_ips": [host for host in hosts if health.state(host) == "unknown"],
        "working_set": list(hosts),
    }, 200


def _plugins(state: State) -> tuple[Any, int]:
    def of(role: str) -> list[Mapping[str, Any]]:
        return [worker.info for worker in state.workers.workers if worker.role == role]

    return {"mode": of(WATCHER), "health": of(MONITOR)}, 200


def _route_info(state: State) -> tuple[Any, int]:
    routing = state.routing
    return {
        "route_spec": routing.spec.routes if routing.spec else None,
        "routes": routing.routes,
        "ignore_routes": list(state.values["ignore_routes"]),
        "problems": list(routing.problems),
        "refused_spec": list(state.spec.refused),
        "recent_changes": list(routing.recent),
    }, 200


def _route_spec(state: State) -> tuple[Any, int]:
    if state.routing.spec is None:
        return {"error": "there is no route spec yet", "refused": list(state.spec.refused)}, 404
    return state.routing.spec.routes, 200


def _vpc(state: State) -> tuple[Any, int]:
    return state.routing.vpc, 200


def _health(state: State) -> tuple[Any, int]:
    reasons = [
        f"{worker.name} is {worker.state}"
        for worker in state.workers.workers
        if worker.state not in ("RUNNING", "STARTING")
    ]
    if state.routing.spec is None:
        reasons.append("there is no route spec yet")
        reasons += [f"route spec refused: {fault}" for fault in state.spec.refused]
    if state.routing.trouble:
        reasons.append(state.routing.trouble)
    elif not state.routing.cycles:
        reasons.append(f"the first cycle is not done: {state.routing.sentence}")
    content = {
        "status": "unhealthy" if reasons else "healthy",
        "reasons": reasons,
        "problems": list(state.routing.problems),
        "refused_spec": list(state.spec.refused),
        "decided": state.routing.sentence,
    }
    return content, 503 if reasons else 200
