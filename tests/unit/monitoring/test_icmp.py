"""The ICMP prober where the machine is not as one would wish."""

import struct
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.unit.echoing import reply_packet
from vpcrouter.monitoring import icmp, raw_sockets
from vpcrouter.monitoring.echo_packets import V4, V6, EchoCodec, Version
from vpcrouter.monitoring.icmp import EchoLine

SECRET = b"8 bytes!"
SOURCE = bytes([10, 0, 0, 7])


@pytest.mark.parametrize(("version", "name"), [(V4, "ipv4"), (V6, "ipv6")])
@pytest.mark.parametrize(("hosts", "warns"), [(1024, False), (1025, True)])
def test_a_small_neighbour_table_is_warned_of(
    hosts: int,
    warns: bool,
    version: Version,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "net" / name / "neigh" / "default"
    folder.mkdir(parents=True)
    (folder / "gc_thresh3").write_text("1024\n")
    monkeypatch.setattr(icmp, "SYSCTLS", tmp_path)
    with capture_logs() as logs:
        icmp.warn_of_small_neighbour_table(version, hosts)
    assert [f"net.{name}.neigh.default.gc_thresh3" in log["event"] for log in logs] == [
        True
    ] * warns


class Late:
    """In place of a raw socket: a reply to one probe, stamped by the kernel's wall clock."""

    def __init__(self, packet: bytes, stamped_s: float) -> None:
        self._waiting = [(packet, struct.pack("=qq", int(stamped_s), 0))]

    def fileno(self) -> int:
        return -1

    def recvmsg_into(self, buffers: list[memoryview], _size: int) -> tuple[object, ...]:
        if not self._waiting:
            raise BlockingIOError
        packet, stamp = self._waiting.pop()
        buffers[0][: len(packet)] = packet
        return len(packet), [(1, raw_sockets.SO_TIMESTAMPNS, stamp)], 0, ("10.0.0.7", 0)


@pytest.mark.parametrize(
    ("jump_s", "at_s"),
    [(0.0, 1003.0), (-3600.0, 1000.0), (3600.0, 1000.0)],
    ids=["no jump", "back", "ahead"],
)
def test_a_wall_clock_that_jumps_makes_no_answer_late(
    jump_s: float, at_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read 5 s after the last reading, the reply came 2 s ago, and the clock was set since."""
    codec = EchoCodec(4711, SECRET)
    packet = reply_packet(codec, SOURCE, 1)
    now_s, wall_ahead_s = 1000.0, 5000.0
    sock = Late(packet, 1003.0 + wall_ahead_s)
    monkeypatch.setattr(icmp, "open_echo_socket", lambda *_: sock)
    monkeypatch.setattr(time, "time", lambda: now_s + wall_ahead_s)
    line = EchoLine(codec, lambda: now_s, fast=False)
    line._wall_ahead_s = wall_ahead_s
    now_s, wall_ahead_s = 1005.0, wall_ahead_s + jump_s
    assert line.collect() == [(1, True, at_s)]
