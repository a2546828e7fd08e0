"""seccomp(2): system calls that this process and its children may not make any more.

A refused call fails with EPERM, as if a privilege were missing, and ends nothing. What is listed
is what is refused, so a C library that takes up a new system call breaks nothing. Why not a
library: docs/decisions/0015-sandbox.md.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable

FORBIDDEN = (
    # memory, descriptors and keys of others
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"),
    *("add_key", "keyctl", "request_key", "open_by_handle_at", "userfaultfd"),
    # the kernel and what runs in it
    *("bpf", "perf_event_open", "init_module", "finit_module", "delete_module"),
    *("kexec_load", "kexec_file_load", "reboot", "syslog", "acct", "quotactl", "vhangup"),
    *("swapon", "swapoff", "iopl", "ioperm", "sethostname", "setdomainname"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex"),
    # file systems and namespaces
    *("mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig"),
    *("fsmount", "fspick", "mount_setattr", "setns", "unshare", "fanotify_init"),
    # makes the other calls without their being seen here
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
)
"""What no worker needs."""
EXECUTE = ("execve", "execveat")
LISTEN = ("listen",)

_NEW = {  # the same on all machines since Linux 5.1
    **{"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428},
    **{"move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433},
    **{"pidfd_getfd": 438, "mount_setattr": 442},
}
_X86_64 = {
    **{"socket": 41, "listen": 50, "execve": 59, "ptrace": 101, "syslog": 103, "vhangup": 153},
    **{"pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164},
    **{"mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169},
    **{"sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175},
    **{"delete_module": 176, "quotactl": 179, "clock_settime": 227, "kexec_load": 246},
    **{"add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272},
    **{"perf_event_open": 298, "fanotify_init": 300, "open_by_handle_at": 304},
    **{"clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311},
    **{"kcmp": 312, "finit_module": 313, "seccomp": 317, "kexec_file_load": 320, "bpf": 321},
    **{"execveat": 322, "userfaultfd": 323},
}
_AARCH64 = {
    **{"umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "vhangup": 58, "quotactl": 60},
    **{"acct": 89, "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106},
    **{"clock_settime": 112, "syslog": 116, "ptrace": 117, "reboot": 142, "sethostname": 161},
    **{"setdomainname": 162, "settimeofday": 170, "adjtimex": 171, "socket": 198, "listen": 201},
    **{"add_key": 217, "request_key": 218, "keyctl": 219, "execve": 221, "swapon": 224},
    **{"swapoff": 225, "perf_event_open": 241, "fanotify_init": 262, "open_by_handle_at": 265},
    **{"clock_adjtime": 266, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271},
    **{"kcmp": 272, "finit_module": 273, "seccomp": 277, "bpf": 280, "execveat": 281},
    **{"userfaultfd": 282, "kexec_file_load": 294},
}
MACHINES = {"x86_64": (0xC000003E, _X86_64 | _NEW), "aarch64": (0xC00000B7, _AARCH64 | _NEW)}
"""By machine: AUDIT_ARCH_… of linux/audit.h, and the numbers of system calls (asm/unistd.h)."""
_X32 = 0x4000_0000
"""Added to the numbers of x86_64's other ABI, which nothing here uses."""

_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_SPEC_ALLOW = 1 << 2
"""Without it, Linux before 5.16 slows the process down against Spectre v4."""
_RET_ALLOW, _RET_ERRNO = 0x7FFF_0000, 0x0005_0000
_LOAD, _AND, _JEQ, _JGE, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
"""BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_JMP|JEQ|K, BPF_JMP|JGE|K and BPF_RET|K of linux/bpf_common.h."""
_NUMBER, _ARCH, _FIRST, _SECOND = 0, 4, 16, 24
"""Where struct seccomp_data has a call's number, its machine, and its first two arguments."""
_TYPE_MASK, _SOCK_PACKET = 0xF, 10
_NO_TYPES = frozenset({int(socket.SOCK_RAW), _SOCK_PACKET})

_libc = ctypes.CDLL(None, use_errno=True)

Jump = tuple[int, int, str, str]
"""An instruction: its code, its operand, and the labels to go to if true and if false."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def unavailable() -> str:
    """Why there is no seccomp here, or ""."""
    if (machine := platform.machine()) not in MACHINES:
        return f"not on {machine}"
    action = ctypes.c_uint32(_RET_ERRNO)
    try:
        _call(_GET_ACTION_AVAIL, 0, ctypes.byref(action))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def restrict(refused: Iterable[str], *, raw: bool) -> None:
    """Refuse these calls, and sockets of families other than IP, UNIX and netlink, for good.

    Sockets that send packets of their own making only if they may be `raw`. Needs no_new_privs.
    Raises OSError.
    """
    code = program(refused, raw=raw, machine=platform.machine())
    given = _Program(len(code) // 8, code)
    _call(_SET_MODE_FILTER, _SPEC_ALLOW, ctypes.byref(given))


def program(refused: Iterable[str], *, raw: bool, machine: str) -> bytes:
    """The filter, in classic BPF (Documentation/userspace-api/seccomp_filter.rst of Linux)."""
    arch, numbers = MACHINES[machine]
    code: list[Jump | str] = [
        (_LOAD, _ARCH, "", ""),
        (_JEQ, arch, "", "refuse"),
        (_LOAD, _NUMBER, "", ""),
        (_JGE, _X32, "refuse", ""),
    ]
    code += [(_JEQ, numbers[name], "refuse", "") for name in refused if name in numbers]
    code += [(_JEQ, numbers["socket"], "", "allow"), (_LOAD, _FIRST, "", "")]
    code += [(_JEQ, family, "allow", "") for family in (socket.AF_UNIX, socket.AF_NETLINK)]
    kinds = [socket.AF_INET, socket.AF_INET6, *([socket.AF_PACKET] if raw else [])]
    code += [(_JEQ, family, "type", "") for family in kinds]
    code += ["refuse", (_RETURN, _RET_ERRNO | errno.EPERM, "", ""), "type"]
    if not raw:
        code += [(_LOAD, _SECOND, "", ""), (_AND, _TYPE_MASK, "", "")]
        # A jump only goes forward, so the end is repeated.
        code += [(_JEQ, kind, "refuse raw", "") for kind in sorted(_NO_TYPES)]
    code += ["allow", (_RETURN, _RET_ALLOW, "", "")]
    code += ["refuse raw", (_RETURN, _RET_ERRNO | errno.EPERM, "", "")]
    return _assembled(code)


def _assembled(code: Iterable[Jump | str]) -> bytes:
    """The code with its labels replaced by distances."""
    at: dict[str, int] = {}
    jumps: list[Jump] = []
    for each in code:
        if isinstance(each, str):
            at[each] = len(jumps)
        else:
            jumps.append(each)

    def distance(label: str, here: int) -> int:
        return at[label] - here - 1 if label else 0

    return b"".join(
        struct.pack("=HBBI", op, distance(true, here), distance(false, here), operand)
        for here, (op, operand, true, false) in enumerate(jumps)
    )


def _call(operation: int, flags: int, argument: object) -> None:
    number = MACHINES[platform.machine()][1]["seccomp"]
    if _libc.syscall(number, operation, flags, argument) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")
