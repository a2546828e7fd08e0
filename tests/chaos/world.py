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
from tests.aws.client import Network
from tests.chaos import disk
from tests.chaos.ec2 import ChaosEc2
from tests.chaos.history import INTERVAL_S, Spec
from tests.chaos.hosts import Hosts

HOSTS = tuple(f"127.0.{zone}.{last}" for zone in (1, 2, 3) for last in range(10, 14))
PHANTOM = "127.0.3.200"
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
    """What runs, and where its files are. `no_disk` says why the disk can't be filled."""

    folder: Path
    ec2: ChaosEc2
    network: Network
    hosts: Hosts
    mark: str
    api_port: int
    no_disk: str
    foreign: frozenset[Key]
    routes: dict[Key, str]
    """The routes of the beginning, less the local ones."""

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
            cidr: tuple(rng.sample(HOSTS, rng.randint(3, 4)))
            for cidr in (*sorted(cidrs), GATEWAYS, PROPAGATED)
        }
        spec[f"10.250.{index >> 8}.{index & 255}/32"] = (PHANTOM,)
        for extra in range(LARGE_CIDRS if large else 0):
            spec[f"10.{200 + (extra >> 16)}.{extra >> 8 & 255}.{extra & 255}/32"] = (PHANTOM,)
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
def running() -> Iterator[World]:
    """Everything but the daemon; removed at the end."""
    forget_aws_settings()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vpcrouter-chaos-")))
        for name in ("etc", "state"):
            (folder / name).mkdir()
        no_disk = ""
        try:
            disk.mount(folder / "state")
            stack.callback(disk.unmount, folder / "state")
        except disk.NotPossibleError as error:
            no_disk = str(error)
        ec2 = stack.enter_context(ChaosEc2())
        network = Network.build(ec2, hosts=(*HOSTS, PHANTOM))
        hosts = Hosts(HOSTS)
        stack.callback(hosts.close)
        foreign = _plant(network)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            api_port = int(probe.getsockname()[1])
        world = World(
            folder,
            ec2,
            network,
            hosts,
            folder.name,
            api_port,
            no_disk,
            foreign,
            _routes(network),
        )
        _configure(world)
        yield world


def _plant(network: Network) -> frozenset[Key]:
    """Routes that the daemon must leave alone; those that the spec names, too, are returned."""
    main, second, third = network.table_ids
    client = network.client
    gateway = client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    client.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc_id)
    client.create_route(RouteTableId=main, DestinationCidrBlock=GATEWAYS, GatewayId=gateway)
    network.create_route(second, KEPT, HOSTS[0])
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
