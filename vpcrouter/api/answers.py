"""The API's responses: the state of the daemon as plain values, and how it is rendered."""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, current_app, render_template, request

from vpcrouter import __version__
from vpcrouter.health.damping import damped_hosts
from vpcrouter.health.isolation import isolation_reasons
from vpcrouter.logs import setup as logs
from vpcrouter.logs.redact import redact
from vpcrouter.model.host_state import Health, merge
from vpcrouter.model.messages import (
    MONITOR,
    WATCHER,
    DampingReport,
    HealthReport,
    RoutingReport,
    SpecReport,
    ViewReport,
    WorkersReport,
)
from vpcrouter.model.spec import RouteSpec
from vpcrouter.options.groups import ApiSettings

PAGE = "page.html"
SUPERVISOR_SILENT_S = 4.0
"""The supervisor reports every second. The clock of these times stands still while the machine is
suspended (CLOCK_MONOTONIC in clock_gettime(2))."""


@dataclass
class ApiState:
    """The workers' latest reports; each field is replaced as a whole, never modified."""

    settings: ApiSettings
    spec: SpecReport = field(default_factory=lambda: SpecReport(None))
    health: Mapping[str, HealthReport] = field(default_factory=dict)
    routing: RoutingReport = field(
        default_factory=lambda: RoutingReport("waiting for the reconciler", 0)
    )
    view: ViewReport = field(default_factory=ViewReport)
    workers: WorkersReport = field(default_factory=lambda: WorkersReport(()))
    damping: DampingReport = field(default_factory=DampingReport)
    supervisor_turned_at: float = field(default_factory=time.monotonic)

    @property
    def seen(self) -> Mapping[str, Any]:
        """The body that `describe.body` wrote."""
        found: Mapping[str, Any] = json.loads(self.view.body)
        return found

    @property
    def spec_in_force(self) -> RouteSpec | None:
        if self.spec.spec is not None:
            return self.spec.spec
        routes = self.seen.get("spec")
        return RouteSpec({c: tuple(hosts) for c, hosts in routes.items()}) if routes else None

    @property
    def hosts(self) -> tuple[str, ...]:
        spec = self.spec_in_force
        return spec.hosts if spec else ()

    def merged_health(self) -> Health:
        return merge(self.health.values(), self.hosts, self.settings.monitors)

    def damped(self) -> Mapping[str, str]:
        """The hosts of the spec that are damped, and until when."""
        flaps, offset_s = self.damping.flaps, time.time() - time.monotonic()
        damped = damped_hosts(flaps, time.monotonic()) & set(self.hosts)
        return {host: _iso(flaps[host].until_s + offset_s) for host in sorted(damped)}


PageAnswer = tuple[Any, int]
"""Plain values and an HTTP status."""


def root(state: ApiState) -> PageAnswer:
    return {
        "version": __version__,
        "start_time": _iso(state.settings.started_at),
        "decided": state.routing.sentence,
        "params": dict(sorted(state.settings.params.items())),
        "workers": {
            worker.name: {
                "role": worker.role,
                "state": worker.state,
                "pid": worker.pid,
                "generation": worker.generation,
                "started": _iso(worker.started_at),
                "last_exit": worker.last_exit,
                "invalid_messages": worker.refused,
            }
            for worker in state.workers.workers
        },
        "_links": [{"href": path, "title": title} for path, (title, _) in PAGES.items()],
    }, 200


def ips(state: ApiState) -> PageAnswer:
    health = state.merged_health()
    return {
        "failed_ips": sorted(health.failed),
        "questionable_ips": sorted(health.questionable),
        "unknown_ips": [host for host in state.hosts if health.state(host) == "unknown"],
        "damped_ips": state.damped(),
        "working_set": list(state.hosts),
    }, 200


def plugins(state: ApiState) -> PageAnswer:
    def of(role: str) -> list[Mapping[str, Any]]:
        return [worker.info for worker in state.workers.workers if worker.role == role]

    mode = of(WATCHER) or [{"name": state.settings.mode, "version": "1", "params": {}}]
    return {"mode": mode, "health": of(MONITOR)}, 200


def route_info(state: ApiState) -> PageAnswer:
    routing, spec = state.routing, state.spec_in_force
    return {
        "route_spec": spec.routes if spec else None,
        "routes": state.seen.get("routes", {}),
        "ignore_routes": list(state.settings.ignore_routes),
        "problems": list(routing.problems),
        "pending": {"changes": routing.pending, "expected_s": round(routing.expected_s, 1)},
        "refused_spec": list(state.spec.refused),
        "recent_changes": list(routing.recent),
    }, 200


def route_spec(state: ApiState) -> PageAnswer:
    spec = state.spec_in_force
    if spec is None:
        return {"error": "no route spec received yet", "refused": list(state.spec.refused)}, 404
    return spec.routes, 200


def vpc(state: ApiState) -> PageAnswer:
    return state.seen.get("vpc", {}), 200


def health(state: ApiState) -> PageAnswer:
    reasons = []
    if (silent_s := time.monotonic() - state.supervisor_turned_at) > SUPERVISOR_SILENT_S:
        reasons.append(f"supervisor has not reported for {silent_s:.0f} s: nothing is supervised")
    reasons += [
        f"{worker.name} is {worker.state}"
        for worker in state.workers.workers
        if worker.state not in ("RUNNING", "STARTING")
    ]
    in_use = [report for name in state.settings.monitors if (report := state.health.get(name))]
    reasons += [f"monitor is isolated: {why}" for why in isolation_reasons(in_use)]
    reasons += [f"monitor is unreliable: {its.monitor}: {its.doubt}" for its in in_use if its.doubt]
    if state.spec_in_force is None:
        reasons.append("no route spec received yet")
        reasons += [f"route spec refused: {fault}" for fault in state.spec.refused]
    if state.routing.trouble:
        reasons.append(state.routing.trouble)
    elif not state.routing.cycles:
        reasons.append(f"first cycle not complete: {state.routing.sentence}")
    return {
        "status": "unhealthy" if reasons else "healthy",
        "reasons": reasons,
        "problems": [*state.routing.problems, *logs.problems()],
        "refused_spec": list(state.spec.refused),
        "damped_ips": state.damped(),
        "decided": state.routing.sentence,
    }, 503 if reasons else 200


def not_found(_state: ApiState) -> PageAnswer:
    return {"error": f"not found: {request.path}", "_links": list(PAGES)}, 404


PAGES: Mapping[str, tuple[str, Callable[[ApiState], PageAnswer]]] = {
    "/": ("version, parameters and links", root),
    "/ips": ("hosts and their health", ips),
    "/plugins": ("watcher and monitors", plugins),
    "/route_info": ("route spec and current routes", route_info),
    "/route_spec": ("route spec in force", route_spec),
    "/vpc": ("VPC as last read from EC2", vpc),
    "/health": ("health of the daemon", health),
}


def respond(content: Any, status: int) -> Response:
    """JSON if requested, HTML for a browser, indented JSON for all others."""
    asked = request.headers.get("Accept", "*/*")
    kind = request.accept_mimetypes.best_match(("application/json", "text/html"))
    if kind == "text/html" and "text/html" in asked:
        titles = {path: title for path, (title, _) in PAGES.items()}
        page = render_template(PAGE, path=request.path, titles=titles, content=content)
        return Response(redact(page), status, mimetype="text/html")
    is_compact = "application/json" in asked
    layout: dict[str, Any] = {"separators": (",", ":")} if is_compact else {"indent": 4}
    text = current_app.json.dumps(content, sort_keys=False, **layout)
    return Response(redact(text) + "\n", status, mimetype="application/json")


def protect(response: Response, style: str) -> Response:
    """Set the security headers; `style` is the hash of the pages' style sheet."""
    response.headers.update(
        {
            "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
            f"frame-ancestors 'none'; style-src '{style}'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
    )
    return response


def style_hash(app: Flask) -> str:
    """The hash of the pages' style sheet, for the Content-Security-Policy."""
    loader = app.jinja_env.loader
    source = loader.get_source(app.jinja_env, PAGE)[0] if loader else ""
    style = source.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"sha256-{digest}"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
