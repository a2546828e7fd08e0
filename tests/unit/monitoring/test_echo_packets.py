"""Echo requests as they must be, and which replies count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.echoing import reply_slot
from vpcrouter.monitoring.echo_packets import V4, V6, EchoCodec, checksum

SECRET = b"8 bytes!"
SOURCE = bytes([10, 0, 0, 7])
SOURCE_6 = bytes([0x20, 1, *bytes(13), 7])


@given(st.integers(0, 2**64 - 1), st.binary(min_size=4, max_size=4), st.integers(0, 0xFFFF))
def test_probes_have_a_right_checksum(serial: int, address: bytes, ident: int) -> None:
    codec = EchoCodec(ident, SECRET)
    (packet,) = codec.requests([codec.tail(address)], [serial])
    assert checksum(packet) == 0
    assert packet[0] == V4.request_kind
    assert int.from_bytes(packet[6:8], "big") == serial & 0xFFFF


@pytest.mark.parametrize(
    ("offset", "value", "counts"),
    [
        (None, b"", True),
        (20, bytes([V4.request_kind]), False),
        (12, bytes([10, 0, 0, 8]), False),
        (26, b"\xff\xff", False),
        (48, bytes([10, 0, 0, 8]), False),
        (56, b"8 bytes?", False),
        (22, b"\0\0", False),
        (32, b"\1", False),
    ],
)
def test_only_genuine_replies_count(offset: int | None, value: bytes, counts: bool) -> None:
    codec = EchoCodec(4711, SECRET)
    slot = reply_slot(codec, SOURCE, 70_000)
    if offset is not None:
        slot[offset : offset + len(value)] = value
    replies = codec.replies(memoryview(slot), [codec.version.reply_bytes], [1.5])
    assert replies == ([(70_000, True, 1.5)] if counts else [])


@pytest.mark.parametrize(
    ("offset", "value", "counts"),
    [
        (None, b"", True),
        (28, bytes([V6.request_kind]), False),
        (29, b"\1", False),
        (23, b"\x08", False),
        (34, b"\xff\xff", False),
        (71, b"\x08", False),
        (72, b"8 bytes?", False),
    ],
)
def test_only_genuine_replies_count_over_ipv6(
    offset: int | None, value: bytes, counts: bool
) -> None:
    codec = EchoCodec(4711, SECRET, V6)
    (echo,) = codec.requests([codec.tail(SOURCE_6)], [70_000])
    assert (echo[0], len(echo)) == (V6.request_kind, V6.echo.size)
    slot = reply_slot(codec, SOURCE_6, 70_000)
    assert len(slot) == V6.reply.size
    if offset is not None:
        slot[offset : offset + len(value)] = value
    replies = codec.replies(memoryview(slot), [codec.version.reply_bytes], [1.5])
    assert replies == ([(70_000, True, 1.5)] if counts else [])
