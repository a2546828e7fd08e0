"""Runs Python in user, network and mount namespaces of its own, where it is root.

    python tests/own_network.py -m pytest tests/net

There, whoever calls it may make network namespaces, veth pairs and raw sockets, and mount; only
its own user ID exists. Its loopback is up, and nothing else leads anywhere. The standard library
is enough for it: it runs before anything is imported.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

INSIDE = "VPCROUTER_TESTS_INSIDE"
"""The environment variable that says that this process is in there."""
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 0x1
LOOPBACK = b"lo"

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def enter() -> None:
    """Go there, for good. Raises OSError where that is not allowed."""
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", CLONE_NEWNS | CLONE_NEWNET | (CLONE_NEWUSER if uid else 0))
    if uid:
        own = Path("/proc/self")
        (own / "setgroups").write_text("deny")
        (own / "uid_map").write_text(f"0 {uid} 1")
        (own / "gid_map").write_text(f"0 {gid} 1")
    _call("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    # For /run/netns, which only the machine's root may make.
    _call("mount", b"tmpfs", b"/run", b"tmpfs", ctypes.c_ulong(0), b"mode=0755")
    _loopback_up()
    os.environ[INSIDE] = "1"


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", LOOPBACK, 0))
        flags = struct.unpack("16sH14x", request)[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", LOOPBACK, flags | IFF_UP))


if __name__ == "__main__":
    try:
        enter()
    except OSError as error:
        sys.exit(f"no namespaces of our own: {error}")
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # noqa: S606
