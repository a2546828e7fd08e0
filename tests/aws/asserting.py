"""What the tests of the embedded EC2 assert with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .network import Network

HOSTS = ("127.0.1.10", "127.0.2.10", "127.0.3.10")
A, B, C = HOSTS
CIDR = "10.0.0.0/8"


def refused(code: str, call: Callable[..., Any], **params: Any) -> str:
    """Check that EC2 refuses the call with `code`; answer its message."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return str(caught.value.response["Error"]["Message"])


def routes_of(net: Network, table: str) -> list[dict[str, Any]]:
    answer = net.client.describe_route_tables(RouteTableIds=[table])
    return [dict(route) for route in answer["RouteTables"][0]["Routes"]]


def route_to(net: Network, table: str, cidr: str = CIDR) -> dict[str, Any]:
    [route] = [r for r in routes_of(net, table) if r.get("DestinationCidrBlock") == cidr]
    return route
