"""Everything that the demo runs: the embedded EC2 with a VPC, the hosts, the daemon."""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from examples.demo import hosts as host_processes
from examples.demo import tables
from examples.demo.daemon import Daemon, settings, write_ini
from examples.demo.hosts import Host
from examples.demo.stop import Stop
from examples.demo.tables import Tables
from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network

ADDRESSES = tuple(f"127.0.{zone}.{host}" for zone in (1, 2, 3) for host in (10, 11))
"""Two hosts in each zone."""
SPEC = {
    "10.55.16.0/24": ADDRESSES[::2],
    "10.66.17.0/24": ADDRESSES[1::2],
    "10.77.0.0/16": ADDRESSES,
}
READY_LIMIT_S = 30.0


@dataclass
class World:
    """What runs, and where its files are."""

    folder: Path
    spec_path: Path
    ec2: EmbeddedEc2
    network: Network
    port: int
    hosts: dict[str, Host]
    daemon: Daemon

    def look(self) -> Tables:
        return tables.look(self.network)


def zone_of(address: str) -> str:
    """The zone in which `Network` has put the address."""
    return f"zone {'abc'[int(address.split('.')[2]) - 1]}"


@contextlib.contextmanager
def running(stop: Stop, tell: Callable[[str, str], None]) -> Iterator[World]:
    """Start everything and wait until the routes are set; stop and remove it at the end.

    `tell` gets the name and a description of each thing that runs. Raises DaemonError,
    StoppedError, OSError (no port is free), RuntimeError (no EC2).
    """
    forget_aws_settings()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vpcrouter-demo-")))
        ec2 = stack.enter_context(EmbeddedEc2())
        tell("EC2", f"embedded, {ec2.url}")
        stop.check()
        network = Network.build(ec2, hosts=ADDRESSES)
        tables_count = len(network.table_ids)
        tell("VPC", f"{network.vpc_id}, three zones, {tables_count} route tables")
        stop.check()
        port, hosts = stack.enter_context(host_processes.running(ADDRESSES))
        tell("hosts", f"{len(hosts)}, two per zone; TCP port {port}, checked every second")
        spec_path = folder / "route-spec.conf"
        spec_path.write_text(json.dumps(SPEC, indent=4) + "\n", encoding="utf-8")
        daemon = Daemon(folder, ec2.env())
        write_ini(daemon.ini_path, settings(folder, network.vpc_id, spec_path, port))
        started_s = time.monotonic()
        stack.enter_context(daemon)
        if not stop.poll(daemon.is_ready, READY_LIMIT_S):
            raise daemon.error(f"vpcrouterd is not ready after {READY_LIMIT_S:g} s")
        ready_s = time.monotonic() - started_s
        tell("daemon", f"vpcrouterd, pid {daemon.pid}, ready after {ready_s:.1f} s")
        yield World(folder, spec_path, ec2, network, port, hosts, daemon)


def forget_aws_settings() -> None:
    """Keep this process and its children from using the user's AWS settings."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
