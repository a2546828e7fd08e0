"""The rig that figures are measured on: embedded EC2, network, daemon."""

import contextlib
import json
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo.daemon import Daemon, settings, write_ini
from tests.aws.calls import Call
from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.bench.figures import Sample

LIMIT_S = 15.0
"""No single thing that is waited for takes so long."""
PAUSE_S = 0.02
SETTLED_S = 0.5
"""A change has been read back, and the daemon is at rest again, after so long."""
CIDR = "10.55.0.0/16"

Spec = Mapping[str, Sequence[str]]


def addresses(count: int, prefix: str) -> list[str]:
    """`count` hosts, spread over the three zones of the /16 that begins with `prefix`."""
    return [f"{prefix}.{1 + index % 3}.{10 + index // 3}" for index in range(count)]


def random_phase(interval_s: float = 1.0) -> None:
    """Come to rest, then to any moment of the probes' interval."""
    time.sleep(SETTLED_S + random.uniform(0, interval_s))  # noqa: S311


@dataclass
class Rig:
    """One EC2 with one network; `daemon` is not started yet."""

    folder: Path
    spec_path: Path
    ec2: EmbeddedEc2
    network: Network
    daemon: Daemon

    def write_spec(self, spec: Spec) -> None:
        self.spec_path.write_text(json.dumps(spec), encoding="utf-8")

    def configure(self, port: int, monitor: Mapping[str, Any] | None = None) -> None:
        """Write the INI file: TCP to `port` each second, or what `monitor` says instead."""
        sections = settings(self.folder, self.network.vpc_id, self.spec_path, port)
        if monitor:
            del sections["tcp"]
            sections["vpcrouter"]["health"] = next(iter(monitor))
            sections.update({name: dict(options) for name, options in monitor.items()})
        write_ini(self.daemon.ini_path, sections)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The daemon runs, all routes are set, and all is at rest."""
        with self.daemon:
            self.wait(self.daemon.is_ready, "ready", 30.0)
            time.sleep(2 * SETTLED_S)
            yield

    def wait(self, is_so: Any, what: str, limit_s: float = LIMIT_S) -> Any:
        """The first truthy answer of `is_so`. Raises DaemonError after `limit_s`."""
        return self.daemon.wait(is_so, what, limit_s, PAUSE_S)

    def target(self, cidr: str = CIDR) -> str:
        """The host that all tables send `cidr` to."""
        (target,) = set(self.network.routes(cidr).values())
        assert target in self.network.eni_of, f"{cidr} points at {target}"
        return target

    def mark(self) -> int:
        """The number of the last call so far."""
        calls = self.ec2.calls()
        return calls[-1].seq if calls else 0

    def changes(self, since: int, action: str, count: int) -> list[Call]:
        """Wait for `count` successful calls of `action` after `since`; return them by their end.

        Asks the server's log only, which keeps no other call waiting.
        """

        def enough() -> list[Call]:
            found = [
                call
                for call in self.ec2.calls(since)
                if call.action == action and call.status == 200
            ]
            return found if len(found) >= count else []

        found: list[Call] = self.wait(enough, f"{count} calls of {action}")
        return sorted(found, key=changed_s)

    def moved(self, since: int, since_s: float, was: str) -> Sample:
        """Wait until every table has left the host `was`; the time from `since_s` on."""
        calls = self.changes(since, "ReplaceRoute", len(self.network.table_ids))
        assert all(call.params["DestinationCidrBlock"] == CIDR for call in calls)
        assert {call.params["RouteTableId"] for call in calls} == set(self.network.table_ids)
        assert self.target() != was, f"{CIDR} is still at {was}"
        return sample(calls[-1], since_s)


def changed_s(call: Call) -> float:
    """When the table had changed, on the monotonic clock, which all processes share."""
    return call.monotonic_s + call.waited_s + call.took_s


def sample(call: Call, since_s: float) -> Sample:
    assert changed_s(call) > since_s
    return Sample(changed_s(call) - since_s, call.waited_s + call.took_s)


@contextlib.contextmanager
def rig(hosts: Sequence[str], vpc_cidr: str = "127.0.0.0/16") -> Iterator[Rig]:
    """An EC2 of three zones and three route tables with these hosts, in a folder of its own."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vpcrouter-bench-")))
        ec2 = stack.enter_context(EmbeddedEc2())
        network = Network.build(ec2, vpc_cidr, hosts=hosts)
        daemon = Daemon(folder, ec2.env())
        yield Rig(folder, folder / "route-spec.conf", ec2, network, daemon)
