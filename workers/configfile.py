"""Watcher `configfile`: the route spec is a file, watched with inotify."""

import os
import stat
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator

from inotify_simple import Event, INotify, flags

from vpcrouter.errors import SpecError
from vpcrouter.mailbox import Mailbox
from vpcrouter.options import PATH, Option
from vpcrouter.plugins import Values, Watcher
from vpcrouter.spec import MAX_SPEC_BYTES, Document, parse_spec

QUIET_S = 0.03
"""A change is read once the file has been left alone for so long."""
LONGEST_UNREST_S = 0.5
LOOK_ANYWAY_S = 5.0
"""Some file systems tell inotify nothing of what others write."""
MAX_LINKS = 40
MASK = (
    flags.CREATE
    | flags.MOVED_TO
    | flags.MOVED_FROM
    | flags.DELETE
    | flags.MODIFY
    | flags.CLOSE_WRITE
    | flags.ATTRIB
    | flags.DELETE_SELF
    | flags.MOVE_SELF
    | flags.ONLYDIR
)


class ConfigFile(Watcher):
    """Follows one file through rewrites, renames, symlink swaps, and its folder's replacement."""

    name = "configfile"
    version = "1"

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        self.path: str = values["file"]
        self.origin = self.path

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        yield Option("file", PATH, None, "the file with the route spec", ("-f", "--file"))

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
            trail = _Trail(inotify, self.path)
            mailbox.watch(inotify.fileno())
            last: object = None
            while True:
                trail.follow()
                document = _read_or_error(self.path)
                content = str(document) if isinstance(document, SpecError) else document
                if content != last:
                    last = content
                    yield document
                _wait_for_change(mailbox, trail)


def _wait_for_change(mailbox: Mailbox, trail: "_Trail") -> None:
    """Return soon after the last of a flurry of changes, or after a while without any."""
    look_s = time.monotonic() + LOOK_ANYWAY_S
    first_s: float | None = None
    while (now_s := time.monotonic()) < look_s:
        mailbox.wait(min(QUIET_S, look_s - now_s) if first_s else look_s - now_s)
        if trail.has_changed():
            first_s = first_s or time.monotonic()
            if time.monotonic() - first_s < LONGEST_UNREST_S:
                continue
        if first_s:
            return


class _Trail:
    """Watches every folder that the path leads through, links included, for the names it uses."""

    def __init__(self, inotify: INotify, path: str) -> None:
        self._inotify = inotify
        self._path = path
        self._names: dict[int, set[str]] = {}

    def follow(self) -> None:
        """Watch the path as it leads now."""
        names: dict[int, set[str]] = {}
        for folder, interesting in _steps(self._path).items():
            try:
                watch = self._inotify.add_watch(folder, MASK)
            except OSError:
                continue  # missing, or not readable; its parent or the next look tells
            names.setdefault(watch, set()).update(interesting)
        for gone in self._names.keys() - names.keys():
            try:
                self._inotify.rm_watch(gone)
            except OSError:
                continue  # the kernel dropped it with its folder
        self._names = names

    def has_changed(self) -> bool:
        """Whether something on the path was touched since the last call."""
        events: list[Event] = self._inotify.read(timeout=0)
        return any(self._concerns(event) for event in events)

    def _concerns(self, event: Event) -> bool:
        if event.mask & (flags.Q_OVERFLOW | flags.DELETE_SELF | flags.MOVE_SELF):
            return True
        return event.name in self._names.get(event.wd, ())


def _steps(path: str) -> dict[str, set[str]]:
    """Each folder that `path` leads through, and the names in it that decide where to."""
    steps: dict[str, set[str]] = defaultdict(set)
    here = "/"
    names = path.split("/")[::-1]
    links = 0
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        if name == "..":
            here = os.path.dirname(here)  # noqa: PTH120 - `here` has no links in it
            continue
        steps[here].add(name)
        step = os.path.join(here, name)  # noqa: PTH118
        try:
            target = os.readlink(step)  # noqa: PTH115
        except OSError:
            here = step
            continue
        links += 1
        if links > MAX_LINKS:
            break
        if target.startswith("/"):
            here = "/"
        names += target.split("/")[::-1]
    return steps


def read(path: str) -> bytes:
    """The file's content. Raises SpecError with the reason."""
    try:
        # Without O_NONBLOCK, a FIFO would keep us here.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:  # noqa: PTH123
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise SpecError(["is no regular file"])
            return file.read(MAX_SPEC_BYTES + 1)
    except OSError as error:
        raise SpecError([f"cannot be read: {error.strerror}"]) from None


def _read_or_error(path: str) -> bytes | SpecError:
    try:
        return read(path)
    except SpecError as error:
        return error
