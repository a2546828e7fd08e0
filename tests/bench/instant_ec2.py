"""An EC2 that answers at once, for what is too large or too quick for moto.

It knows three describe calls and three changes, answers nothing else, and notes when each call
arrived. A token bucket for each mutating action and a time that every change takes may be had.
"""

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from tests.aws.faults import Bucket
from tests.bench.large import SUBNET, VPC, ZONE, World

ITEM = (
    "<item><destinationCidrBlock>{}</destinationCidrBlock>"
    "<networkInterfaceId>{}</networkInterfaceId><instanceId>i-{}</instanceId>"
    "<instanceOwnerId>1</instanceOwnerId><state>active</state><origin>CreateRoute</origin></item>"
)
INTERFACE = (
    "<item><networkInterfaceId>{0}</networkInterfaceId><subnetId>{1}</subnetId>"
    "<vpcId>{2}</vpcId><availabilityZone>{3}</availabilityZone><status>in-use</status>"
    "<privateIpAddress>{4}</privateIpAddress><sourceDestCheck>false</sourceDestCheck>"
    "<attachment><instanceId>i-{5}</instanceId><status>attached</status></attachment>"
    "<privateIpAddressesSet><item><privateIpAddress>{4}</privateIpAddress>"
    "<primary>true</primary></item></privateIpAddressesSet></item>"
)
SUBNETS = (
    f"<subnetSet><item><subnetId>{SUBNET}</subnetId><cidrBlock>10.0.0.0/8</cidrBlock>"
    f"<availabilityZone>{ZONE}</availabilityZone></item></subnetSet>"
)


@dataclass(frozen=True, slots=True)
class Call:
    """A call: when its first line had been read and when it was answered, monotonic."""

    action: str
    params: dict[str, str]
    arrived_s: float
    answered_s: float
    is_accepted: bool


@dataclass
class InstantEc2:
    """The state; calls are answered one at a time, but for the waiting."""

    world: World
    has_routes: bool = True
    change_s: float = 0.0
    bucket: tuple[float, float] | None = None
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, Bucket] = {}
        targets = self.world.targets if self.has_routes else {}
        self.tables = {name: dict(targets) for name in self.world.table_ids}
        self._rendered: dict[str, str] = {}

    def answer(self, action: str, params: dict[str, str]) -> tuple[int, str]:
        if action == "DescribeSubnets":
            return 200, SUBNETS
        size = int(params.get("MaxResults", 1000))
        start = int(params.get("NextToken", 0))
        if action == "DescribeRouteTables":
            named = [value for name, value in params.items() if name.startswith("RouteTableId")]
            names = named or list(self.tables)
            with self._lock:
                items = "".join(self._table(name) for name in names[start : start + size])
            return 200, _page("routeTableSet", items, start + size, len(names))
        if action == "DescribeNetworkInterfaces":
            items = "".join(self._interfaces[start : start + size])
            return 200, _page("networkInterfaceSet", items, start + size, len(self._interfaces))
        return self._change(action, params)

    def _change(self, action: str, params: dict[str, str]) -> tuple[int, str]:
        with self._lock:
            if self.bucket is not None:
                bucket = self._buckets.setdefault(action, Bucket(*self.bucket))
                if not bucket.take():
                    return 503, "RequestLimitExceeded"
        time.sleep(self.change_s)
        with self._lock:
            routes = self.tables[params["RouteTableId"]]
            self._rendered.pop(params["RouteTableId"], None)
            cidr = params["DestinationCidrBlock"]
            if action == "ReplaceRoute" and cidr not in routes:
                return 400, "InvalidRoute.NotFound"
            if action == "DeleteRoute":
                del routes[cidr]
            else:
                routes[cidr] = params["NetworkInterfaceId"]
        return 200, "<return>true</return>"

    def _table(self, name: str) -> str:
        if name not in self._rendered:
            routes = "".join(ITEM.format(cidr, t, t[4:]) for cidr, t in self.tables[name].items())
            self._rendered[name] = (
                f"<item><routeTableId>{name}</routeTableId><vpcId>{VPC}</vpcId>"
                f"<routeSet>{routes}</routeSet><associationSet/></item>"
            )
        return self._rendered[name]

    @cached_property
    def _interfaces(self) -> list[str]:
        return [
            INTERFACE.format(eni, SUBNET, VPC, ZONE, host, eni[4:])
            for host, eni in self.world.interfaces.items()
        ]

    def restore(self) -> None:
        """All routes as they were at first."""
        with self._lock:
            for name in self.tables:
                self.tables[name] = dict(self.world.targets)
            self._rendered.clear()

    def actions_since(self, since_s: float) -> list[str]:
        return [call.action for call in list(self.calls) if call.arrived_s >= since_s]

    def changes_since(self, since_s: float) -> list[Call]:
        """The accepted ones, by their arrival."""
        found = [call for call in list(self.calls) if call.arrived_s >= since_s]
        changes = [c for c in found if not c.action.startswith("Describe") and c.is_accepted]
        return sorted(changes, key=lambda call: call.arrived_s)


def _page(tag: str, items: str, end: int, count: int) -> str:
    token = f"<nextToken>{end}</nextToken>" if end < count else ""
    return f"<{tag}>{items}</{tag}>{token}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    ec2: InstantEc2

    def parse_request(self) -> bool:
        self._arrived_s = time.monotonic()
        return super().parse_request()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        params = dict(parse_qsl(body))
        action = params.pop("Action")
        status, content = self.ec2.answer(action, params)
        if status == 200:
            text = f'<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            text += f"{content}</{action}Response>"
        else:
            text = f"<Response><Errors><Error><Code>{content}</Code><Message>no</Message></Error>"
            text += "</Errors><RequestID>0</RequestID></Response>"
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        call = Call(action, params, self._arrived_s, time.monotonic(), status == 200)
        self.ec2.calls.append(call)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(ec2: InstantEc2) -> Iterator[dict[str, str]]:
    """Serve on loopback; yields the environment that makes boto3 use it."""
    handler = type("_Bound", (_Handler,), {"ec2": ec2})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": re.sub("[a-z]$", "", ZONE),
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }
    finally:
        server.shutdown()
        server.server_close()
