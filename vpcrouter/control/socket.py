"""The UNIX socket for commands; holding it also keeps a second daemon from starting.

The supervisor binds it before it starts any worker, so that it outlives the control worker.
"""

import contextlib
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from vpcrouter.errors import ConfigError, UnavailableError

BACKLOG = 64
ANSWER_S = 1.0
LOCK_S = 2.0
MAX_PATH_BYTES = 107
"""Of a UNIX socket's path (unix(7)), without the final zero."""


@contextlib.contextmanager
def listening(path: str) -> Iterator[socket.socket]:
    """The listening socket at `path`, mode 0600, for the duration of the block.

    A stale socket is replaced. Raises UnavailableError if another daemon listens on it or it
    cannot be created; ConfigError if the path is too long.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise ConfigError([f"control_socket: {path}: longer than {MAX_PATH_BYTES} bytes"])
    try:
        listener = _take(Path(path))
        mine = Path(path).lstat().st_ino
    except OSError as error:
        reason = error.strerror or error
        raise UnavailableError(f"cannot create control socket {path}: {reason}") from None
    with listener:
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if Path(path).lstat().st_ino == mine:
                    Path(path).unlink()


def _take(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _refuse_foreign(path.parent, os.fstat(folder))
        _lock(folder, path)
        _remove_stale(path)
        return _bind(path)
    finally:
        os.close(folder)


def _refuse_foreign(folder: Path, status: os.stat_result) -> None:
    """In another user's folder, that user could replace the socket under supervisorctl."""
    if os.geteuid() != 0 and status.st_uid not in (0, os.geteuid()):
        raise UnavailableError(f"control socket directory {folder} belongs to another user")


def _lock(folder: int, path: Path) -> None:
    """Two daemons that start at once must not both find the socket stale."""
    deadline_s = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise UnavailableError(f"{path.parent} is locked by another process") from None
            time.sleep(0.05)
        else:
            return


def _remove_stale(path: Path) -> None:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise UnavailableError(
            f"cannot create control socket {path}: the path exists and is not a socket"
        )
    if _is_answered(path):
        raise UnavailableError(f"another vpcrouterd is running with control socket {path}")
    path.unlink()


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(ANSWER_S)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:  # its backlog is full, or we lack permission to connect
            return True
    return True


def _bind(path: Path) -> socket.socket:
    """Bind under a temporary name first, so that the socket never appears with a wrong mode."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = path.with_name(f".{os.getpid()}")
    try:
        new.unlink(missing_ok=True)
        listener.bind(str(new))
        new.chmod(0o600)
        listener.listen(BACKLOG)
        new.rename(path)
    except BaseException:
        listener.close()
        new.unlink(missing_ok=True)
        raise
    return listener
