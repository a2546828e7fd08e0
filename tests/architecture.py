"""The rooms of the house and the arrows between them: `python -m tests.architecture` shows both.

A room is a folder of `vpcrouter`, a module beside the folders, or all of `workers`; an arrow leads
from a room to one that it imports. What may be imported is in `ARROWS`, which
`tests/unit/test_architecture.py` holds.
"""

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMON = frozenset({"", "errors", "backoff"})
"""What every room may import: the package itself (its version), errors and pauses."""
WORKERS = "workers"
PUBLIC = frozenset({"plugin", "testing"})
"""Modules beside the folders that are for plugins from outside; the library imports neither."""
ARROWS: Mapping[str, Collection[str]] = {
    **dict.fromkeys(("model", "options", "linux", "files"), frozenset()),
    **dict.fromkeys(("routing", "health", "ipc"), frozenset({"model"})),
    "logs": {"linux"},
    "kubernetes": {"linux", "model", "logs"},
    "etcd": {"ipc", "linux", "logs", "options"},
    "aws": {"linux", "model", "routing"},
    "monitoring": {"files", "health", "ipc", "linux", "logs", "model", "options"},
    "plugins": {"monitoring", "ipc", "logs", "model", "options"},
    "reconcile": {"aws", "routing", "health", "ipc", "model", "logs"},
    "api": {"files", "health", "model", "logs", "options", "plugins"},
    "config": {"options", "plugins", "aws.imds", "api.access"},
    "supervisor": {"config", "plugins", "ipc", "linux", "logs", "model", "options"},
    "control": {"supervisor.lifecycle", "linux", "logs", "model", "options"},
    "cli": {"api", "config", "control", "logs", "model", "options", "supervisor"},
    "plugin": {"etcd", "ipc", "logs", "model", "monitoring", "options", "plugins"},
    "testing": {"config", "ipc", "model", "options", "plugins"},
    WORKERS: {
        *("api", "aws", "control", "etcd", "files", "health", "ipc", "kubernetes", "linux"),
        *("logs", "model", "monitoring", "options", "plugins", "reconcile", "routing"),
        "config",  # the reader of settings, which reads them anew for a reload
        "plugin",
    },
}
"""What each room may import besides: a room, or one module of it. Nobody imports `workers`."""


def modules() -> list[Path]:
    """All modules, by their paths in the repository."""
    packages = (ROOT / "vpcrouter", ROOT / WORKERS)
    return sorted(path.relative_to(ROOT) for each in packages for path in each.rglob("*.py"))


def imported_in(source: str) -> Iterator[str]:
    """The dotted names of all that is imported anywhere in `source`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError("relative imports hide what is imported")
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def imported_by(module: Path) -> set[str]:
    return set(imported_in((ROOT / module).read_text(encoding="utf-8")))


def room_of(module: Path) -> str:
    """The room a module lies in; modules beside the rooms have their own names."""
    first, *others = module.with_suffix("").parts
    if first == WORKERS:
        return WORKERS
    return "" if others == ["__init__"] else others[0]


def ours(names: Collection[str]) -> dict[str, str]:
    """Of imported names those that are ours: the room of each, and the room's module."""
    found: dict[str, str] = {}
    for name in names:
        first, *others = name.split(".")
        if first == WORKERS:
            found[WORKERS] = WORKERS
        elif first == "vpcrouter":
            is_package = others and not (ROOT / "vpcrouter" / others[0]).exists()
            if is_package and not (ROOT / "vpcrouter" / f"{others[0]}.py").exists():
                others = [""]  # a name of the package itself
            found[".".join(others[:2])] = others[0] if others else ""
    return found


def arrows() -> dict[str, set[str]]:
    """The rooms that each room imports, itself and what is common left out."""
    found: dict[str, set[str]] = {}
    for module in modules():
        room = room_of(module)
        to = set(ours(imported_by(module)).values()) - COMMON - {room}
        if room not in COMMON:
            found.setdefault(room, set()).update(to)
    return found


def main() -> None:
    found = arrows()
    for room, to in sorted(found.items()):
        sys.stdout.write(f"{room:<12} {', '.join(sorted(to)) or '-'}\n")
    sys.stdout.write(f"{len(found)} rooms, {sum(map(len, found.values()))} arrows\n")


if __name__ == "__main__":
    main()
