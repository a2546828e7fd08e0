"""The ways to the hosts, and what goes wrong on them.

This process's network namespace has a link to the hosts' one, over which it reaches the hosts of
the first zone by ARP, and a link to a router's, behind which are those of the other zones.
"""

import contextlib
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from tests.chaos.icmp import Rejecter, Rejection, Tap, count_of, first_of
from tests.chaos.namespaces import Network

PREFIX = "10.77"
ON_LINK, ROUTED = f"{PREFIX}.1.0/24", (f"{PREFIX}.2.0/24", f"{PREFIX}.3.0/24")
LINKS = {
    "direct": (f"{PREFIX}.0.1", f"{PREFIX}.0.2"),
    "routed": (f"{PREFIX}.0.5", f"{PREFIX}.0.6"),
    "behind": (f"{PREFIX}.0.9", f"{PREFIX}.0.10"),
}
"""Names of the interfaces, at both ends, with the addresses of the ends."""
OURS, ROUTER = LINKS["direct"][0], LINKS["routed"][1]
PERMANENT = 0x80
"""State of a neighbour (linux/neighbour.h)."""
LOCAL = 255
"""The routing table that is looked into first."""
SCOPE_LINK = 253
RETRANS_MS = 100
"""Between two ARP requests, so that ARP fails after 0.3 s instead of 3 s."""

ROUTE_FAULTS = ("unreachable", "prohibit", "throw")
"""The router's kernel says 3/1, 3/13 and 3/0, but no oftener than once a second."""
PATH_FAULTS = ("drop", "arp", *ROUTE_FAULTS)
"""Beside them, every ICMP error."""


@dataclass(frozen=True, slots=True)
class _Block:
    """What keeps packets from a host: a route of the router, or one of the hosts' own."""

    router: str = ""
    at_host: bool = False
    rejection: Rejection | None = None
    is_found: bool = True
    """Whether it is found by ARP."""


_OPEN = _Block()


class Paths:
    """All three namespaces, of which the one that this thread is in must be new.

    Owned by one thread. Goes away with the process, if it isn't closed before.
    """

    def __init__(self) -> None:
        """Raises NotPossibleError, OSError, NetlinkError."""
        self._blocks: dict[str, _Block] = {}
        with ExitStack() as stack:
            self.hosts, self._router = Network(), Network()
            for each in (self.hosts, self._router):
                stack.callback(each.close)
            self._ips = {"near": stack.enter_context(IPRoute())}
            for name, network in (("hosts", self.hosts), ("router", self._router)):
                with network.inside():
                    self._ips[name] = stack.enter_context(IPRoute())
            self._connect()
            self._address()
            self._allow()
            self._by_host = Rejecter("direct", self.hosts.inside())
            stack.callback(self._by_host.close)
            self._by_router = Rejecter("routed", self._router.inside())
            stack.callback(self._by_router.close)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ---- set-up ---------------------------------------------------------------------------

    def _connect(self) -> None:
        near, router = self._ips["near"], self._ips["router"]
        ends = (
            (near, "direct", self.hosts, "hosts"),
            (near, "routed", self._router, "router"),
            (router, "behind", self.hosts, "hosts"),
        )
        for ip, link, other, other_name in ends:
            ip.link("add", ifname=link, kind="veth", peer={"ifname": link, "net_ns_fd": other.fd})
            for each, address in zip((ip, self._ips[other_name]), LINKS[link], strict=True):
                index = _index(each, link)
                each.addr("add", index=index, address=address, prefixlen=30)
                each.link("set", index=index, state="up")
        for each in self._ips.values():
            each.link("set", index=_index(each, "lo"), state="up")

    def _address(self) -> None:
        near, router, hosts = (self._ips[name] for name in ("near", "router", "hosts"))
        direct, behind = _index(near, "direct"), _index(router, "behind")
        near.route("add", dst=ON_LINK, oif=direct, scope=SCOPE_LINK, prefsrc=OURS)
        loopback = _index(hosts, "lo")
        for zone in (ON_LINK, *ROUTED):
            hosts.route("add", dst=zone, oif=loopback, type="local", table=LOCAL, scope=254)
        for zone in ROUTED:
            near.route("add", dst=zone, gateway=ROUTER)
            router.route("add", dst=zone, oif=behind, scope=SCOPE_LINK)
        hosts.route("add", dst=f"{LINKS['routed'][0]}/32", gateway=LINKS["behind"][0])

    def _allow(self) -> None:
        """Set what no netlink message can."""
        _set("neigh/direct/retrans_time_ms", RETRANS_MS)
        with self._router.inside():
            _set("ip_forward", 1)
            _set("icmp_ratelimit", 0)
            _set("neigh/behind/retrans_time_ms", RETRANS_MS)

    # ---- faults ---------------------------------------------------------------------------

    def fail(self, host: str, how: str, *, of_router: bool) -> None:
        """Let one of PATH_FAULTS, or an ICMP error of this type/code, befall the host.

        `of_router` tells who sends the error. It replaces an earlier fault without a gap.
        """
        if how == "arp":
            block = _Block(at_host=True, is_found=False)
        elif how in ROUTE_FAULTS:
            block = _Block(router=how)
        else:
            source = ROUTER if of_router and not is_on_link(host) else ""
            block = _closed(host, None if how == "drop" else Rejection(how, source))
        self._put(host, block)

    def mend(self, host: str) -> None:
        self._put(host, _OPEN)

    def stray(self, host: str, kind: str, limit_s: float, *, of_router: bool) -> int:
        """Answer the next connection to a good host with an error instead of letting it through.

        Returns how many connections came to nothing: 0 if none began in time, and more than
        one if this process was late.
        """
        is_routed = not is_on_link(host)
        network = self._router if is_routed else self.hosts
        with network.inside():
            tap = Tap("routed" if is_routed else "direct")
        try:
            self._put(host, _closed(host))
            packet = first_of(tap, host, limit_s)
            self._put(host, _OPEN)
            if packet is None:
                return count_of(tap, host)
            count = 1 + count_of(tap, host)
            # As soon as the error is there, the next connection may begin.
            tap.answer(packet, Rejection(kind, ROUTER if of_router and is_routed else ""))
            return count
        finally:
            tap.close()

    @property
    def errors(self) -> Counter[str]:
        """How many errors were made by hand, by type/code; no stray ones."""
        return self._by_host.sent + self._by_router.sent

    def _put(self, host: str, new: _Block) -> None:
        """What is to be comes before what was goes: there's no moment without either."""
        old = self._blocks.get(host, _OPEN)
        rejecter = self._by_host if is_on_link(host) else self._by_router
        if is_on_link(host) and new.at_host and new.is_found:
            self._know_neighbour(host)
        if new.at_host and not old.at_host:
            self._ips["hosts"].route("add", dst=f"{host}/32", type="blackhole", table=LOCAL)
        if new.router and new.router != old.router:
            self._ips["router"].route("replace", dst=f"{host}/32", type=new.router)
        rejecter.set(host, new.rejection)
        if old.at_host and not new.at_host:
            self._ips["hosts"].route("del", dst=f"{host}/32", type="blackhole", table=LOCAL)
        if old.router and not new.router:
            self._ips["router"].route("del", dst=f"{host}/32")
        if not new.is_found or new == _OPEN:
            self._forget_neighbour(host)
        self._blocks[host] = new

    def _know_neighbour(self, host: str) -> None:
        """Who is known for ever is not asked for: what drops all packets answers no ARP."""
        mac = self._ips["hosts"].get_links(ifname="direct")[0].get("address")
        near = self._ips["near"]
        index = _index(near, "direct")
        near.neigh("replace", dst=host, lladdr=mac, ifindex=index, state=PERMANENT)

    def _forget_neighbour(self, host: str) -> None:
        """So ARP is used at once, whatever came of it before."""
        name, link = ("near", "direct") if is_on_link(host) else ("router", "behind")
        ip = self._ips[name]
        with contextlib.suppress(NetlinkError):  # it isn't known
            ip.neigh("del", dst=host, ifindex=_index(ip, link))


def _closed(host: str, rejection: Rejection | None = None) -> _Block:
    """Packets are dropped by whoever is next to us: the router, or the host itself."""
    if is_on_link(host):
        return _Block(at_host=True, rejection=rejection)
    return _Block("blackhole", rejection=rejection)


def is_on_link(host: str) -> bool:
    return IPv4Address(host) in IPv4Network(ON_LINK)


def _index(ip: IPRoute, name: str) -> int:
    return int(ip.link_lookup(ifname=name)[0])


def _set(name: str, value: int) -> None:
    Path(f"/proc/sys/net/ipv4/{name}").write_text(str(value))
