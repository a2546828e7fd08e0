"""`EmbeddedEc2`, the server as a subprocess, and `Network`, a VPC with hosts on it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from boto3.session import Session
from botocore.config import Config

from tests.waiting import wait_until

from .calls import DRIVER_KEY, Call

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
ZONES = "abcdef"
IMAGE = "ami-12c6146b"
CREDENTIALS: dict[str, Any] = {
    "aws_access_key_id": DRIVER_KEY,
    "aws_secret_access_key": "testing",
}
DAEMON_KEY = "AKIADAEMON"


class EmbeddedEc2:
    """The embedded EC2 in a process of its own; a context manager.

    The server dies with the thread that starts it.
    """

    def __init__(self, port: int = 0, start_timeout_s: float = 30.0) -> None:
        self._port = port
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._clients: dict[tuple[float, bool], EC2Client] = {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the server and wait until it listens.

        Raises:
            RuntimeError: it does not, in time; with what it wrote to stderr.
        """
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.aws.server", "--port", str(self._port)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            process_group=0,  # the terminal's Ctrl-C is for its user, who ends it last
        )
        line = self._first_line(self._process)
        if not line.startswith("listening "):
            stderr = self.stderr()
            self.stop()
            raise RuntimeError(f"the embedded EC2 does not start (said {line!r}):\n{stderr}")
        self._url = line.split()[1]
        return self

    def _first_line(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], self._start_timeout_s)
        return process.stdout.readline().decode() if ready else ""

    def stop(self) -> None:
        """End the server; harmless when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        while self._clients:
            self._clients.popitem()[1].close()
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
        self._stderr.close()

    def stderr(self) -> str:
        """What the server has written to stderr so far; moto's tracebacks are there."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), size, 0).decode(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def url(self) -> str:
        return self._url

    def env(self) -> dict[str, str]:
        """The environment variables that make boto3 in another process use this EC2."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": DAEMON_KEY,
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }

    def env_of_instance(self) -> dict[str, str]:
        """As `env`, but region and credentials are left to instance metadata."""
        unset = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
        return {
            **self.env(),
            **dict.fromkeys(unset, ""),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url,
        }

    @cached_property
    def _session(self) -> Session:
        return Session(region_name=REGION, **CREDENTIALS)

    def client(self, read_timeout_s: float = 10.0, *, validate: bool = True) -> EC2Client:
        """A client that never retries; the same one for the same arguments.

        Without `validate` it leaves it to EC2 to find nonsensical parameters.
        """
        key = (read_timeout_s, validate)
        if key not in self._clients:
            self._clients[key] = self._new_client(read_timeout_s, validate)
        return self._clients[key]

    def _new_client(self, read_timeout_s: float, validate: bool) -> EC2Client:
        config = Config(
            connect_timeout=2,
            read_timeout=read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": 1},
            proxies={},
            parameter_validation=validate,
        )
        return self._session.client("ec2", endpoint_url=self.url, config=config)

    # ---- control --------------------------------------------------------------------------

    def calls(self, since: int = 0) -> list[Call]:
        """The calls with a `seq` over `since`, in the order they were answered."""
        return [Call(**item) for item in self._control("GET", f"calls?since={since}")]

    def in_flight(self) -> list[Call]:
        """The calls not answered yet (`seq` 0)."""
        return [Call(**item) for item in self._control("GET", "in_flight")]

    def set_faults(self, faults: Sequence[dict[str, Any]]) -> None:
        """Replace all faults in force; each has the fields of `tests.aws.faults.Fault`."""
        self._control("POST", "faults", list(faults))

    def settings(self, **changes: Any) -> None:
        """Change some of `page_size`, `stale_s`, `bucket` …; see `tests.aws.front.Settings`."""
        self._control("POST", "settings", changes)

    def set_metadata(self, **said: Any) -> None:
        """Set what instance metadata says; see `tests.aws.metadata.Instance`."""
        self._control("POST", "metadata", said)

    def propagate_route(self, table_id: str, cidr: str) -> str:
        """Plant a propagated route; answer its gateway's id."""
        answer = self._control("POST", "propagated_route", {"table_id": table_id, "cidr": cidr})
        return str(answer["gateway_id"])

    def set_status(self, instance_id: str, **shown: Any) -> None:
        """Set what DescribeInstanceStatus shows; see `corrected_models.set_status`."""
        self._control("POST", "instance_status", {"instance_id": instance_id, **shown})

    def reset(self) -> None:
        """Empty EC2, faults, settings and log; calls under way are dropped."""
        self._control("POST", "reset", {})

    def _control(self, method: str, name: str, payload: Any = None) -> Any:
        address = urlsplit(self.url)
        connection = HTTPConnection(str(address.hostname), address.port, timeout=30)
        try:
            body = None if payload is None else json.dumps(payload)
            connection.request(method, f"/_control/{name}", body)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer


@dataclass
class Network:
    """A VPC, its subnets and route tables, and instances known by their host address.

    Where a method takes a target, a host's address or an interface's id will do.
    """

    ec2: EmbeddedEc2
    client: EC2Client
    vpc_id: str
    subnets: dict[IPv4Network, str] = field(default_factory=dict)
    table_ids: list[str] = field(default_factory=list)
    eni_of: dict[str, str] = field(default_factory=dict)
    instance_of: dict[str, str] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        ec2: EmbeddedEc2,
        cidr: str = "127.0.0.0/16",
        zones: int = 3,
        tables: int = 3,
        hosts: Sequence[str] = (),
    ) -> Self:
        """Make the network.

        Zone Z has the Z-th /24 of `cidr`, counted from 0 (127.0.0.0/16: 127.0.1.0/24 is the
        first zone's).  The first table is the main one; each other has a subnet of its own: the
        zones' first, then further /24s made for it.
        """
        client = ec2.client()
        network = cls(ec2, client, str(client.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]))
        blocks = list(IPv4Network(cidr).subnets(new_prefix=24))[1:]
        for index in range(max(zones, tables - 1)):
            network._add_subnet(blocks[index], f"{REGION}{ZONES[index % zones]}")
        network._find_main_table()
        for subnet_id in list(network.subnets.values())[: tables - 1]:
            network._add_table(subnet_id)
        for host in hosts:
            network.add_host(host)
        return network

    def _add_subnet(self, block: IPv4Network, zone: str) -> None:
        answer = self.client.create_subnet(
            VpcId=self.vpc_id, CidrBlock=str(block), AvailabilityZone=zone
        )
        self.subnets[block] = answer["Subnet"]["SubnetId"]

    def _find_main_table(self) -> None:
        answer = self.client.describe_route_tables(
            Filters=[
                {"Name": "vpc-id", "Values": [self.vpc_id]},
                {"Name": "association.main", "Values": ["true"]},
            ]
        )
        self.table_ids.append(answer["RouteTables"][0]["RouteTableId"])

    def _add_table(self, subnet_id: str) -> None:
        table_id = self.client.create_route_table(VpcId=self.vpc_id)["RouteTable"]["RouteTableId"]
        self.client.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)
        self.table_ids.append(table_id)

    # ---- hosts ----------------------------------------------------------------------------

    def subnet_of(self, address: str) -> str:
        """The id of the subnet that `address` is in."""
        for block, subnet_id in self.subnets.items():
            if IPv4Address(address) in block:
                return subnet_id
        raise ValueError(f"{address} is in none of {', '.join(map(str, self.subnets))}")

    def add_host(self, address: str, *, on_secondary: bool = False) -> str:
        """Run an instance with `address` and no source/dest check; answer the interface's id.

        With `on_secondary` the address is on a second interface, which `detach` can take from a
        running instance; EC2 detaches no primary interface.
        """
        subnet_id = self.subnet_of(address)
        place: dict[str, Any] = {"SubnetId": subnet_id}
        if not on_secondary:
            place["PrivateIpAddress"] = address
        answer = self.client.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, **place)
        instance = answer["Instances"][0]
        self.instance_of[address] = instance["InstanceId"]
        if on_secondary:
            self.eni_of[address] = self._attach(subnet_id, address)
        else:
            self.eni_of[address] = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
        self.client.modify_network_interface_attribute(
            NetworkInterfaceId=self.eni_of[address], SourceDestCheck={"Value": False}
        )
        return self.eni_of[address]

    def _attach(self, subnet_id: str, address: str) -> str:
        made = self.client.create_network_interface(SubnetId=subnet_id, PrivateIpAddress=address)
        eni = made["NetworkInterface"]["NetworkInterfaceId"]
        self.client.attach_network_interface(
            NetworkInterfaceId=eni, InstanceId=self.instance_of[address], DeviceIndex=1
        )
        return eni

    def terminate(self, host: str) -> None:
        self.client.terminate_instances(InstanceIds=[self.instance_of[host]])

    def stop(self, host: str) -> None:
        self.client.stop_instances(InstanceIds=[self.instance_of[host]])

    def start(self, host: str) -> None:
        self.client.start_instances(InstanceIds=[self.instance_of[host]])

    def detach(self, host: str) -> None:
        """Detach the host's interface; if it is the primary one, by ending its instance."""
        eni = self.eni_of[host]
        answer = self.client.describe_network_interfaces(NetworkInterfaceIds=[eni])
        attachment = answer["NetworkInterfaces"][0]["Attachment"]
        if attachment["DeviceIndex"]:
            self.client.detach_network_interface(AttachmentId=attachment["AttachmentId"])
            return
        self.client.modify_network_interface_attribute(
            NetworkInterfaceId=eni,
            Attachment={
                "AttachmentId": attachment["AttachmentId"],
                "DeleteOnTermination": False,
            },
        )
        self.terminate(host)

    def delete_interface(self, host: str) -> None:
        """Detach the host's interface (see `detach`) and delete it."""
        self.detach(host)
        self.client.delete_network_interface(NetworkInterfaceId=self.eni_of[host])

    def assign_secondary(self, host: str, address: str) -> None:
        """Give the host's interface one more address, taken from another one if need be."""
        self.client.assign_private_ip_addresses(
            NetworkInterfaceId=self.eni_of[host],
            PrivateIpAddresses=[address],
            AllowReassignment=True,
        )

    # ---- routes ---------------------------------------------------------------------------

    def routes(self, cidr: str) -> dict[str, str | None]:
        """Where each table sends `cidr`: a host, else an interface or gateway, else None."""
        pages = self.client.get_paginator("describe_route_tables").paginate(
            Filters=[{"Name": "vpc-id", "Values": [self.vpc_id]}]
        )
        host_of = {eni: host for host, eni in self.eni_of.items()}
        found: dict[str, str | None] = dict.fromkeys(self.table_ids)
        for table in (table for page in pages for table in page["RouteTables"]):
            for route in table["Routes"]:
                if route.get("DestinationCidrBlock") == cidr:
                    target = route.get("NetworkInterfaceId") or route.get("GatewayId") or ""
                    found[table["RouteTableId"]] = host_of.get(target, target)
        return found

    def wait_for_routes(self, cidr: str, host: str, timeout_s: float = 10.0) -> None:
        """Wait until every table sends `cidr` to `host`."""
        wait_until(
            lambda: set(self.routes(cidr).values()) == {host},
            timeout_s,
            lambda: f"{cidr} is not at {host} everywhere: {self.routes(cidr)}",
        )

    def create_route(self, table_id: str, cidr: str, target: str) -> None:
        self.client.create_route(
            RouteTableId=table_id,
            DestinationCidrBlock=cidr,
            NetworkInterfaceId=self.eni_of.get(target, target),
        )

    def replace_route(self, table_id: str, cidr: str, target: str) -> None:
        self.client.replace_route(
            RouteTableId=table_id,
            DestinationCidrBlock=cidr,
            NetworkInterfaceId=self.eni_of.get(target, target),
        )

    def delete_route(self, table_id: str, cidr: str) -> None:
        self.client.delete_route(RouteTableId=table_id, DestinationCidrBlock=cidr)
