"""Two network namespaces with a veth pair between them: this process in one, hosts in the other.

Nothing in them leads anywhere else.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyroute2 import IPRoute, netns
from pyroute2.netlink.exceptions import NetlinkError

from tests.bench.figures import NotPossibleError

LINK = "bench"
LOCAL = 255
"""The routing table that is looked into first."""
NEAR, FAR = "198.19.0.1", "198.19.0.2"
HOSTS = "198.18.0.0/16"


class FarSide:
    """The hosts' namespace; a host is an address of its loopback interface, or any of HOSTS."""

    def __init__(self, route: IPRoute, name: str) -> None:
        self.name = name
        self._route = route
        self._loopback = route.link_lookup(ifname="lo")[0]

    def add(self, host: str) -> None:
        self._route.addr("add", index=self._loopback, address=host, prefixlen=32)

    def silence(self, host: str) -> float:
        """Take the host's address away; return the monotonic time just before."""
        at_s = time.monotonic()
        self._route.addr("delete", index=self._loopback, address=host, prefixlen=32)
        return at_s

    def answer_for_all(self) -> None:
        """Every address of HOSTS is a host."""
        self._route.route(
            "add", dst=HOSTS, oif=self._loopback, type="local", table=LOCAL, scope=254
        )

    def drop(self, host: str) -> float:
        """Drop what comes for the host, without a word; return the monotonic time just before."""
        at_s = time.monotonic()
        self._route.route("add", dst=f"{host}/32", type="blackhole", table=LOCAL)
        return at_s

    def drop_no_longer(self, host: str) -> None:
        self._route.route("delete", dst=f"{host}/32", type="blackhole", table=LOCAL)

    def received(self, protocol: str, what: str) -> int:
        """A count of /proc/net/snmp, such as `Icmp` `InEchos`."""
        with inside(self.name):
            return counted(protocol, what)


def counted(protocol: str, what: str) -> int:
    """The same, of the namespace that this thread is in."""
    text = Path("/proc/thread-self/net/snmp").read_text(encoding="ascii")
    names, counts = (line.split() for line in text.splitlines() if line.startswith(f"{protocol}:"))
    return int(dict(zip(names, counts, strict=True))[what])


@contextlib.contextmanager
def pair(hosts: Sequence[str]) -> Iterator[FarSide]:
    """Two namespaces, the hosts in the far one; this thread is in the near one meanwhile.

    Raises NotPossibleError where namespaces can't be made.
    """
    with contextlib.ExitStack() as stack:
        names = [f"vpcrouter-bench-{os.getpid()}-{side}" for side in ("near", "far")]
        for name in names:
            try:
                netns.create(name)
            except OSError as error:
                raise NotPossibleError(f"no network namespace can be made: {error}") from None
            stack.callback(netns.remove, name)
        near, far = (stack.enter_context(_route_in(name)) for name in names)
        try:
            _connect(near, far, names[1])
        except NetlinkError as error:
            raise NotPossibleError(f"no veth pair can be made: {error}") from None
        side = FarSide(far, names[1])
        for host in hosts:
            side.add(host)
        stack.enter_context(inside(names[0]))
        yield side


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread is in the namespace meanwhile, with the processes that it starts."""
    netns.pushns(name)
    try:
        yield
    finally:
        netns.popns()


def _route_in(name: str) -> IPRoute:
    """A netlink socket in the namespace.

    `IPRoute(netns=...)` would fork a child for it and end that by SIGTERM, which this process
    handles, and so the child does, too.
    """
    with inside(name):
        return IPRoute()


def _connect(near: IPRoute, far: IPRoute, far_name: str) -> None:
    near.link("add", ifname=LINK, kind="veth", peer={"ifname": LINK, "net_ns_fd": far_name})
    for route, address in ((near, NEAR), (far, FAR)):
        for name in ("lo", LINK):
            index = route.link_lookup(ifname=name)[0]
            route.link("set", index=index, state="up")
        route.addr("add", index=index, address=address, prefixlen=30)
    near.route("add", dst=HOSTS, gateway=FAR)
    # What is for no host is dropped without a word.
    far.route("add", dst="0.0.0.0/0", type="blackhole")
