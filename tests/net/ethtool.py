"""Interfaces' offloads (linux/ethtool.h)."""

import array
import fcntl
import socket
import struct

SIOCETHTOOL = 0x8946
CHECKSUMS, TSO, GSO, GRO = 0x17, 0x1F, 0x24, 0x2C
"""ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO"""


def switch_offloads_off(interface: str) -> None:
    """Let what it sends have real checksums and real sizes; in this thread's namespace.

    Raises OSError.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in (TSO, GSO, GRO, CHECKSUMS):
            value = array.array("B", struct.pack("=II", command, 0))
            address, _ = value.buffer_info()
            fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP", interface.encode(), address))
