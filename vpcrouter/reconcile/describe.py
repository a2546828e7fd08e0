"""Views, specs and changes as plain values, in the shape that the API shows."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.view import Route, View
from vpcrouter.routing.change import Change


def body(spec: RouteSpec | None, view: View, region: str) -> bytes:
    """The spec in force, where its routes point, and the VPC, as JSON.

    Serialized piece by piece, so that other threads can run even in a large VPC.
    """
    wanted = spec.routes if spec else {}
    members = {
        "spec": json.dumps(spec and wanted),
        "routes": _object((cidr, json.dumps(_one_route(cidr, view))) for cidr in wanted),
        "vpc": _object((name, _in_pieces(part)) for name, part in vpc(view, region).items()),
    }
    return _object(members.items()).encode()


def _in_pieces(part: Any) -> str:
    if not isinstance(part, dict):
        return json.dumps(part)
    return _object((name, json.dumps(each)) for name, each in part.items())


def _object(members: Iterable[tuple[str, str]]) -> str:
    """A JSON object from members that are already JSON."""
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members) + "}"


def _one_route(cidr: str, view: View) -> dict[str, Any]:
    tables = {
        table.id: _target(route, view)
        for table in view.managed_tables
        if (route := table.routes.get(cidr)) is not None
    }
    hosts = sorted({str(target["host"]) for target in tables.values() if target["host"]})
    missing = [table.id for table in view.managed_tables if table.id not in tables]
    return {"hosts": hosts, "tables": tables, "missing_in": missing}


def _target(route: Route, view: View) -> dict[str, Any]:
    interface = view.interfaces.get(route.interface or "")
    return {
        "host": interface.addresses[0] if interface and interface.addresses else None,
        "interface": route.interface,
        "instance": interface.instance if interface else route.instance,
        "target": route.target,
        "state": "active" if route.is_active else "blackhole",
    }


def vpc(view: View, region: str) -> dict[str, Any]:
    """The VPC as it was read."""
    return {
        "id": view.vpc,
        "region": region,
        "zones": sorted({subnet.zone for subnet in view.subnets.values()}),
        "route_tables": {
            table.id: {
                "main": table.is_main,
                "subnets": list(table.subnets),
                "gateway": table.gateway or None,
                "routes": {cidr: route.target for cidr, route in table.routes.items()},
            }
            for table in view.tables
        },
        "subnets": {
            subnet.id: {"cidr": subnet.cidr, "zone": subnet.zone}
            for subnet in view.subnets.values()
        },
        "interfaces_shown": "all" if view.scope is None else "those of hosts and routes",
        "interfaces": {
            interface.id: {
                "addresses": list(interface.addresses),
                "instance": interface.instance,
                "subnet": interface.subnet,
                "zone": interface.zone,
                "prefixes": list(interface.prefixes),
            }
            for interface in view.interfaces.values()
            if interface.is_instances
        },
    }


def change(made: Change, times_s: Mapping[str, float]) -> dict[str, Any]:
    """A change that was made; `times_s` are monotonic seconds of its stages."""
    offset_s = time.time() - time.monotonic()
    return {
        "cidr": made.cidr,
        "table": made.table,
        "action": str(made.action),
        "from": made.was_host or made.was,
        "to": made.host,
        "interface": made.interface,
        "at": {stage: round(at_s + offset_s, 4) for stage, at_s in times_s.items()},
    }
