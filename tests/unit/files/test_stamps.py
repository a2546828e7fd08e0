"""What counts as a change of a file."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vpcrouter.files.stamps import FileStamps


def replaced(path: Path) -> None:
    """By one of the same size and time."""
    found = path.stat()
    other = path.with_suffix(".new")
    other.write_text("other")
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.chmod(found.st_mode)
    other.rename(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("longer"),
        lambda path: os.utime(path, (1, 1)),
        lambda path: path.chmod(0o600),
        lambda path: path.unlink(),
        replaced,
    ],
)
def test_each_change_is_seen_once(change: Callable[[Path], object], tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_text("first")
        path.chmod(0o640)
    stamps = FileStamps(map(str, paths))
    assert stamps.have_changed()
    assert not stamps.have_changed()
    change(paths[1])
    assert stamps.have_changed()
    assert not stamps.have_changed()


def test_a_missing_file_is_seen_when_it_comes(tmp_path: Path) -> None:
    stamps = FileStamps([str(tmp_path / "a")])
    assert stamps.have_changed()
    assert not stamps.have_changed()
    (tmp_path / "a").touch()
    assert stamps.have_changed()
