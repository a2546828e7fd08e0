"""Hosts behind a scriptable middlebox, in network namespaces."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from pyroute2 import IPRoute

from tests.net.conftest import BridgedNet
from tests.net.rules import Rule
from tests.waiting import wait_until

ETH_P_ALL = 3
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 4 * 1024 * 1024
STOP_S = 5.0
FAR_SYSCTLS = {
    "ipv4/ip_forward": 1,
    "ipv4/icmp_ratelimit": 0,
    "ipv6/conf/all/forwarding": 1,
    "ipv6/icmp/ratelimit": 0,
}
"""The far end routes, and says at once what it cannot."""
ANSWER_S = 10.0


class Testbed:
    """The middlebox and the hosts' servers; a context manager.

    All addresses behind the far end are hosts and accept on `port`. `narrow` ones have a listener
    of their own, with room for one connection that nobody has accepted.
    """

    __test__ = False

    def __init__(self, net: BridgedNet, port: int, narrow: Iterable[str] = ()) -> None:
        self.net = net
        self.port = port
        self._narrow = {host: 2 + i for i, host in enumerate(narrow)}
        self._waiting: dict[str, list[socket.socket]] = {}

    def __enter__(self) -> Self:
        with self.net.inside_far():
            for name, value in FAR_SYSCTLS.items():
                Path(f"/proc/sys/net/{name}").write_text(str(value))
            listeners = [self._listen("", socket.AF_INET), self._listen("", socket.AF_INET6)]
            listeners += [self._listen(host, socket.AF_INET, 0) for host in self._narrow]
        with self.net.inside_middle():
            links = [_packet_socket("m0"), _packet_socket("m1")]
        ours, theirs = socket.socketpair()
        given = [theirs, *links, *listeners]
        fds = [each.fileno() for each in given]
        command = [sys.executable, "-m", "tests.net.middlebox", *map(str, fds)]
        self._process = subprocess.Popen(command, pass_fds=fds)
        self._control = Connection(ours.detach())
        for each in given:
            each.close()
        self.rules({})  # once it answers, it carries frames
        return self

    def __exit__(self, *_: object) -> None:
        for host in list(self._waiting):
            self.drain_queue(host)
        self._control.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.returncode == 0, "the middlebox has failed"

    def _listen(
        self, host: str, family: socket.AddressFamily, backlog: int = 4096
    ) -> socket.socket:
        at = (host, self.port)
        return socket.create_server(at, family=family, backlog=backlog, reuse_port=True)

    def rules(self, rules: Mapping[str, Rule | None], times: int | None = None) -> None:
        """From now on these hosts' packets are handled so, `times` times; None passes them."""
        self._ask("rules", dict(rules), times)

    def wait_until_used(self, seconds: float) -> None:
        """Until every rule with a number of times has acted so often."""
        left = "rules that have not acted"
        wait_until(
            lambda: self._ask("unused") == 0, seconds, lambda: f"{left}: {self._ask('unused')}"
        )

    def fill_queue(self, host: str) -> None:
        """Let connections to a narrow host wait, and nobody accept them, until no more fit."""
        self._ask("accept", self._narrow[host], False)
        waiting = self._waiting[host] = []
        with self.net.inside_far():
            for _ in range(3):
                waiting.append(sock := socket.socket())
                sock.setblocking(False)
                sock.connect_ex((host, self.port))

    def drain_queue(self, host: str) -> None:
        for sock in self._waiting.pop(host):
            sock.close()
        self._ask("accept", self._narrow[host], True)

    def route(self, side: str, command: str, host: str, kind: str) -> None:
        """`add` or `del` a route that refuses what is for `host`, in the `near` or `far` one."""
        of_local_ones = {"table": 255} if side == "far" else {}
        with IPRoute(netns=getattr(self.net, side)) as ip:
            bits = 128 if ":" in host else 32
            ip.route(command, dst=f"{host}/{bits}", type=kind, **of_local_ones)

    def forget_neighbour(self, host: str) -> None:
        """Let the near side ask again for the link address of `host`."""
        with IPRoute(netns=self.net.near) as near, contextlib.suppress(Exception):
            near.neigh("del", dst=host, ifindex=near.link_lookup(ifname="v0")[0])

    def _ask(self, *order: Any) -> Any:
        self._control.send(order)
        assert self._control.poll(ANSWER_S), "the middlebox does not answer"
        return self._control.recv()


def _packet_socket(interface: str) -> socket.socket:
    """It gets what comes in by `interface`, and nothing that goes out. Raises OSError."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    with contextlib.suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    sock.bind((interface, ETH_P_ALL))
    return sock
