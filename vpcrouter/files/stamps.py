"""Whether files have changed since they were last looked at."""

from collections.abc import Iterable
from pathlib import Path


class FileStamps:
    """What changes when the files do, or who may read them; missing is a state, too.

    Looked at by one thread at a time.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(paths)
        self._seen: object = None

    def have_changed(self) -> bool:
        """Whether one has since the last call; True at the first one."""
        seen, self._seen = self._seen, [_stamp(path) for path in self._paths]
        return seen != self._seen


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode
