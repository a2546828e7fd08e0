"""Whatever comes in from outside is taken or refused in words; nothing else happens.

Seconds here; `HYPOTHESIS_PROFILE=search` looks for longer. The spec parser and the framing have
theirs beside their other tests.
"""

import itertools
import json
import os
import struct
import tempfile
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.echoing import reply_packet, reply_slot
from vpcrouter.config import settings as config
from vpcrouter.errors import ConfigError
from vpcrouter.model.spec import RouteSpec, parse_spec
from vpcrouter.monitoring import icmp, mmsg, raw_sockets
from vpcrouter.monitoring.echo_packets import V4, EchoCodec
from vpcrouter.monitoring.icmp import EchoLine
from vpcrouter.monitoring.schedule import Outcome
from vpcrouter.plugins.spec_store import SpecStore

# INI files

NAMES = st.sampled_from(
    [
        *(
            "mode",
            "health",
            "vpc",
            "address",
            "port",
            "delete_limit",
            "verbose",
            "ignore_routes",
            "file",
        ),
        *("api_token_file", "api_tls_cert", "api_tls_key", "api_hosts", "http_check_url", "x", ""),
        *(
            "etcd_endpoints",
            "script_command",
            "multi_plugins",
            "fixed_cidr",
            "state_dir",
            "DEFAULT",
        ),
    ]
)
SECTIONS = st.sampled_from(
    [
        "vpcrouter",
        "multi",
        "configfile",
        "tcp",
        "http",
        "etcd",
        "script",
        "fixedconf",
        "DEFAULT",
        "",
    ]
)
LINES = st.one_of(
    SECTIONS.map(lambda name: f"[{name}]"),
    st.builds("{} = {}".format, NAMES, st.text(max_size=20)),
    st.builds("{}{}".format, NAMES, st.text(max_size=5)),
    st.text(max_size=20),
)


def load(arguments: list[str]) -> None:
    """Read settings; only a ConfigError with sentences may come of bad ones."""
    faults: tuple[str, ...] | None = None
    try:
        config.load("vpcrouter", arguments, None)
    except ConfigError as error:
        faults = error.faults
    assert faults is None or (faults and all(faults))


@given(st.lists(LINES, max_size=12).map("\n".join).map(str.encode) | st.binary(max_size=200))
@example(b"\xff\xfe[vpcrouter]")
@example(b"[vpcrouter]\naddress = \xc2\x80..\xe2\x80\xa8")
@example(b"[vpcrouter]\naddress = a\x00b")
@example(b"[vpcrouter]\nmode = a.b\nvpc=x\n")
@example(b"[vpcrouter]\napi_token_file = /\x00\n")
@example(b"[vpcrouter]\napi_tls_cert = /\x00\napi_tls_key = /\x00\n")
def test_any_ini_file(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".ini") as file:
        file.write(content)
        file.flush()
        load(["--config", file.name, "-v", "vpc-1"])


FLAGS = st.sampled_from(
    [
        *(
            "-v",
            "-m",
            "-H",
            "-a",
            "-p",
            "--vpc",
            "--mode",
            "--health",
            "--address",
            "--api_token_file",
        ),
        *(
            "--api_hosts",
            "--verbose",
            "--config",
            "--check",
            "--file=",
            "--port=",
            "--",
            "-",
            "--x",
        ),
    ]
)


WORDS = st.text(max_size=12).map(str.encode) | st.binary(max_size=12)
"""As the system hands them over: any bytes but zero."""


@given(st.lists(FLAGS | WORDS.map(lambda word: os.fsdecode(word.replace(b"\0", b""))), max_size=8))
@example(["-a", "\udc80", "-v", "vpc-1", "-m", "http"])
@example(["--config", "\udc80"])
@example(["-f", "\udc80", "-v", "vpc-1"])
def test_any_command_line(words: list[str]) -> None:
    if not {"-h", "--help", "--version"} & {word.partition("=")[0] for word in words}:
        load(words)


# The store

IDENTITY = {"vpc": "vpc-1", "mode": "http"}
SAVED = json.dumps({"identity": IDENTITY, "route_spec": {"10.1.0.0/16": ["10.0.0.1"]}}).encode()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["identity", "route_spec", "10.1.0.0/16", "vpc"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def load_stored(content: bytes) -> RouteSpec | None:
    with tempfile.TemporaryDirectory() as folder:
        store = SpecStore(folder, IDENTITY)
        store.path.write_bytes(content)
        found = store.load()
        assert found is None or parse_spec(json.dumps(found.routes)).routes == found.routes
        return found


@given(st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode))
@example(b"1" * 5000)
@example(b'{"identity": ' + b"[" * 100_000)
def test_any_store_file(content: bytes) -> None:
    load_stored(content)


@given(JSON)
def test_any_spec_in_the_store_file(value: Any) -> None:
    load_stored(json.dumps({"identity": IDENTITY, "route_spec": value}).encode())


@given(st.integers(0, len(SAVED)), st.integers(0, len(SAVED)), st.binary(max_size=4))
def test_a_damaged_store_file(at: int, upto: int, new: bytes) -> None:
    load_stored(SAVED[:at] + new + SAVED[upto:])


# ICMP

SECRET = b"8 bytes!"
SOURCE = bytes([10, 0, 0, 7])
SLOT = V4.reply.size
IP_SOURCE, IP_BYTES = 12, 20
CODEC = EchoCodec(4711, SECRET)


@given(st.lists(st.binary(min_size=SLOT, max_size=SLOT), max_size=5))
def test_packets_without_our_secret_are_no_replies(packets: list[bytes]) -> None:
    sizes = [V4.reply_bytes] * len(packets)
    assert CODEC.replies(memoryview(b"".join(packets)), sizes, itertools.repeat(0.0)) == []


@given(st.integers(0, 2**64 - 1), st.integers(0, SLOT - 1), st.integers(1, 255))
def test_a_reply_with_a_flipped_byte_is_none(serial: int, at: int, flip: int) -> None:
    """The kernel has looked at the IP header before it; what lies behind it is not read."""
    slot = reply_slot(CODEC, SOURCE, serial)
    slot[at] ^= flip
    found = CODEC.replies(memoryview(slot), [V4.reply_bytes], [0.0])
    is_read = IP_SOURCE <= at < IP_SOURCE + 4 or IP_BYTES <= at < V4.reply_bytes
    assert found == ([] if is_read else [(serial, True, 0.0)])


@given(st.integers(0, 2**64 - 1), st.integers(0, SLOT).filter(lambda size: size != V4.reply_bytes))
def test_a_reply_of_another_length_is_none(serial: int, size: int) -> None:
    """What lies behind it in the slot may be the last reply's."""
    assert not CODEC.replies(memoryview(reply_slot(CODEC, SOURCE, serial)), [size], [0.0])


def genuine(serial: int) -> bytes:
    return reply_packet(CODEC, SOURCE, serial)


class Packets:
    """In place of a socket: what arrives is what the test says."""

    def __init__(self, packets: list[tuple[bytes, bytes]]) -> None:
        self._packets = packets

    def fileno(self) -> int:
        return -1

    def recvmsg_into(self, buffers: list[Any], _size: int) -> tuple[int, list[Any], int, Any]:
        if not self._packets:
            raise BlockingIOError
        packet, stamp = self._packets.pop(0)
        length = min(len(packet), len(buffers[0]))
        buffers[0][:length] = packet[:length]
        ancillary = [(1, raw_sockets.SO_TIMESTAMPNS, stamp)] if stamp else []
        return length, ancillary, 0, ("10.0.0.7", 0)


STAMPS = st.just(b"") | st.binary(min_size=16, max_size=16)


def received(packets: list[tuple[bytes, bytes]]) -> list[Outcome]:
    """What the prober makes of packets that arrive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(icmp, "open_echo_socket", lambda *_: Packets(packets))
        seconds = itertools.count(1000)
        line = EchoLine(CODEC, lambda: float(next(seconds)), fast=False)
        found: list[Outcome] = []
        while (some := line.collect()) is not None:
            found += some
        return found


@given(
    st.lists(
        st.tuples(st.binary(max_size=100) | st.integers(0, 2**64 - 1).map(genuine), STAMPS),
        max_size=8,
    )
)
@example([(b"", b"")])
@example([(b"\x45" * 65_535, struct.pack("=qq", 2**62, -1))])
def test_any_packets(packets: list[tuple[bytes, bytes]]) -> None:
    """Arrival times stay between two readings, whatever the stamps say."""
    sent = {packet for packet, _ in packets}
    for serial, is_up, at_s in received(packets):
        assert is_up
        assert genuine(serial) in sent
        assert 1000 <= at_s <= 1000 + mmsg.BATCH
