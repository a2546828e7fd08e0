"""The last accepted route spec on disk."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

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


def test_the_last_one_counts_and_leaves_nothing_beside_but_its_predecessor(
    store: SpecStore,
) -> None:
    store.save(SPEC)
    other = parse_spec('{"10.3.0.0/16": ["10.0.0.1"]}')
    store.save(other)
    assert store.load() == other
    store.save(other)
    assert set(store.path.parent.iterdir()) == {store.path, store.predecessor}


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

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.save(parse_spec('{"10.3.0.0/16": ["10.0.0.1"]}'))
    assert store.load() == SPEC


OLDER = parse_spec('{"10.3.0.0/16": ["10.0.0.3"]}')
DAMAGE = "saved route spec is damaged; its predecessor is loaded"


def said_by_loading(store: SpecStore) -> tuple[Any, list[str]]:
    with capture_logs() as lines:
        spec = store.load()
    return spec, [line["event"] for line in lines]


def test_no_flip_of_a_bit_loads_as_another_spec(store: SpecStore) -> None:
    store.save(OLDER)
    store.save(SPEC)
    content = store.path.read_bytes()
    found = {"same": 0, "predecessor": 0}
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        store.path.write_bytes(flipped)
        spec, said = said_by_loading(store)
        if said == [DAMAGE]:
            assert spec == OLDER
            found["predecessor"] += 1
        else:  # the name of the checksum, the case of an escape, or white space
            assert (spec, said) == (SPEC, [])
            found["same"] += 1
    assert found["predecessor"] > 10 * found["same"]


def test_a_store_without_checksum_loads(store: SpecStore) -> None:
    """As the version before saved it."""
    store.path.parent.mkdir(parents=True)
    store.path.write_text(json.dumps({"identity": IDENTITY, "route_spec": dict(SPEC.routes)}))
    assert said_by_loading(store) == (SPEC, [])
    store.save(OLDER)
    store.path.write_bytes(b"")
    assert said_by_loading(store) == (SPEC, [DAMAGE])
    store.save(OLDER)
    store.path.write_bytes(b"")
    assert said_by_loading(store) == (SPEC, [DAMAGE]), "a damaged one is nobody's predecessor"


def test_both_damaged_are_no_spec(store: SpecStore) -> None:
    store.save(OLDER)
    store.save(SPEC)
    store.path.write_bytes(b"\0" * 100)
    store.predecessor.write_bytes(b"\0" * 100)
    said = "saved route spec is damaged; there is no predecessor to load"
    assert said_by_loading(store) == (None, [said])


def test_the_predecessor_of_other_settings_is_not_loaded(store: SpecStore) -> None:
    folder = str(store.path.parent)
    store.save(SPEC)
    other = SpecStore(folder, {**IDENTITY, "vpc": "vpc-2"})
    other.save(OLDER)
    assert said_by_loading(store) == (None, [])
    other.path.write_bytes(b"{")
    assert other.load() is None
    assert store.load() == SPEC


def test_a_file_system_without_links_costs_the_predecessor_alone(
    store: SpecStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlinked(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", unlinked)
    store.save(OLDER)
    store.save(SPEC)
    assert store.load() == SPEC
