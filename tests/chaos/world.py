"""All that the daemon runs in: EC2 with a VPC, hosts, the spec file, a disk; and what harms it."""

import contextlib
import json
import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo.daemon import write_ini
from examples.demo.world import forget_aws_settings
from tests.aws.network import Network
from tests.chaos import disk
from tests.chaos.ec2 import ChaosEc2
from tests.chaos.history import INTERVAL_S, Spec
from tests.chaos.hosts import Hosts
from tests.chaos.namespaces import NotPossibleError
from tests.chaos.paths import PREFIX, Paths

LOOPBACK = "127.0"
HOSTS = tuple(f"{zone}.{last}" for zone in (1, 2, 3) for last in range(10, 14))
"""The ends of their addresses."""
PHANTOM = "3.200"
"""An instance that never accepts; its CIDRs get no routes."""
CIDRS = tuple(f"10.{number}.0.0/16" for number in range(1, 21))
GATEWAYS, PROPAGATED = "10.98.0.0/16", "10.97.0.0/16"
"""In the spec, and in one table each somebody else's."""
IGNORED = "10.99.0.0/16"
KEPT = "10.99.1.0/24"
"""In no spec, but inside `ignore_routes`."""
LARGE_CIDRS = 4000
MARK = "VPCROUTER_CHAOS"
"""The environment variable by which the daemon's processes are known, whoever their parent."""

Key = tuple[str, str]


@dataclass
class World:
    """What runs, and where its files are.

    `no_disk` says why the disk can't be filled, `no_network` why the hosts have no network before
    them that could have faults.
    """

    folder: Path
    ec2: ChaosEc2
    network: Network
    hosts: Hosts
    paths: Paths | None
    mark: str
    api_port: int
    no_disk: str
    no_network: str
    foreign: frozenset[Key]
    routes: dict[Key, str]
    """The routes of the beginning, less the local ones."""

    @property
    def prefix(self) -> str:
        """What the addresses of all hosts begin with."""
        return PREFIX if self.paths else LOOPBACK

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}.{end}" for end in HOSTS)

    @property
    def routed(self) -> tuple[str, ...]:
        """The hosts that would be behind a router, and are, where there is one."""
        return self.addresses[len(HOSTS) // 3 :]

    def describe_network(self) -> str:
        """For the report: what the hosts are behind, or what is left out, and why."""
        if self.paths:
            return "namespaces of our own"
        left_out = "no drops, ARP failures, router faults and ICMP errors"
        return f"loopback, so {left_out}: {self.no_network}"

    def icmp_errors(self) -> dict[str, int]:
        """How many were sent that the kernel itself did not make, by type/code; no stray ones."""
        return dict(sorted(self.paths.errors.items())) if self.paths else {}

    @property
    def spec_path(self) -> Path:
        return self.folder / "etc" / "route-spec.conf"

    @property
    def ini_path(self) -> Path:
        return self.folder / "etc" / "vpcrouter.ini"

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    # ---- the spec file --------------------------------------------------------------------

    def make_spec(self, number: int, index: int, *, large: bool) -> Spec:
        """A spec that `number` seeds; `index` marks it, so that no two are the same."""
        rng = random.Random(number)  # noqa: S311
        cidrs = set(CIDRS) - set(rng.sample(CIDRS, rng.randint(0, 3)))
        spec = {
            cidr: tuple(rng.sample(self.addresses, rng.randint(3, 4)))
            for cidr in (*sorted(cidrs), GATEWAYS, PROPAGATED)
        }
        phantom = f"{self.prefix}.{PHANTOM}"
        spec[f"10.250.{index >> 8}.{index & 255}/32"] = (phantom,)
        for extra in range(LARGE_CIDRS if large else 0):
            spec[f"10.{200 + (extra >> 16)}.{extra >> 8 & 255}.{extra & 255}/32"] = (phantom,)
        return spec

    def write_spec(self, spec: Spec, *, in_place: bool) -> None:
        text = json.dumps(spec)
        if in_place and self.spec_path.is_file():
            self.spec_path.write_text(text)
            return
        new = self.spec_path.with_suffix(".new")
        new.write_text(text)
        if self.spec_path.is_dir() and not self.spec_path.is_symlink():
            shutil.rmtree(self.spec_path)
        new.replace(self.spec_path)

    def spoil_spec(self, how: str, spec: Spec) -> None:
        """Leave something that is no spec where `spec` would be."""
        text = json.dumps(spec)
        contents = {"torn": text[: len(text) // 2], "empty": "", "braces": "{}"}
        if self.spec_path.is_dir() and not self.spec_path.is_symlink():
            shutil.rmtree(self.spec_path)
        if how in contents:
            if self.spec_path.is_symlink():
                self.spec_path.unlink()
            self.spec_path.write_text(contents[how])
            return
        self.spec_path.unlink(missing_ok=True)
        if how == "folder":
            self.spec_path.mkdir()
        else:
            self.spec_path.symlink_to(self.folder / "nowhere")

    # ---- EC2 ------------------------------------------------------------------------------

    def spoil_ec2(self, how: str, action: str) -> None:
        if how == "throttle":
            self.ec2.settings(bucket={"capacity": 5, "per_s": 5})
            return
        kind, _, after = how.partition("-")
        fault: dict[str, Any] = {"action": action, "kind": kind, "after": bool(after)}
        if kind == "refuse":
            fault |= {"kind": "error", "code": "UnauthorizedOperation", "http_status": 403}
        elif kind == "error":
            fault |= {"code": "InternalError", "http_status": 500}
        elif kind == "delay":
            fault["seconds"] = 0.5
        self.ec2.set_faults([fault])

    def mend_ec2(self) -> None:
        self.ec2.set_faults([])
        self.ec2.settings(bucket=None)


@contextlib.contextmanager
def running(no_network: str) -> Iterator[World]:
    """Everything but the daemon; removed at the end."""
    forget_aws_settings()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vpcrouter-chaos-")))
        for name in ("etc", "state"):
            (folder / name).mkdir()
        no_disk = _why_no_disk(folder / "state", stack)
        paths = None if no_network else stack.enter_context(Paths())
        prefix = PREFIX if paths else LOOPBACK
        addresses = [f"{prefix}.{end}" for end in HOSTS]
        ec2 = stack.enter_context(ChaosEc2())
        every = (*addresses, f"{prefix}.{PHANTOM}")
        network = Network.build(ec2, cidr=f"{prefix}.0.0/16", hosts=every)
        hosts = Hosts(addresses, paths)
        stack.callback(hosts.close)
        foreign = _plant(network, addresses[0])
        with socket.create_server(("127.0.0.1", 0)) as probe:
            api_port = int(probe.getsockname()[1])
        world = World(
            folder,
            ec2,
            network,
            hosts,
            paths,
            folder.name,
            api_port,
            no_disk,
            no_network,
            foreign,
            _routes(network),
        )
        _configure(world)
        yield world


def _why_no_disk(folder: Path, stack: contextlib.ExitStack) -> str:
    """Make it a disk of our own that `stack` removes; why that is not possible, or ""."""
    try:
        disk.mount(folder)
    except NotPossibleError as error:
        return str(error)
    stack.callback(disk.unmount, folder)
    return ""


def _plant(network: Network, host: str) -> frozenset[Key]:
    """Routes that the daemon must leave alone; those that the spec names, too, are returned."""
    main, second, third = network.table_ids
    client = network.client
    gateway = client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    client.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc_id)
    client.create_route(RouteTableId=main, DestinationCidrBlock=GATEWAYS, GatewayId=gateway)
    network.create_route(second, KEPT, host)
    network.ec2.propagate_route(third, PROPAGATED)
    return frozenset({(main, GATEWAYS), (third, PROPAGATED)})


def _routes(network: Network) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for cidr in (*CIDRS, GATEWAYS, PROPAGATED, KEPT):
        for table, target in network.routes(cidr).items():
            if target is not None:
                found[table, cidr] = network.eni_of.get(target, target)
    return found


def _configure(world: World) -> None:
    write_ini(
        world.ini_path,
        {
            "vpcrouter": {
                "mode": "configfile",
                "health": "tcp",
                "vpc": world.network.vpc_id,
                "address": "127.0.0.1",
                "port": world.api_port,
                "ignore_routes": IGNORED,
                "route_recheck_interval": 1.5,
                # This EC2 throttles at random and has no bucket that would have to fill.
                "ec2_burst": 1000,
                "ec2_rate": 200,
                "silence_limit": 5,
                "state_dir": world.state_dir,
                "control_socket": world.folder / "control.sock",
            },
            "configfile": {"file": world.spec_path},
            "tcp": {"tcp_check_port": world.hosts.port, "tcp_check_interval": INTERVAL_S},
        },
    )


def daemon_env(world: World) -> dict[str, str]:
    """What the daemon's environment has beside ours."""
    return {**world.ec2.env(), MARK: world.mark}
