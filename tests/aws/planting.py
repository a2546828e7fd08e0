"""What only AWS itself, or a network outside, puts into EC2; tests ask for it by `/_control/`.

Each answers what the control is answered.  What it raises (LookupError, ValueError) says what is
wrong with what it was given.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from . import instances
from .interfaces import fill
from .route_tables import HISTORY, PropagatedRoute, table_of


def propagated_route(table_id: str, cidr: str) -> dict[str, Any]:
    """Plant a propagated route; answer its gateway's id."""
    table = table_of(table_id)
    route = PropagatedRoute(table, str(ip_network(cidr)))  # type: ignore[abstract]
    table._routes[route.id] = route
    HISTORY.record()
    return {"gateway_id": route.gateway_id}


def instance_status(instance_id: str, **shown: Any) -> dict[str, Any]:
    """Set what DescribeInstanceStatus shows; see `instances.set_status`."""
    instances.set_status(instance_id, **shown)
    return {}


def interfaces(subnet_id: str, count: int, **service: Any) -> dict[str, Any]:
    """Fill a subnet with a service's interfaces; see `interfaces.fill`."""
    return {"interface_ids": fill(subnet_id, count, **service)}
