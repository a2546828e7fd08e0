"""A daemon, as many hosts as are wanted in a namespace beside it, and an EC2 that answers at once.

Nothing in it leads anywhere else.
"""

import contextlib
import json
import os
import resource
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from examples.demo.daemon import Daemon, settings, write_ini
from tests.bench import namespaces
from tests.bench.figures import NotPossibleError
from tests.bench.instant_ec2 import InstantEc2
from tests.bench.large import VPC, World

PORT = 9122
BACKLOG = 4_096
TABLES = 3
LIMIT_S = 60.0
PAUSE_S = 0.02
SPARE_DESCRIPTORS = 512
OTHERS = "10.99.0.0/16"
"""The CIDR of the hosts that are in no pool."""


@dataclass(frozen=True)
class Crowd(World):
    """`hosts` in 198.18.0.0/16: each of `cidrs` has a pool of `pool` hosts, one CIDR the rest."""

    pool: int = 2

    @cached_property
    def addresses(self) -> Sequence[str]:
        return [f"198.18.{n >> 8}.{n & 255}" for n in range(1, self.hosts + 1)]

    @cached_property
    def pools(self) -> Mapping[str, Sequence[str]]:
        return {
            f"10.{55 + n}.0.0/16": self.addresses[n * self.pool : (n + 1) * self.pool]
            for n in range(self.cidrs)
        }

    @cached_property
    def routes(self) -> Mapping[str, Sequence[str]]:
        rest = self.addresses[self.cidrs * self.pool :]
        return {**self.pools, OTHERS: rest} if rest else self.pools


class Hosts:
    """The hosts' side: each answers echo requests, and accepts on PORT if `accepting`."""

    def __init__(self, far: namespaces.FarSide, addresses: Sequence[str], accepting: bool) -> None:
        self._far = far
        self._listeners: dict[str, socket.socket] = {}
        far.answer_for_all()
        if accepting:
            _allow_descriptors(len(addresses))
            for address in addresses:
                self._listen(address)

    def close(self) -> None:
        for listener in self._listeners.values():
            listener.close()

    def accept_for_all(self) -> None:
        """Every host accepts on PORT, and none can refuse alone."""
        self._listen("")

    def _listen(self, address: str) -> None:
        with namespaces.inside(self._far.name):
            self._listeners[address] = socket.create_server((address, PORT), backlog=BACKLOG)

    def fall_silent(self, host: str) -> float:
        """Answer nothing any more; return the monotonic time just before."""
        return self._far.drop(host)

    def refuse(self, host: str) -> float:
        """Refuse connections; return the monotonic time just before."""
        listener = self._listeners.pop(host)
        at_s = time.monotonic()
        listener.close()
        return at_s

    def revive(self, host: str) -> None:
        if self._listeners and host not in self._listeners:
            self._listen(host)
        else:
            self._far.drop_no_longer(host)


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise NotPossibleError(f"needs {wanted} open files, and {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


@dataclass
class Scene:
    """All of it, at work."""

    world: Crowd
    ec2: InstantEc2
    hosts: Hosts
    daemon: Daemon

    def wait(self, is_so: Callable[[], Any], what: str, pause_s: float = PAUSE_S) -> None:
        """Raises DaemonError after LIMIT_S."""
        self.daemon.wait(is_so, what, LIMIT_S, pause_s)

    def failed(self) -> set[str] | None:
        """The failed hosts, as the API tells; None while the health of any is not known."""
        _, ips = self.daemon.ask("/ips")
        is_known = ips is not None and ips["working_set"] and not ips["unknown_ips"]
        return set(ips["failed_ips"]) if is_known else None

    def target(self, cidr: str) -> str | None:
        """The host that all tables send `cidr` to; None while they differ."""
        found = dict.fromkeys(self.world.table_ids, self.world.targets[cidr])
        moves = (call for call in self.ec2.calls() if call.cidr == cidr and call.is_accepted)
        found.update((call.table, call.interface) for call in moves)
        targets = set(found.values())
        return self._host_of[targets.pop()] if len(targets) == 1 else None

    @cached_property
    def _host_of(self) -> Mapping[str, str]:
        return {eni: host for host, eni in self.world.interfaces.items()}


@contextlib.contextmanager
def scene(
    world: Crowd, monitors: Mapping[str, Mapping[str, Any]], accepting: bool = False
) -> Iterator[Scene]:
    """The daemon at rest, with these monitors and their options, and all hosts healthy.

    Raises NotPossibleError where namespaces can't be made.
    """
    if os.geteuid() != 0:
        raise NotPossibleError("needs root, for network namespaces")
    with contextlib.ExitStack() as stack:
        far = stack.enter_context(namespaces.pair(()))
        hosts = stack.enter_context(contextlib.closing(Hosts(far, world.addresses, accepting)))
        ec2 = stack.enter_context(InstantEc2(world))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vpcrouter-bench-")))
        (folder / "spec.json").write_text(json.dumps(world.routes), encoding="utf-8")
        daemon = Daemon(folder, ec2.env)
        sections = settings(folder, VPC, folder / "spec.json", PORT)
        del sections["tcp"]
        sections |= {name: dict(options) for name, options in monitors.items()}
        names = list(monitors)
        sections["vpcrouter"]["health"] = names[0] if len(names) == 1 else "multi"
        if len(names) > 1:
            sections["multi"] = {"multi_plugins": ":".join(names)}
        write_ini(daemon.ini_path, sections)
        stack.enter_context(daemon)
        our = Scene(world, ec2, hosts, daemon)
        our.wait(daemon.is_ready, "ready")
        our.wait(lambda: our.failed() == set(), "all hosts healthy", pause_s=0.2)
        yield our
