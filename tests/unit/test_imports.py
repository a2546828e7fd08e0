"""Which module may know which: the arrows of DESIGN.md, "Layout"."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
PURE = frozenset(
    {
        *(
            "backoff",
            "damping",
            "spec",
            "health",
            "plan",
            "planner",
            "guard",
            "view",
            "verify",
            "retry",
            "lifecycle",
        ),
        *("instance_events", "instance_health", "isolation", "nodes", "pace", "rereading"),
    }
)
IMPURE = frozenset(
    {
        *("asyncio", "boto3", "botocore", "logging", "multiprocessing", "os", "pathlib", "random"),
        *("select", "selectors", "shutil", "signal", "socket", "structlog", "subprocess"),
        *("tempfile", "threading", "time"),
    }
)
TYPES_ONLY = {"lifecycle": {"random"}}
"""A pure module may import these to name a type: what it is given is made elsewhere."""
ONLY_IN = {
    "boto3": {"vpcrouter/aws.py"},
    "botocore": {"vpcrouter/aws.py", "vpcrouter/aws_parsing.py"},
    "kubernetes": {"vpcrouter/node_watch.py"},
    "multiprocessing": {
        "vpcrouter/channel.py",
        "vpcrouter/child.py",
        "vpcrouter/supervisor.py",
        "vpcrouter/worker.py",
    },
    "flask": {"vpcrouter/pages.py", "workers/api.py"},
    "waitress": {"vpcrouter/serving.py", "workers/api.py"},
    "inotify_simple": {"vpcrouter/trail.py", "workers/configfile.py"},
    "urllib3": {"vpcrouter/etcd_client.py"},
}
PLUGIN_CONTRACT = {"errors", "etcd", "mailbox", "options", "plugins", "spec"}
"""What packages from outside may import."""
MODULES = sorted(
    str(path.relative_to(ROOT))
    for package in ("vpcrouter", "workers")
    for path in (ROOT / package).rglob("*.py")
)


def imported_in(source: str) -> Iterator[str]:
    """The dotted names of all that is imported anywhere in `source`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide what is imported"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def imported_by(module: str) -> set[str]:
    return set(imported_in((ROOT / module).read_text()))


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def ours(names: set[str]) -> set[str]:
    """The modules of this package that are imported, by their last names."""
    return {name.split(".")[1] for name in names if name.startswith("vpcrouter.")}


def test_every_module_is_looked_at() -> None:
    assert {f"vpcrouter/{name}.py" for name in PURE} <= set(MODULES)
    assert "workers/reconciler.py" in MODULES


def test_all_ways_to_import_are_seen() -> None:
    source = "import a.b, c\nfrom d.e import f\ndef g():\n    from h import i as j\n"
    assert set(imported_in(source)) == {"a.b", "c", "d.e.f", "h.i"}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("vpcrouter/")])
def test_the_library_imports_no_worker(module: str) -> None:
    assert "workers" not in roots(imported_by(module))


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("workers/")])
def test_workers_import_no_worker(module: str) -> None:
    assert "workers" not in roots(imported_by(module))


@pytest.mark.parametrize("module", MODULES)
def test_what_only_some_may_import(module: str) -> None:
    known = {name for name in roots(imported_by(module)) if name in ONLY_IN}
    assert {name for name in known if module not in ONLY_IN[name]} == set()


@pytest.mark.parametrize("name", sorted(PURE))
def test_the_pure_core_imports_nothing_impure(name: str) -> None:
    names = imported_by(f"vpcrouter/{name}.py")
    assert roots(names) & IMPURE <= TYPES_ONLY.get(name, set())
    assert ours(names) <= PURE | {"errors", "messages"}


def test_lifecycle_only_names_the_type() -> None:
    tree = ast.parse((ROOT / "vpcrouter/lifecycle.py").read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "random"
    }
    assert used == {"Random"}


def test_messages_import_no_more_than_the_core() -> None:
    assert ours(imported_by("vpcrouter/messages.py")) <= {"spec"}


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_small(module: str) -> None:
    assert len((ROOT / module).read_text().splitlines()) <= MAX_LINES


def test_the_example_plugin_imports_nothing_but_the_contract() -> None:
    package = ROOT / "examples" / "vpcrouter-romana-plugin" / "vpcrouter_romana_plugin"
    names = {name for path in package.glob("*.py") for name in imported_in(path.read_text())}
    assert "vpcrouter.plugins.Watcher" in names
    assert ours(names) <= PLUGIN_CONTRACT
    assert "workers" not in roots(names)
