"""The daemon as an ordinary user with one capability, as the systemd unit runs it."""

import os
import shlex
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.process.daemon import ROOT, Daemon

UID = 65534
"""nobody, who owns nothing here."""


class OrdinaryDaemon(Daemon):
    """Starts as `UID` with `capability` alone; its folder must be that user's."""

    def __init__(self, *arguments: Any, capability: str = "net_raw", **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._command = as_ordinary(self._command, self.folder / "mounts", capability)
        self._env["HOME"] = str(self.folder)


def as_ordinary(command: Iterable[str], mounts: Path, capability: str) -> list[str]:
    """`command` run by `UID`, in a mount namespace in which that user can read our Python."""
    only = f"-all,+{capability}"
    sets = [f"--{name}-caps={only}" for name in ("inh", "ambient")]
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *sets]
    line = shlex.join([*drop, f"--bounding-set={only}", "--", *command])
    steps = [*_opened((Path(sys.base_prefix), Path(sys.prefix), ROOT), mounts), f"exec {line}"]
    return ["unshare", "--mount", "sh", "-ec", "\n".join(steps)]


def _opened(folders: Iterable[Path], mounts: Path) -> Iterable[str]:
    """Shell commands that put what is below a closed folder below an open one of its name."""
    below: dict[Path, list[Path]] = {}
    for folder in dict.fromkeys(each.resolve() for each in folders):
        if (closed := _closed_ancestor(folder)) is not None:
            below.setdefault(closed, []).append(folder)
    for closed, inside in below.items():
        for number, folder in enumerate(inside):
            kept = mounts / f"{closed.name}-{number}"
            yield shlex.join(["mkdir", "-p", str(kept)])
            yield shlex.join(["mount", "--bind", str(folder), str(kept)])
        yield shlex.join(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(closed)])
        for number, folder in enumerate(inside):
            yield shlex.join(["mkdir", "-p", str(folder)])
            yield shlex.join(
                ["mount", "--bind", str(mounts / f"{closed.name}-{number}"), str(folder)]
            )


def _closed_ancestor(folder: Path) -> Path | None:
    """The first folder on the way to `folder` that not everybody may pass."""
    for each in reversed([folder, *folder.parents]):
        if not each.stat().st_mode & stat.S_IXOTH:
            return each
    return None


def rights(pid: int) -> list[dict[str, str]]:
    """What the kernel says of each thread of a process (proc_pid_status(5))."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names are enough
        lines = Path(f"/proc/{pid}/task/{task}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        found.append({name: value.strip() for name, value in fields.items()})
    return found
