"""Two network namespaces joined by a veth pair: the monitor's, and the hosts'."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from pyroute2 import IPRoute, netns

from tests.needs import NAMESPACES, ROOT, needs
from tests.net.ethtool import switch_offloads_off

ROUTER = "10.77.0.1"
HOSTS_SIDE = "10.77.0.2"
PREFIX = 20
ROUTER_6 = "fd77::1"
HOSTS_SIDE_6 = "fd77::2"
PREFIX_6 = 64
NO_DAD = 0x02
"""An IPv6 address is of use at once (linux/if_addr.h)."""
AS_ANOTHER_USER = {"test_without_the_right_to_a_raw_socket_it_is_a_matter_of_settings"}
"""Tests whose monitor is another user's, whom namespaces of an ordinary user do not have."""


N = TypeVar("N", bound="Net")


class Net:
    """The link is 10.77.0.0/20 and fd77::/64; behind the hosts' end lie 198.18.0.0/15 and
    fd18::/64."""

    def __init__(self) -> None:
        tag = uuid.uuid4().hex[:8]
        self.near, self.far = f"vpcr-near-{tag}", f"vpcr-far-{tag}"
        netns.create(self.near)
        try:
            netns.create(self.far)
            self._build()
        except BaseException:
            self.remove()
            raise

    def _build(self) -> None:
        with IPRoute(netns=self.near) as near, IPRoute(netns=self.far) as far:
            self._connect(near, far)
            for ip, name, address in ((near, "v0", ROUTER), (far, "v1", HOSTS_SIDE)):
                for each in ("lo", name):
                    ip.link("set", index=ip.link_lookup(ifname=each)[0], state="up")
                index = ip.link_lookup(ifname=name)[0]
                ip.addr("add", index=index, address=address, prefixlen=PREFIX)
        self.address("add", HOSTS_SIDE_6)
        self.add_gateway()
        self.add_gateway_6()
        self._any_ip("add")
        self._any_ip_6()

    def _connect(self, near: IPRoute, far: IPRoute) -> None:
        """Make v0 in the near namespace and v1 in the far one."""
        near.link("add", ifname="v0", kind="veth", peer={"ifname": "v1", "net_ns_fd": self.far})

    def remove(self) -> None:
        for name in (self.near, self.far):
            with contextlib.suppress(OSError):
                netns.remove(name)

    def add_gateway(self) -> None:
        with IPRoute(netns=self.near) as near:
            near.route("add", dst="198.18.0.0/15", gateway=HOSTS_SIDE)

    def add_gateway_6(self) -> None:
        """The way to the hosts over IPv6, which a link that went down has forgotten."""
        with IPRoute(netns=self.near) as near:
            index = near.link_lookup(ifname="v0")[0]
            near.addr("add", index=index, address=ROUTER_6, prefixlen=PREFIX_6, ifa_flags=NO_DAD)
            near.route("add", dst="fd18::/64", gateway=HOSTS_SIDE_6)

    def _any_ip_6(self) -> None:
        with IPRoute(netns=self.far) as far:
            lo = far.link_lookup(ifname="lo")[0]
            far.route("add", dst="fd18::/64", oif=lo, type="local", table=255)

    def _any_ip(self, command: str) -> None:
        """Let the hosts' side answer for all of 198.18.0.0/15, or no longer."""
        with IPRoute(netns=self.far) as far:
            lo = far.link_lookup(ifname="lo")[0]
            far.route(command, dst="198.18.0.0/15", oif=lo, type="local", table=255, scope=254)

    def kill_any_ip(self) -> None:
        self._any_ip("del")

    def blackhole(self) -> None:
        """Let the hosts' side drop what comes for 198.18.0.0/15, without a word."""
        self.kill_any_ip()
        with IPRoute(netns=self.far) as far:
            far.route("add", dst="198.18.0.0/15", type="blackhole")

    def answer_as_router(self, host: str, kind: str) -> None:
        """Let the hosts' side treat what comes for `host`, of 198.18.0.0/15, as a router does
        whose route there has the type `blackhole`, `unreachable`, `prohibit` or `throw`.
        """
        with self.inside_far():
            for name, value in (("ip_forward", 1), ("icmp_ratelimit", 0)):
                Path(f"/proc/sys/net/ipv4/{name}").write_text(str(value))
        with IPRoute(netns=self.far) as far:
            far.route("add", dst=f"{host}/32", type=kind, table=255)

    def address(self, command: str, *addresses: str) -> None:
        """`add` or `del` hosts on the link itself."""
        with IPRoute(netns=self.far) as far:
            index = far.link_lookup(ifname="v1")[0]
            for address in addresses:
                prefix, flags = (PREFIX_6, NO_DAD) if ":" in address else (PREFIX, 0)
                far.addr(command, index=index, address=address, prefixlen=prefix, ifa_flags=flags)

    def uplink(self, state: str) -> None:
        """Set the monitor's own end of the link `up` or `down`."""
        with IPRoute(netns=self.near) as near:
            near.link("set", index=near.link_lookup(ifname="v0")[0], state=state)

    def far_end(self, state: str) -> None:
        """Set the other end of the link, and so our carrier, `up` or `down`."""
        with IPRoute(netns=self.far) as far:
            far.link("set", index=far.link_lookup(ifname="v1")[0], state=state)

    @contextlib.contextmanager
    def inside_far(self) -> Iterator[None]:
        netns.pushns(self.far)
        try:
            yield
        finally:
            netns.popns()

    @contextlib.contextmanager
    def inside_near(self) -> Iterator[None]:
        netns.pushns(self.near)
        try:
            yield
        finally:
            netns.popns()

    def be_silent(self, silent: bool, over: str = "ipv4/icmp_") -> None:
        """Let all hosts drop echo requests, over IPv4 or `ipv6/icmp/`."""
        with self.inside_far():
            Path(f"/proc/sys/net/{over}echo_ignore_all").write_text(str(int(silent)))

    def echoes(self) -> tuple[int, int]:
        """How many echo requests the hosts' side got, and how many replies it gave."""
        with self.inside_far():
            lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
        names, counts = (line.split() for line in lines if line.startswith("Icmp:"))
        values = dict(zip(names, counts, strict=True))
        return int(values["InEchos"]), int(values["OutEchoReps"])


class BridgedNet(Net):
    """The same with a namespace between the two: v0 leads to m0 there, and v1 to m1.

    Nothing passes unless somebody carries frames from one to the other, as they are: with real
    checksums, and as they go over a wire.
    """

    def __init__(self) -> None:
        self.middle = f"vpcr-middle-{uuid.uuid4().hex[:8]}"
        netns.create(self.middle)
        super().__init__()

    def remove(self) -> None:
        super().remove()
        with contextlib.suppress(OSError):
            netns.remove(self.middle)

    def _connect(self, near: IPRoute, far: IPRoute) -> None:
        for ip, ours, theirs in ((near, "v0", "m0"), (far, "v1", "m1")):
            ip.link(
                "add", ifname=ours, kind="veth", peer={"ifname": theirs, "net_ns_fd": self.middle}
            )
        with self.inside_near():
            switch_offloads_off("v0")
        with self.inside_far():
            switch_offloads_off("v1")
        with self.inside_middle():
            # No packets of its own.
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        with IPRoute(netns=self.middle) as middle:
            for name in ("m0", "m1"):
                middle.link("set", index=middle.link_lookup(ifname=name)[0], state="up")

    @contextlib.contextmanager
    def inside_middle(self) -> Iterator[None]:
        netns.pushns(self.middle)
        try:
            yield
        finally:
            netns.popns()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is in this folder makes network namespaces."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(needs(NAMESPACES))
            if item.name in AS_ANOTHER_USER:
                item.add_marker(needs(ROOT))


def _made(kind: Callable[[], N]) -> Iterator[N]:
    made = kind()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def net() -> Iterator[Net]:
    yield from _made(Net)


@pytest.fixture
def bridged() -> Iterator[BridgedNet]:
    yield from _made(BridgedNet)
