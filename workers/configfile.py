"""Watcher `configfile`: the route spec is a file, or a folder of files, watched with inotify."""

import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from inotify_simple import INotify

from vpcrouter.errors import SpecError
from vpcrouter.files.path_watch import PathWatch
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.model.spec import MAX_SPEC_BYTES, Document, RouteSpec, merge_specs, parse_spec
from vpcrouter.options.kinds import PATH, Option
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Watcher

QUIET_S = 0.03
"""A change is read once the file has not changed for this long."""
LONGEST_UNREST_S = 0.5
LOOK_ANYWAY_S = 5.0
"""Poll interval: on some file systems inotify misses writes by other machines."""
ENDINGS = (".conf", ".json")
"""The extensions of route spec files in a folder."""


class ConfigFile(Watcher):
    """Follows the file through rewrites, renames, symlink swaps, and replacement of its folder."""

    name: ClassVar[str] = "configfile"
    version: ClassVar[str] = "1"

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        self.path: str = values["file"]
        self.origin = self.path

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        yield Option(
            "file",
            PATH,
            None,
            f"route spec file, or a directory of such files ({', '.join(ENDINGS)})",
            ("-f", "--file"),
            example="/etc/vpcrouter/route-spec.conf",
        )

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        path = values["file"]
        if path is None:
            yield "file: is needed in mode configfile: --file, or file in section [configfile]"
        elif values["check"] or cls(values).store().load() is None:
            try:
                parse_spec(read(path))
            except SpecError as error:
                yield from (f"route spec {path}: {fault}" for fault in error.faults)

    def watch(self, mailbox: Mailbox) -> Iterator[Document | SpecError | None]:
        with INotify() as inotify:
            path_watch = PathWatch(inotify)
            mailbox.watch(inotify.fileno())
            last: Document | tuple[str, ...] | None = None
            while True:
                path_watch.follow(*self._where())
                document = _read_or_error(self.path)
                content = document.faults if isinstance(document, SpecError) else document
                if content != last:
                    last = content
                    yield document
                _wait_for_change(mailbox, path_watch)

    def _where(self) -> tuple[list[str], str | None]:
        """All paths to watch, and the folder to watch entirely."""
        if not Path(self.path).is_dir():
            return [self.path], None
        return [self.path, *map(str, _files_in(self.path))], os.path.realpath(self.path)


def _wait_for_change(mailbox: Mailbox, path_watch: PathWatch) -> None:
    """Return soon after the last of several changes, or after a time-out without any."""
    look_s = time.monotonic() + LOOK_ANYWAY_S
    first_s: float | None = None
    while (now_s := time.monotonic()) < look_s:
        mailbox.wait(min(QUIET_S, look_s - now_s) if first_s else look_s - now_s)
        if path_watch.has_changed():
            first_s = first_s or time.monotonic()
            if time.monotonic() - first_s < LONGEST_UNREST_S:
                continue
        if first_s:
            return


def read(path: str) -> Document:
    """The content of the file, or the merged files of the folder. Raises SpecError."""
    return _read_folder(path) if Path(path).is_dir() else _read_file(path)


def _read_file(path: str) -> bytes:
    try:
        # Without O_NONBLOCK, opening a FIFO would block.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:  # noqa: PTH123
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise SpecError(["is not a regular file"])
            return file.read(MAX_SPEC_BYTES + 1)
    except OSError as error:
        raise SpecError([f"cannot be read: {error.strerror}"]) from None


def _files_in(folder: str) -> list[Path]:
    """The route spec files, sorted, without hidden files and other extensions."""
    try:
        found = sorted(Path(folder).iterdir())
    except OSError:
        return []
    return [path for path in found if path.suffix in ENDINGS and not path.name.startswith(".")]


def _read_folder(folder: str) -> RouteSpec:
    """Each file is a complete route spec; no CIDR may be in two of them."""
    files = _files_in(folder)
    if not files:
        raise SpecError([f"contains no file that ends in {' or '.join(ENDINGS)}"])
    faults: list[str] = []
    specs: dict[str, RouteSpec] = {}
    for path in files:
        try:
            specs[path.name] = parse_spec(_read_file(str(path)))
        except SpecError as error:
            faults += (f"{path.name}: {fault}" for fault in error.faults)
    if faults:
        raise SpecError(faults)
    return merge_specs(specs)


def _read_or_error(path: str) -> Document | SpecError:
    try:
        return read(path)
    except SpecError as error:
        return error
