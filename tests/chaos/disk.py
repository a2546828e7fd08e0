"""A small disk for `state_dir` that can be filled, seen by this process and its children only."""

import ctypes
import errno
import os
from pathlib import Path

from tests.chaos.namespaces import CLONE_NEWNS, NotPossibleError, check, unshare

MS_REC, MS_PRIVATE = 0x4000, 0x40000
MNT_DETACH = 2
SIZE_BYTES = 24 * 1024 * 1024
"""All workers' logs have room in it."""


def mount(folder: Path) -> None:
    """Mount a tmpfs in a mount namespace of our own. Raises NotPossibleError."""
    if os.geteuid() != 0:
        raise NotPossibleError("needs root, for a mount namespace")
    unshare(CLONE_NEWNS)
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None))
    options = f"size={SIZE_BYTES},mode=0700".encode()
    check(libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(0), options))


def fill(folder: Path) -> None:
    """Leave not a byte."""
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def free(folder: Path) -> None:
    (folder / "filler").unlink(missing_ok=True)


def unmount(folder: Path) -> None:
    """Even if a process that is about to end still has files open on it."""
    ctypes.CDLL(None).umount2(os.fsencode(folder), MNT_DETACH)
