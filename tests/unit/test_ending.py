"""What a run of the tests says of itself: what failed, what was not run, what no run has run."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import cases, ending, needs
from tests.cases import Cases

RUN = {"a": "passed", "b": "failed", "c": "skipped", "d": "skipped"}


def run_of(reasons: Mapping[str, str], passed: int = 1) -> Cases:
    """As many passed cases, and skipped ones with their reasons."""
    found = Cases()
    found.outcomes = dict.fromkeys(reasons, cases.SKIPPED)
    found.outcomes |= {f"passed {number}": cases.PASSED for number in range(passed)}
    found.reasons = dict(reasons)
    return found


@pytest.fixture(params=[0, 1000])
def uid(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    found: int = request.param
    monkeypatch.setattr(os, "geteuid", lambda: found)
    monkeypatch.setattr(needs, "are_namespaces_possible", lambda: found != 0)
    return found


def test_nothing_is_said_of_a_run_that_lacks_nothing() -> None:
    assert ending.not_run(run_of({}), is_shared_out=True) == []
    assert ending.failures(run_of({})) == []


def test_one_sentence_groups_the_reasons(uid: int) -> None:
    reasons = {"a": "needs etcd, etcdctl", "b": "needs logrotate", "c": "needs etcd, etcdctl"}
    (said,) = ending.not_run(run_of(reasons, passed=1200), is_shared_out=True)
    counts = "2 without etcd + etcdctl, 1 without logrotate"
    assert said.startswith(f"3 of 1,203 tests were not run: {counts}; to run them: ")
    command = "sudo make test-deps && make test" if uid else "make test-deps test"
    assert said.endswith(f": {command}")


@pytest.mark.parametrize("name", [needs.ROOT, needs.REAL_TIME])
def test_root_is_all_that_an_ordinary_user_lacks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (said,) = ending.not_run(run_of({"a": f"needs {name}"}), is_shared_out=True)
    assert said == "1 of 2 tests were not run: 1 without root; to run them: sudo make test"


def test_root_and_a_program_are_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (said,) = ending.not_run(run_of({"a": "needs root", "b": "needs curl"}), is_shared_out=True)
    assert said.endswith("; to run them: sudo make test-deps test")
    (said,) = ending.not_run(run_of({"a": "needs root, systemd"}), is_shared_out=True)
    assert said.endswith("; to run them: sudo make test-deps test")


@pytest.mark.parametrize(
    ("possible", "shared_out", "command"),
    [(True, False, "make test"), (False, True, "sudo make test"), (False, False, "sudo make test")],
)
def test_namespaces_need_a_worker_or_root(
    possible: bool, shared_out: bool, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(needs, "are_namespaces_possible", lambda: possible)
    (said,) = ending.not_run(run_of({"a": f"needs {needs.NAMESPACES}"}), shared_out)
    assert said.endswith(f"; to run them: {command}")


def test_a_reason_of_another_kind_has_no_command(uid: int) -> None:
    (said,) = ending.not_run(run_of({"a": "not on a Sunday"}), is_shared_out=True)
    assert said == "1 of 2 tests were not run: 1 not on a Sunday"


def test_failures_say_where_to_look_and_what_to_run() -> None:
    found = Cases()
    found.outcomes = {"tests/a.py::b[1 2]": cases.FAILED, "tests/a.py::c": cases.PASSED}
    found.folders = {"tests/a.py::b[1 2]": "/tmp/b0"}  # noqa: S108
    said = ending.failures(found)
    assert said[0] == "1 failed, of 2 tests:"
    assert "    its files and logs: /tmp/b0" in said
    assert said[-1].endswith("pytest -n 1 'tests/a.py::b[1 2]'")


def test_the_worst_part_of_a_case_counts() -> None:
    found = Cases()
    for when, outcome in (("setup", "passed"), ("call", "failed"), ("teardown", "passed")):
        report = pytest.TestReport("a", ("a", 1, "a"), {}, outcome, None, when)  # type: ignore[arg-type]
        report.user_properties = [(cases.FOLDER, "/f")] if when == "call" else []
        found.note(report)
    assert found.outcomes == {"a": cases.FAILED}
    assert found.folders == {"a": "/f"}


@pytest.mark.parametrize(
    ("other", "left"),
    [
        ({"c": "passed", "d": "passed"}, {}),
        ({"c": "passed"}, {"d": "skipped"}),
        ({"a": "skipped", "c": "failed", "d": "skipped"}, {"d": "skipped"}),
        ({"c": "passed", "d": "passed", "e": "skipped"}, {"e": "skipped"}),
    ],
)
def test_what_no_run_has_run(
    other: dict[str, str],
    left: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = [tmp_path / "user.json", tmp_path / "root.json"]
    for path, run in zip(paths, (RUN, other), strict=True):
        path.write_text(json.dumps(run))
    assert cases.ran_in_none([RUN, other]) == left
    assert cases.main(paths) == (1 if left else 0)
    said = capsys.readouterr().out
    assert all(f"{case}: {outcome}" in said for case, outcome in left.items())


def test_what_differs_for_root_is_there() -> None:
    root = Path(__file__).parents[2]
    assert [name for name in cases.FOR_BOTH if not (root / name).exists()] == []


def test_missing_programs_and_abilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/sh" if name == "sh" else None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert needs.missing(["sh", "etcd", needs.ROOT]) == ["etcd", needs.ROOT]


@needs.needs(needs.ROOT)
def test_what_root_leaves_in_a_work_tree_is_its_owners(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for folder in (tree, tree / "build", tree / "other"):
        folder.mkdir()
    others, outside = tree / "other" / "file", tmp_path / "outside"
    for file in (tree / "build" / "file", others, outside):
        file.touch()
    (tree / "link").symlink_to(outside)
    os.chown(tree, needs.SECOND_UID, -1)
    os.chown(others, 1, -1)
    ending.give_back(tree)
    owners = {path.name: path.lstat().st_uid for path in tree.rglob("*") if path != others}
    assert set(owners.values()) == {needs.SECOND_UID}
    assert (others.stat().st_uid, outside.stat().st_uid) == (1, 0)
