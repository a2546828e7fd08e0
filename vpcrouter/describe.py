"""Views, specs and changes as plain values, in the shape that the API shows."""

import time
from collections.abc import Mapping
from typing import Any

from vpcrouter.plan import Change
from vpcrouter.spec import RouteSpec
from vpcrouter.view import Route, View


def routes(spec: RouteSpec, view: View) -> dict[str, dict[str, Any]]:
    """For each CIDR of the spec: where it points, in each route table."""
    return {cidr: _one_route(cidr, view) for cidr in spec.routes}


def _one_route(cidr: str, view: View) -> dict[str, Any]:
    tables = {
        table.id: _target(route, view)
        for table in view.tables
        if (route := table.routes.get(cidr)) is not None
    }
    hosts = sorted({str(target["host"]) for target in tables.values() if target["host"]})
    missing = [table.id for table in view.tables if table.id not in tables]
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
                "routes": {cidr: route.target for cidr, route in table.routes.items()},
            }
            for table in view.tables
        },
        "subnets": {
            subnet.id: {"cidr": subnet.cidr, "zone": subnet.zone}
            for subnet in view.subnets.values()
        },
        "interfaces": {
            interface.id: {
                "addresses": list(interface.addresses),
                "instance": interface.instance,
                "subnet": interface.subnet,
                "zone": interface.zone,
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
