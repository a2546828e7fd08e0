"""Linux namespaces of this process's own. They have no names, so none of them outlives it."""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MAX_REASON = 4096

_libc = ctypes.CDLL(None, use_errno=True)


class NotPossibleError(Exception):
    """The kernel doesn't allow it here; says why."""


def check(result: int) -> None:
    """Raises NotPossibleError with the kernel's reason, unless a call of libc succeeded."""
    if result:
        raise NotPossibleError(os.strerror(ctypes.get_errno()))


def unshare(flags: int) -> None:
    """Raises NotPossibleError."""
    check(_libc.unshare(flags))


def enter() -> None:
    """Move this process, whose only thread this must be, into an empty network.

    An ordinary user becomes root of a user namespace, in which there is nobody else.
    Raises NotPossibleError, OSError; the process is of no use then, see `why_not`.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        unshare(CLONE_NEWNET)
        return
    unshare(CLONE_NEWUSER | CLONE_NEWNET)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def why_not(trial: Callable[[], object]) -> str:
    """Why `trial` fails, tried out in a child process; else "". This must be the only thread."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        reason = "interrupted"
        try:
            trial()
            reason = ""
        except Exception as error:
            reason = str(error) or repr(error)
        finally:
            os.write(writable, reason.encode()[:MAX_REASON])
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as told:
        reason = told.read().decode()
    os.waitpid(pid, 0)
    return reason


class Network:
    """A further network namespace, kept by a descriptor."""

    def __init__(self) -> None:
        """Raises NotPossibleError."""
        with _coming_back():
            unshare(CLONE_NEWNET)
            self.fd = _open_own()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is in it meanwhile."""
        with _coming_back():
            check(_libc.setns(self.fd, CLONE_NEWNET))
            yield

    def close(self) -> None:
        os.close(self.fd)


@contextlib.contextmanager
def _coming_back() -> Iterator[None]:
    own = _open_own()
    try:
        yield
    finally:
        check(_libc.setns(own, CLONE_NEWNET))
        os.close(own)


def _open_own() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
