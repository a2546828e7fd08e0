"""The echo replies of a host, as they lie in a slot for packets."""

from vpcrouter.monitoring.echo_packets import V4, V6, EchoCodec, checksum


def reply_packet(codec: EchoCodec, source: bytes, serial: int) -> bytes:
    """What comes back from `source` for a probe of that number: IP header and all, over IPv4."""
    (echo,) = codec.requests([codec.tail(source)], [serial])
    if codec.version is V6:
        return bytes([V6.reply_kind]) + echo[1:]
    blank = bytes([V4.reply_kind, 0, 0, 0]) + echo[4:]
    message = blank[:2] + checksum(blank).to_bytes(2, "big") + blank[4:]
    return bytes([0x45, *bytes(11), *source, *bytes(4)]) + message


def reply_slot(codec: EchoCodec, source: bytes, serial: int) -> bytearray:
    name = codec.version.to(source) if codec.version is V6 else b""
    packet = name + reply_packet(codec, source, serial)
    return bytearray(packet.ljust(codec.version.reply.size, b"\0"))
