"""ICMP echo to any number of hosts from one raw socket for each version of IP."""

import errno
import itertools
import secrets
import select
import socket
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from vpcrouter.logs import setup as logs
from vpcrouter.monitoring import mmsg
from vpcrouter.monitoring.audit import KernelCount
from vpcrouter.monitoring.echo_packets import V4, V6, EchoCodec, Version, version_of
from vpcrouter.monitoring.raw_sockets import SO_TIMESTAMPNS, STAMP, PlainIo, open_echo_socket
from vpcrouter.monitoring.schedule import Outcome

CLOCK_STEP_S = 0.001
FINE_S = 0.02
"""Within this time of the last read, exact arrival times are not computed."""
NEIGHBOURS = "net.{}.neigh.default.gc_thresh3"
SYSCTLS = Path("/proc/sys")
REPLIES = KernelCount("Icmp.InEchoReps", "Icmp6InEchoReplies")
"""Echo replies with a valid checksum, to all programs on this machine."""

log = logs.get(__name__)


class EchoLine:
    """Probes and replies over one version of IP."""

    def __init__(self, codec: EchoCodec, clock: Callable[[], float], fast: bool) -> None:
        """Raises ConfigError if raw sockets are not permitted, OSError without this IP version."""
        self.trouble = ""
        self._version = codec.version
        self._clock = clock
        self._codec = codec
        self._sock = open_echo_socket(codec.version, codec.ident)
        # Packets to a failed neighbour wait for ARP and fill their socket's buffer, so hosts
        # that don't answer are probed from a separate socket.
        self._silent_sock = open_echo_socket(codec.version, None)
        self._silent_out = PlainIo(self._silent_sock, codec.version)
        self._out: mmsg.Sender | PlainIo
        self._in: mmsg.Receiver | PlainIo
        if fast:
            fd, its = self._sock.fileno(), codec.version
            self._out = mmsg.Sender(fd, its.echo.size, its.sockaddr.size)
            self._in = mmsg.Receiver(fd, its.reply.size, its.name_bytes)
        else:
            self._out = self._in = PlainIo(self._sock, codec.version)
        self._routes: dict[str, tuple[bytes, bytes]] = {}
        """Each host's sockaddr and the tail of its probes."""
        self._silent: set[str] = set()
        self._wall_ahead_s = 0.0
        self._drained_s = clock()
        self._may_have_more = True

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()
        self._silent_sock.close()

    def set_hosts(self, hosts: Sequence[str]) -> None:
        self._routes = {host: self._route(host) for host in hosts}
        self._silent &= self._routes.keys()
        warn_of_small_neighbour_table(self._version, len(hosts))

    def _route(self, host: str) -> tuple[bytes, bytes]:
        packed = self._version.packed(host)
        return self._version.to(packed), self._codec.tail(packed)

    def send(self, hosts: Sequence[str], serials: Sequence[int]) -> list[int]:
        """Send a probe to each host; the indexes of those not sent."""
        routes = self._routes
        packets = self._codec.requests([routes[host][1] for host in hosts], serials)
        addresses = [routes[host][0] for host in hosts]
        silent = self._silent
        if not silent:
            return self._send(self._out, packets, addresses)
        unsent: list[int] = []
        for out, is_silent in ((self._out, False), (self._silent_out, True)):
            which = [i for i, host in enumerate(hosts) if (host in silent) is is_silent]
            failed = self._send(out, [packets[i] for i in which], [addresses[i] for i in which])
            unsent += [which[index] for index in failed]
        return unsent

    def _send(
        self, out: mmsg.Sender | PlainIo, packets: list[bytes], addresses: list[bytes]
    ) -> list[int]:
        unsent: list[int] = []
        for start in range(0, len(packets), mmsg.BATCH):
            end = start + mmsg.BATCH
            for index, error in out.send(packets[start:end], addresses[start:end]):
                unsent.append(start + index)
                self.trouble = errno.errorcode.get(error, str(error))
        return unsent

    def collect(self) -> Sequence[Outcome] | None:
        """As a Prober's."""
        if not self._may_have_more:
            self._may_have_more = True
            return None
        now_s = self._clock()
        try:
            count = self._in.receive()
        except OSError as error:  # an ICMP error that the kernel reports to this socket
            log.debug("receive failed", reason=str(error))
            return []
        if not count:
            self._drained_s = now_s
            return None
        self._may_have_more = count == mmsg.BATCH
        slots, controls, sizes = self._in.take(count)
        outcomes = self._codec.replies(slots, sizes, self._arrivals(controls, now_s))
        if not self._may_have_more:
            self._drained_s = now_s
        return outcomes

    def _arrivals(self, controls: memoryview, now_s: float) -> Iterable[float]:
        """When each packet arrived, from the kernel's wall clock converted to monotonic time.

        If the last read was a moment ago, or the wall clock was set meanwhile, the earliest
        possible time.
        """
        earliest_s = self._drained_s
        if now_s - earliest_s < FINE_S:
            return itertools.repeat(earliest_s)
        ahead_s = (
            time.time() - self._clock()
        )  # read together: a delay between them would look like a step
        has_stepped = abs(ahead_s - self._wall_ahead_s) > CLOCK_STEP_S
        self._wall_ahead_s = ahead_s
        if has_stepped:
            return itertools.repeat(earliest_s)
        return [
            min(max(second + nano * 1e-9 - ahead_s, earliest_s), now_s)
            if kind == SO_TIMESTAMPNS
            else earliest_s
            for _, kind, second, nano in STAMP.iter_unpack(controls)
        ]

    def silence(self, host: str) -> None:
        """Probe this host from the separate socket from now on."""
        if host in self._routes:
            self._silent.add(host)

    def revive(self, hosts: Iterable[str]) -> None:
        self._silent.difference_update(hosts)


class EchoProber:
    """A Prober (see `prober`) by ICMP echo, over IPv4 and IPv6."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, fast: bool | None = None
    ) -> None:
        """Open the sockets; raises ConfigError if that is not permitted.

        `fast` selects `sendmmsg` or plain calls; by default, `sendmmsg` where available.
        """
        self.trouble = ""
        self.answers = 0
        self._arrived = select.epoll()
        self._lines: dict[Version, EchoLine] = {}
        self._unread: list[EchoLine] = []
        """Lines that may have more to read; empty when all have been read."""
        self._has_v6_hosts = False
        ident, secret = 1 + secrets.randbelow(0xFFFF), secrets.token_bytes(8)
        use_mmsg = mmsg.is_available() if fast is None else fast
        for version in (V4, V6):
            try:
                line = EchoLine(EchoCodec(ident, secret, version), clock, use_mmsg)
            except OSError as error:
                if version is V4:
                    raise
                log.debug("IPv6 not available", reason=str(error))
                continue
            self._lines[version] = line
            self._arrived.register(line.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        return self._arrived.fileno()

    def counted(self) -> int | None:
        return REPLIES.read()

    def close(self) -> None:
        for line in self._lines.values():
            line.close()
        self._arrived.close()

    def set_hosts(self, hosts: Sequence[str]) -> None:
        self._has_v6_hosts = any(version_of(host) is V6 for host in hosts)
        for version, line in self._lines.items():
            line.set_hosts([host for host in hosts if version_of(host) is version])

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        serials = range(first, first + len(hosts))
        if not self._has_v6_hosts:
            return self._send(V4, hosts, serials)
        unsent: list[int] = []
        for version in (V4, V6):
            which = [i for i, host in enumerate(hosts) if version_of(host) is version]
            failed = self._send(version, [hosts[i] for i in which], [serials[i] for i in which])
            unsent += [which[index] for index in failed]
        return unsent

    def _send(
        self, version: Version, hosts: Sequence[str], serials: Sequence[int]
    ) -> Collection[int]:
        line = self._lines.get(version)
        if line is None:
            self.trouble = errno.errorcode[errno.EAFNOSUPPORT]
            return range(len(hosts))
        unsent = line.send(hosts, serials)
        if unsent:
            self.trouble = line.trouble
        return unsent

    def collect(self) -> Sequence[Outcome] | None:
        self._unread = self._unread or list(self._lines.values())
        while self._unread:
            outcomes = self._unread[-1].collect()
            if outcomes is not None:
                self.answers += len(outcomes)
                return outcomes
            self._unread.pop()
        return None

    def expire(self, probes: Iterable[tuple[int, str]]) -> None:
        for _, host in probes:
            if (line := self._lines.get(version_of(host))) is not None:
                line.silence(host)

    def revive(self, hosts: Iterable[str]) -> None:
        hosts = list(hosts)
        for line in self._lines.values():
            line.revive(hosts)

    def forget(self, serials: Iterable[int]) -> None:
        """Nothing to release: a late reply is recognised by its serial number."""


def warn_of_small_neighbour_table(version: Version, hosts: int) -> None:
    """Warn if so many neighbours would overflow the kernel's neighbour table."""
    sysctl = NEIGHBOURS.format("ipv4" if version.family == socket.AF_INET else "ipv6")
    try:
        limit = int((SYSCTLS / sysctl.replace(".", "/")).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return  # not shown inside a network namespace
    if hosts > limit:
        log.warning(
            f"neighbour table too small if all hosts are on this subnet; raise sysctl {sysctl}",
            gc_thresh3=limit,
            hosts=hosts,
        )
