"""landlock(7): which files this process and its children may open from now on.

In a domain, nothing outside of it may be traced, and no memory, environment or descriptor of an
outside process be opened in /proc, whoever's it is. Needs no_new_privs. There is no wrapper in
the C library; the numbers are the same on all machines.
"""

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

READ = 1 << 2 | 1 << 3
"""Read files and list folders."""
_EXECUTE_FILE, _WRITE_FILE, _READ_FILE, _MAKE_CHAR, _REFER = 1 << 0, 1 << 1, 1 << 2, 1 << 6, 1 << 13
_TRUNCATE = 1 << 14
_OF_FILES = _EXECUTE_FILE | _WRITE_FILE | _READ_FILE | _TRUNCATE
WRITE = _WRITE_FILE | sum(1 << bit for bit in range(4, 15))
"""Write, truncate, make, remove and move."""
_SCOPE_SIGNAL = 1 << 1
OLDEST_ABI = 2
"""Linux 5.19. The first one forbids to move any file to another folder."""
_BITS = {2: 14, 3: 15}
"""How many rights each ABI has; later ones have all that are used here."""
_SIGNAL_ABI = 6

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The version of Landlock here. Raises OSError where there is none."""
    return _call(_CREATE_RULESET, None, 0, _VERSION_FLAG)


def unavailable() -> str:
    """Why there is no Landlock here, or ""."""
    try:
        found = abi()
    except OSError as error:
        return error.strerror or str(error)
    return "" if found >= OLDEST_ABI else "the kernel is older than Linux 5.19"


def isolate() -> None:
    """Keep out of other processes, and change nothing else. Raises OSError."""
    with _Ruleset(_MAKE_CHAR | _REFER, 0) as rules:
        rules.allow("/", _MAKE_CHAR | _REFER)
        rules.enforce()


def restrict(writable: Iterable[str], readable: Iterable[str] | None = None) -> None:
    """Keep out of other processes, also with signals, and open no other files.

    The files are those beneath the paths; paths that do not exist are left out. Without
    `readable`, everything may be read. Raises OSError.
    """
    handled = WRITE if readable is None else WRITE | READ
    with _Ruleset(handled, _SCOPE_SIGNAL) as rules:
        for path in writable:
            rules.allow(path, WRITE | READ)
        for path in readable or ():
            rules.allow(path, READ)
        rules.enforce()


class _Ruleset(contextlib.AbstractContextManager["_Ruleset"]):
    def __init__(self, handled: int, scoped: int) -> None:
        version = abi()
        self._handled = handled & ((1 << _BITS.get(version, 15)) - 1)
        attributes = struct.pack("=Q", self._handled)
        if version >= _SIGNAL_ABI:
            attributes += struct.pack("=QQ", 0, scoped)
        self._fd = _call(_CREATE_RULESET, attributes, len(attributes), 0)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def allow(self, path: str, rights: int) -> None:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            rights &= self._handled
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                rights &= _OF_FILES
            rule = struct.pack("=Qi", rights, fd)
            if rights:
                _call(_ADD_RULE, self._fd, _PATH_BENEATH, rule, 0)
        finally:
            os.close(fd)

    def enforce(self) -> None:
        _call(_RESTRICT_SELF, self._fd, 0)


def _call(number: int, *arguments: bytes | int | None) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {os.strerror(code)}")
    return result
