"""Watches paths with inotify: through symlinks, renames, and folders that come and go."""

import os
from collections import defaultdict
from collections.abc import Iterable

from inotify_simple import Event, INotify, flags

MAX_LINKS = 40
ANY = "*"
"""Every name in a folder."""
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


class PathWatch:
    """Watches every folder on the paths, symlinks included, for the names on the paths."""

    def __init__(self, inotify: INotify) -> None:
        self._inotify = inotify
        self._names: dict[int, set[str]] = {}

    def follow(self, paths: Iterable[str], folder: str | None = None) -> None:
        """Watch the paths as they resolve now, and all of `folder`."""
        names: dict[int, set[str]] = {}
        steps: dict[str, set[str]] = defaultdict(set)
        for path in paths:
            for step, interesting in steps_of(path).items():
                steps[step] |= interesting
        if folder is not None:
            steps[folder].add(ANY)
        for step, interesting in steps.items():
            try:
                watch = self._inotify.add_watch(step, MASK)
            except OSError:
                continue  # missing or unreadable; its parent or the next poll shows a change
            names.setdefault(watch, set()).update(interesting)
        for gone in self._names.keys() - names.keys():
            try:
                self._inotify.rm_watch(gone)
            except OSError:
                continue  # the kernel has removed it with its folder
        self._names = names

    def has_changed(self) -> bool:
        """Whether anything on the paths has changed since the last call."""
        events: list[Event] = self._inotify.read(timeout=0)
        return any(self._concerns(event) for event in events)

    def _concerns(self, event: Event) -> bool:
        if event.mask & (flags.Q_OVERFLOW | flags.DELETE_SELF | flags.MOVE_SELF):
            return True
        names = self._names.get(event.wd, set())
        return event.name in names or ANY in names


def steps_of(path: str) -> dict[str, set[str]]:
    """Each folder on the absolute `path`, with the names in it that the path depends on."""
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
