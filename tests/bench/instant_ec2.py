"""An EC2 that answers at once, for what is too large or too quick for moto.

It knows three describe calls and three changes, answers nothing else, and notes when each call
arrived. A token bucket for each mutating action and a time that every change takes may be had.
"""

import contextlib
import gc
import json
import multiprocessing
import sys
import threading
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl

from tests.aws.buckets import Bucket
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


class Call(NamedTuple):
    """A call: when its first line had been read and when it was answered, monotonic."""

    action: str
    table: str
    cidr: str
    interface: str
    arrived_s: float
    answered_s: float
    is_accepted: bool
    size: int
    """Bytes of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How it behaves: `bucket` is the size of each action's and what it gets a second."""

    without: int = 0
    """So many CIDRs are missing in every table."""
    change_s: float = 0.0
    bucket: tuple[float, float] | None = None


class _State:
    """In the server's process."""

    def __init__(self, world: World, manner: Manner) -> None:
        self._lock = threading.Lock()
        self._manner = manner
        self._buckets: dict[str, Bucket] = {}
        targets = dict(list(world.targets.items())[manner.without :])
        self._items = {
            name: {cidr: _item(cidr, target) for cidr, target in targets.items()}
            for name in world.table_ids
        }
        others = {f"10.200.{n >> 8}.{n & 255}": f"eni-f{n:07x}" for n in range(world.others)}
        self._interfaces = {
            eni: INTERFACE.format(eni, SUBNET, VPC, ZONE, address, eni[4:])
            for address, eni in (*world.interfaces.items(), *others.items())
        }
        self._by_address = {
            address: self._interfaces[eni] for address, eni in world.interfaces.items()
        }
        self.calls: list[Call] = []

    def answer(self, action: str, params: dict[str, str]) -> tuple[int, str]:
        """The HTTP status, and what is inside the answer or the error's code."""
        if action == "DescribeSubnets":
            return 200, SUBNETS
        size = int(params.get("MaxResults", 1000))
        start = int(params.get("NextToken", 0))
        if action == "DescribeRouteTables":
            names = list(self._items)
            items = "".join(self._table(name) for name in names[start : start + size])
            return 200, _page("routeTableSet", items, start + size, len(names))
        if action == "DescribeNetworkInterfaces":
            found = self._named(params)
            items = "".join(found[start : start + size])
            return 200, _page("networkInterfaceSet", items, start + size, len(found))
        return self._change(action, params)

    def _named(self, params: dict[str, str]) -> list[str]:
        """The interfaces that the second filter names, after that by VPC; without one, all."""
        index = {
            None: self._interfaces,
            "network-interface-id": self._interfaces,
            "addresses.private-ip-address": self._by_address,
        }[name := params.get("Filter.2.Name")]
        if name is None:
            return list(index.values())
        names = (value for key, value in params.items() if key.startswith("Filter.2.Value."))
        return [index[each] for each in names if each in index]

    def _change(self, action: str, params: dict[str, str]) -> tuple[int, str]:
        if self._manner.bucket is not None:
            with self._lock:
                bucket = self._buckets.setdefault(action, Bucket(*self._manner.bucket))
                if not bucket.take():
                    return 503, "RequestLimitExceeded"
        time.sleep(self._manner.change_s)
        cidr = params["DestinationCidrBlock"]
        with self._lock:
            items = self._items[params["RouteTableId"]]
            if action == "ReplaceRoute" and cidr not in items:
                return 400, "InvalidRoute.NotFound"
            if action == "DeleteRoute":
                del items[cidr]
            else:
                items[cidr] = _item(cidr, params["NetworkInterfaceId"])
        return 200, "<return>true</return>"

    def _table(self, name: str) -> str:
        with self._lock:
            routes = "".join(self._items[name].values())
        return (
            f"<item><routeTableId>{name}</routeTableId><vpcId>{VPC}</vpcId>"
            f"<routeSet>{routes}</routeSet><associationSet/></item>"
        )


def _item(cidr: str, target: str) -> str:
    return ITEM.format(cidr, target, target[4:])


def _page(tag: str, items: str, end: int, count: int) -> str:
    token = f"<nextToken>{end}</nextToken>" if end < count else ""
    return f"<{tag}>{items}</{tag}>{token}"


def _response(action: str, content: str) -> str:
    namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"
    return f'<{action}Response xmlns="{namespace}">{content}</{action}Response>'


def answer_of_tables(world: World) -> bytes:
    """What DescribeRouteTables answers, all on one page."""
    action = "DescribeRouteTables"
    _, content = _State(world, Manner()).answer(action, {})
    return _response(action, content).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    state: _State

    def parse_request(self) -> bool:
        self._arrived_s = time.monotonic()
        return super().parse_request()

    def do_POST(self) -> None:
        """A call to AWS."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        params = dict(parse_qsl(body))
        action = params.pop("Action")
        status, content = self.state.answer(action, params)
        if status == 200:
            text = _response(action, content)
        else:
            text = f"<Response><Errors><Error><Code>{content}</Code><Message>no</Message></Error>"
            text += "</Errors><RequestID>0</RequestID></Response>"
        size = self._send(status, text)
        table, cidr, interface = (
            params.get(name, "")
            for name in ("RouteTableId", "DestinationCidrBlock", "NetworkInterfaceId")
        )
        is_accepted, now_s = status == 200, time.monotonic()
        self.state.calls.append(
            Call(action, table, cidr, interface, self._arrived_s, now_s, is_accepted, size)
        )

    def do_GET(self) -> None:
        """The calls from a number on."""
        self._send(200, json.dumps(self.state.calls[int(self.path[1:]) :]))

    def _send(self, status: int, text: str) -> int:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        return len(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _serve(world: World, manner: Manner, tell: Connection) -> None:
    sys.setswitchinterval(0.0005)  # the next call's arrival is noted while one is answered
    handler = type("_Bound", (_Handler,), {"state": _State(world, manner)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    gc.freeze()
    tell.send(server.server_port)
    server.serve_forever()


class InstantEc2:
    """The server in a process of its own; a context manager that starts and ends it."""

    def __init__(self, world: World, manner: Manner | None = None) -> None:
        self.world = world
        self._manner = manner or Manner()
        self._calls: list[Call] = []

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(self.world, self._manner, there), daemon=True
        )
        self._process.start()
        self._port: int = here.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    @property
    def env(self) -> dict[str, str]:
        """What makes boto3 use it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": ZONE[:-1],
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }

    def calls(self) -> list[Call]:
        """All calls so far, in the order they were answered."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", f"/{len(self._calls)}")
            self._calls += [Call(*each) for each in json.load(connection.getresponse())]
        return self._calls

    def changes_since(self, since_s: float) -> list[Call]:
        """The accepted ones that arrived since then, by their arrival."""
        return sorted(
            (
                call
                for call in reversed(self.calls())
                if call.arrived_s >= since_s
                and call.is_accepted
                and not call.action.startswith("Describe")
            ),
            key=lambda call: call.arrived_s,
        )
