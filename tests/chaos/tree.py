"""Rule 4: the daemon's processes, as /proc shows them."""

import contextlib
import os
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.findings import Findings
from tests.chaos.plan import FORKER, RECONCILER, WORKERS
from tests.chaos.restarter import Restarter
from tests.chaos.world import MARK

ORPHAN_S = 2.0
ZOMBIE_S = 3.0
MORE_DESCRIPTORS = 4
MORE_MEMORY_KB = 64 * 1024
"""By so much a supervisor may grow after its first quiet moment: buffers of large messages."""
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table."""

    pid: int
    parent: int
    state: str
    started: int


def processes(mark: str, sessions: Collection[int]) -> dict[int, Process]:
    """All of the daemon's, and all zombies.

    They have the mark in their environment, or are of one of its sessions: only root may read
    the environment of a worker that hides its memory.
    """
    wanted = f"{MARK}={mark}".encode()
    found: dict[int, Process] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            is_ours = fields[0] in "ZX" or int(fields[3]) in sessions
            if is_ours or wanted in (entry / "environ").read_bytes().split(b"\0"):
                pid = int(entry.name)
                found[pid] = Process(pid, int(fields[1]), fields[0], int(fields[19]))
    return found


@dataclass
class Tree:
    """Looks at the processes now and then. Owned by the checker's thread, but `faults`."""

    mark: str
    restarter: Restarter
    findings: Findings
    workers: dict[str, list[int]] = field(default_factory=dict)
    _orphans: dict[tuple[int, int], float] = field(default_factory=dict)
    _zombies: dict[tuple[int, int], float] = field(default_factory=dict)
    _first: dict[int, tuple[int, int]] = field(default_factory=dict)

    def look(self) -> None:
        """Take one sample."""
        now_s = time.monotonic()
        supervisor = self.restarter.pid
        found = processes(self.mark, self.restarter.sessions)
        live = {pid: each for pid, each in found.items() if each.state not in "ZX"}
        self._count_workers(live, now_s)
        orphans = {
            (pid, each.started)
            for pid, each in live.items()
            if supervisor not in _line(live, pid) and each.parent != os.getpid()
        }
        self._orphans = {key: self._orphans.get(key, now_s) for key in orphans}
        zombies = {
            (pid, each.started)
            for pid, each in found.items()
            if each.state == "Z" and each.parent == supervisor
        }
        self._zombies = {key: self._zombies.get(key, now_s) for key in zombies}
        self._complain("orphan", self._orphans, ORPHAN_S, now_s)
        self._complain("zombie", self._zombies, ZOMBIE_S, now_s)

    def _count_workers(self, live: dict[int, Process], now_s: float) -> None:
        workers: dict[str, list[int]] = {name: [] for name in WORKERS}
        for pid in live:
            name = self.restarter.name_of(pid)
            if name is not None and name != FORKER:
                workers.setdefault(name, []).append(pid)
        for name, pids in workers.items():
            if len(pids) > 1 and len(_still_there([live[pid] for pid in pids])) > 1:
                rule = "two reconcilers" if name == RECONCILER else "two processes of a worker"
                self.findings.violation(rule, now_s, worker=name, pids=sorted(pids))
        self.workers = workers

    def _complain(
        self, what: str, since: dict[tuple[int, int], float], limit_s: float, now_s: float
    ) -> None:
        for (pid, _), from_s in since.items():
            self.findings.worst(f"{what}_s", now_s - from_s)
            if now_s - from_s > limit_s:
                self.findings.violation(what, now_s, once=pid, pid=pid, for_s=now_s - from_s)

    def is_complete(self) -> bool:
        """Whether each worker has one process, and nothing else is left over."""
        return all(len(pids) == 1 for pids in self.workers.values()) and not self._orphans

    def weigh(self) -> None:
        """Compare the supervisor's descriptors and memory with those of its first quiet moment."""
        pid, now_s = self.restarter.pid, time.monotonic()
        try:
            descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            memory_kb = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KB
        except OSError:
            return
        first = self._first.setdefault(pid, (descriptors, memory_kb))
        more, more_kb = descriptors - first[0], memory_kb - first[1]
        self.findings.worst("more_descriptors", more)
        self.findings.worst("more_memory_kb", more_kb)
        if more > MORE_DESCRIPTORS:
            self.findings.violation("descriptors", now_s, first=first[0], now=descriptors)
        if more_kb > MORE_MEMORY_KB:
            self.findings.violation("memory", now_s, first_kb=first[1], now_kb=memory_kb)


def _still_there(found: list[Process]) -> list[int]:
    """Those that are at work at one moment: one look at all of /proc takes its time.

    The newest is asked first, so what is there after it was there with it.
    """
    newest_first = sorted(found, key=lambda each: -each.started)
    return [
        each.pid for each in newest_first if has_begun(each.pid) and is_child(each.pid, each.parent)
    ]


def has_begun(pid: int) -> bool:
    """Whether a worker catches SIGTERM: before that, it is a Python that starts, and finds out
    whether its parent has died meanwhile before it does anything else.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def is_child(pid: int, parent: int) -> bool:
    """Whether `pid` is a live process that `parent` has started."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] not in "ZX" and int(fields[1]) == parent


def _line(live: dict[int, Process], pid: int) -> set[int]:
    """A process and all above it that are live and ours."""
    line: set[int] = set()
    while pid in live and pid not in line:
        line.add(pid)
        pid = live[pid].parent
    return line
