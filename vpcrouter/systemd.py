"""Telling systemd how the daemon stands (sd_notify(3)); without systemd, nothing happens."""

import os
import socket


def notify(*assignments: str) -> None:
    """Send `READY=1`, `STATUS=…` and the like; never waits, never fails."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto("\n".join(assignments).encode(), address)
    except OSError:
        return
