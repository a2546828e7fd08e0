"""Which room may know which, and what only some modules may import."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests import architecture, plugins_page
from tests.architecture import (
    ARROWS,
    COMMON,
    PUBLIC,
    ROOT,
    WORKERS,
    imported_by,
    imported_in,
    ours,
    room_of,
)

MAX_LINES = 300
MAX_FUNCTION_LINES = 50
MAX_CLASS_LINES = 200
MAX_ATTRIBUTES = 15
DATA_FUNCTIONS = {
    ("vpcrouter/options/general.py", "general_options"),
    ("workers/etcd.py", "add_arguments"),
}
"""Option declarations, which are read one by one: parts of them would be no easier to read."""
PURE_ROOMS = frozenset({"model", "routing", "health"})
PURE_MODULES = frozenset(
    {
        *("vpcrouter/backoff.py", "vpcrouter/supervisor/lifecycle.py"),
        *("vpcrouter/aws/instance_events.py", "vpcrouter/aws/instance_health.py"),
        "vpcrouter/kubernetes/nodes.py",
    }
)
"""Pure ones in rooms that are not."""
IMPURE = frozenset(
    {
        *("asyncio", "boto3", "botocore", "logging", "multiprocessing", "os", "pathlib", "random"),
        *("select", "selectors", "shutil", "signal", "socket", "structlog", "subprocess"),
        *("tempfile", "threading", "time"),
    }
)
TYPES_ONLY = {"vpcrouter/supervisor/lifecycle.py": {"random"}}
"""A pure module may import these to name a type: what it is given is made elsewhere."""
ONLY_IN = {
    "boto3": {"vpcrouter/aws/session.py"},
    "botocore": {
        "vpcrouter/aws/credentials.py",
        "vpcrouter/aws/deadline.py",
        "vpcrouter/aws/parsing.py",
        "vpcrouter/aws/session.py",
    },
    "kubernetes": {"vpcrouter/kubernetes/client.py"},
    "multiprocessing": {
        "vpcrouter/ipc/channel.py",
        "vpcrouter/supervisor/child.py",
        "vpcrouter/supervisor/worker.py",
    },
    "flask": {"vpcrouter/api/answers.py", "workers/api.py"},
    "waitress": {
        "vpcrouter/api/request_parser.py",
        "vpcrouter/api/server.py",
        "workers/api.py",
    },
    "inotify_simple": {"vpcrouter/files/path_watch.py", "workers/configfile.py"},
    "urllib3": {"vpcrouter/etcd/client.py"},
}
ROMANA = ROOT / "examples" / "vpcrouter-romana-plugin"
FOREIGN = {
    **{name: text for name, text in plugins_page.blocks().items() if name.endswith(".py")},
    **{
        str(path.relative_to(ROOT)): path.read_text()
        for folder in ("vpcrouter_romana_plugin", "tests")
        for path in (ROMANA / folder).glob("*.py")
    },
    **{
        name: (ROOT / name).read_text()
        for name in ("tests/process/bad_plugins.py", "tests/unit/pigeons.py")
    },
}
"""Modules that are, or stand for, somebody else's: name → text."""
MODULES = sorted(map(str, architecture.modules()))
PURE = [m for m in MODULES if m in PURE_MODULES or room_of(Path(m)) in PURE_ROOMS]


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def allowed(room: str) -> set[str]:
    return {*COMMON, room, *ARROWS[room]}


def test_all_ways_to_import_are_seen() -> None:
    source = "import a.b, c\nfrom d.e import f\ndef g():\n    from h import i as j\n"
    assert set(imported_in(source)) == {"a.b", "c", "d.e.f", "h.i"}
    with pytest.raises(ValueError, match="relative"):
        set(imported_in("from . import a"))


def test_every_folder_is_a_room_with_its_arrows() -> None:
    folders = {path.parent.name for path in (ROOT / "vpcrouter").glob("*/__init__.py")}
    assert folders | PUBLIC | {WORKERS} == set(ARROWS) == set(architecture.arrows())


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(Path(m)) in ARROWS])
def test_a_module_imports_only_what_its_room_may(module: str) -> None:
    may = allowed(room_of(Path(module)))
    found = ours(imported_by(Path(module)))
    assert {name for name, room in found.items() if not {name, room} & may} == set()


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(Path(m)) in COMMON])
def test_what_all_may_import_imports_nobody(module: str) -> None:
    assert set(ours(imported_by(Path(module)))) <= COMMON


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("workers/")])
def test_workers_import_no_worker(module: str) -> None:
    assert "workers" not in roots(imported_by(Path(module)))


def test_no_arrows_lead_in_a_circle() -> None:
    found = architecture.arrows()
    assert set(TopologicalSorter(found).static_order()) == set(found)


@pytest.mark.parametrize("room", [WORKERS, *sorted(PUBLIC)])
def test_the_library_imports_neither_workers_nor_what_is_for_plugins(room: str) -> None:
    may = {WORKERS} if room == "plugin" else set()
    assert {each for each, to in architecture.arrows().items() if room in to} <= may


@pytest.mark.parametrize("module", MODULES)
def test_what_only_some_may_import(module: str) -> None:
    known = {name for name in roots(imported_by(Path(module))) if name in ONLY_IN}
    assert {name for name in known if module not in ONLY_IN[name]} == set()


@pytest.mark.parametrize("module", PURE)
def test_the_pure_core_imports_nothing_impure(module: str) -> None:
    names = imported_by(Path(module))
    assert roots(names) & IMPURE <= TYPES_ONLY.get(module, set())


def test_lifecycle_only_names_the_type() -> None:
    tree = ast.parse((ROOT / "vpcrouter/supervisor/lifecycle.py").read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "random"
    }
    assert used == {"Random"}


# Sizes and names


def nodes_of(module: str) -> Iterator[ast.AST]:
    yield from ast.walk(ast.parse((ROOT / module).read_text()))


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def attributes_of(node: ast.ClassDef) -> set[str]:
    """What its methods assign to `self`."""
    return {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
    }


def types_in(module: str) -> Iterator[str]:
    """The names of classes and of aliases of types, which begin with a capital, without a `_`."""
    for node in nodes_of(module):
        names: list[str] = []
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [each.id for each in node.targets if isinstance(each, ast.Name)]
        for name in names:
            if re.match("_?[A-Z][a-z]", name):
                yield name.removeprefix("_")


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_small(module: str) -> None:
    assert len((ROOT / module).read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("module", MODULES)
def test_functions_stay_small(module: str) -> None:
    large = {
        (module, node.name)
        for node in nodes_of(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of(node) > MAX_FUNCTION_LINES
    }
    assert large == {each for each in DATA_FUNCTIONS if each[0] == module}


@pytest.mark.parametrize("module", MODULES)
def test_classes_stay_small(module: str) -> None:
    classes = [node for node in nodes_of(module) if isinstance(node, ast.ClassDef)]
    sizes = {each.name: (lines_of(each), len(attributes_of(each))) for each in classes}
    limits = MAX_CLASS_LINES, MAX_ATTRIBUTES
    assert {name for name, size in sizes.items() if any(map(int.__gt__, size, limits))} == set()


def test_the_name_of_a_type_names_one_thing() -> None:
    counts = Counter(name for module in MODULES for name in types_in(module))
    assert {name for name, count in counts.items() if count > 1} == set()


@pytest.mark.parametrize("name", FOREIGN)
def test_plugins_import_only_what_they_are_promised(name: str) -> None:
    names = set(imported_in(FOREIGN[name]))
    may = PUBLIC if "tests/" in name else {"plugin"}
    assert set(ours(names).values()) <= may


@pytest.mark.parametrize("name", ["inventory", "drained"])
def test_a_plugin_of_the_page_imports_one_module(name: str) -> None:
    names = imported_in(FOREIGN[f"vpcrouter-example/vpcrouter_example/{name}.py"])
    assert {each for each in names if each.startswith("vpcrouter")} == {"vpcrouter.plugin"}
