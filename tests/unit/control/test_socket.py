"""Who holds the control socket."""

import fcntl
import os
import socket
import stat
from pathlib import Path

import pytest

from vpcrouter.control import socket as control_socket
from vpcrouter.control.socket import listening
from vpcrouter.errors import ConfigError, UnavailableError


def test_it_is_made_with_its_folder_and_goes_with_the_daemon(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control.sock"
    with listening(str(path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert [entry.name for entry in path.parent.iterdir()] == ["control.sock"]
    assert list(path.parent.iterdir()) == []


def test_another_one_is_refused_as_long_as_the_first_lives(tmp_path: Path) -> None:
    path = str(tmp_path / "c.sock")
    with listening(path):
        with pytest.raises(UnavailableError, match="another vpcrouterd is running with control"):
            listening(path).__enter__()
        assert Path(path).exists()
    with listening(path):
        assert Path(path).exists()


def test_one_whose_queue_is_full_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "ANSWER_S", 0.05)
    path = str(tmp_path / "c.sock")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as client:
        busy.bind(path)
        busy.listen(0)
        client.connect(path)
        with pytest.raises(UnavailableError, match="another vpcrouterd"):
            listening(path).__enter__()


def test_what_a_dead_one_left_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "c.sock")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    dead.close()
    with listening(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(UnavailableError, match="is not a socket"):
        listening(str(path)).__enter__()
    assert path.read_text() == "precious"


def test_somebody_elses_socket_is_not_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with listening(str(path)):
        path.unlink()
        other = socket.socket(socket.AF_UNIX)
        other.bind(str(path))
    assert path.exists()
    other.close()


def test_one_that_was_removed_by_hand_is_no_trouble_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with listening(str(path)):
        path.unlink()


def test_a_path_that_no_socket_can_have_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="longer than 107 bytes"):
        listening(str(tmp_path / ("x" * 108))).__enter__()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"cannot create control socket .*c\.sock: "):
        listening(str(tmp_path / "file" / "c.sock")).__enter__()


def test_another_users_folder_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path.stat().st_uid + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    if tmp_path.stat().st_uid == 0:  # whose folders everybody trusts
        os.chown(tmp_path, other + 1, -1)
    with pytest.raises(UnavailableError, match="belongs to another user"):
        listening(str(tmp_path / "c.sock")).__enter__()


def test_two_that_start_at_once_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "LOCK_S", 0.1)
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(UnavailableError, match="is locked by another process"):
        listening(str(tmp_path / "c.sock")).__enter__()
    os.close(folder)
    with listening(str(tmp_path / "c.sock")):
        pass
