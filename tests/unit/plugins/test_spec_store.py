"""The last accepted route spec on disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from vpcrouter.model.spec import parse_spec
from vpcrouter.plugins.spec_store import SpecStore

SPEC = parse_spec('{"10.1.0.0/16": ["10.0.0.1"], "10.2.0.0/16": ["10.0.0.2", "10.0.0.1"]}')
IDENTITY = {"vpc": "vpc-1", "mode": "configfile", "params": {"list": ("a", "b")}}


@pytest.fixture
def store(tmp_path: Path) -> SpecStore:
    return SpecStore(str(tmp_path / "some" / "folder"), IDENTITY)


def test_what_was_saved_is_loaded(store: SpecStore) -> None:
    store.save(SPEC)
    assert store.load() == SPEC


def test_the_last_one_counts_and_leaves_nothing_beside(store: SpecStore) -> None:
    store.save(SPEC)
    other = parse_spec('{"10.3.0.0/16": ["10.0.0.1"]}')
    store.save(other)
    assert store.load() == other
    assert list(store.path.parent.iterdir()) == [store.path]


def test_nothing_saved_yet(store: SpecStore) -> None:
    assert store.load() is None


@pytest.mark.parametrize(
    "other",
    [{**IDENTITY, "vpc": "vpc-2"}, {**IDENTITY, "mode": "http"}, {**IDENTITY, "params": {}}],
)
def test_of_other_settings_it_is_not_used(store: SpecStore, other: dict[str, Any]) -> None:
    store.save(SPEC)
    folder = str(store.path.parent)
    assert SpecStore(folder, other).load() is None
    assert SpecStore(folder, IDENTITY).load() == SPEC


DAMAGED: list[Any] = [None, 1, [], {}, "", "{", {"x": 1}, {"10.1.0.0/16": []}]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff", b"null", b"[]", b"{}", b'{"identity": 1}'),
        100_000 * b"[",
        json.dumps({"identity": IDENTITY}).encode(),
        *(json.dumps({"identity": IDENTITY, "route_spec": each}).encode() for each in DAMAGED),
    ],
)
def test_a_damaged_file_is_no_spec(store: SpecStore, content: bytes) -> None:
    store.path.parent.mkdir(parents=True)
    store.path.write_bytes(content)
    assert store.load() is None


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        SpecStore(str(tmp_path / "file" / "folder"), IDENTITY).save(SPEC)


def test_a_save_that_fails_leaves_the_last_one(
    store: SpecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(SPEC)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(OSError, match="No space"):
        store.save(parse_spec('{"10.3.0.0/16": ["10.0.0.1"]}'))
    assert store.load() == SPEC
