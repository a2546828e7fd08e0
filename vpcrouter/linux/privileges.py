"""Dropping privileges: capabilities(7), and the prctl(2) flags against gaining new ones and against
being inspected.

Capabilities are per thread: drop them before starting other threads.
"""

import contextlib
import ctypes
import os
from collections.abc import Collection

from vpcrouter.linux.prctl import prctl

_NAMES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"),
    *("SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW"),
    *("IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT"),
    *("SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD"),
    *("LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG"),
    *("WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"),
)
NUMBERS = {f"CAP_{name}": number for number, name in enumerate(_NAMES)}
"""From linux/capability.h."""
ROOTS_FILES = frozenset({"CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"})
"""Let root read and write files of other users, as expected when started as root."""

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Half(ctypes.Structure):
    """One half of the 64 bits of each set."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_Halves = _Half * 2


def give_up(kept: Collection[str] = ()) -> None:
    """Drop all capabilities of this thread except those in `kept`; none is inheritable.

    Root also keeps access to other users' files. Raises OSError where a system call filter
    forbids it, KeyError for an unknown name.
    """
    wanted = set(kept) | (ROOTS_FILES if os.geteuid() == 0 else frozenset())
    bits = sum(1 << NUMBERS[name] for name in wanted)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header, halves = _Header(_VERSION_3, 0), _Halves()
    _call("capget", ctypes.byref(header), halves)
    for number, half in enumerate(halves):
        half.permitted &= bits >> (32 * number) & 0xFFFF_FFFF
        half.effective = half.permitted
        half.inheritable = 0
    _call("capset", ctypes.byref(header), halves)


def gain_no_more() -> None:
    """Keep this process and its children from gaining privileges by executing files."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def can_gain_none() -> bool:
    """Whether `gain_no_more` is in force, perhaps by whoever has started this process."""
    return bool(_libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)


def hide_memory() -> None:
    """Keep other processes of this user from reading the memory, and disable core dumps.

    Nor may they open its descriptors or see its environment; /proc/PID belongs to root. What it
    executes can be seen again. Does nothing where a system call filter forbids it.
    """
    with contextlib.suppress(OSError):
        prctl(PR_SET_DUMPABLE, 0)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
