"""The log that a process keeps of its own lines."""

import logging
import os
import stat
from pathlib import Path

import pytest

from tests.waiting import wait_until
from vpcrouter.logs import background, worker_log
from vpcrouter.logs.worker_log import OwnLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return OwnLog.path_of(str(tmp_path / "state"), "tcp")


@pytest.fixture
def log(path: Path) -> OwnLog:
    return OwnLog(path).start()


def say(log: OwnLog, text: str) -> None:
    log.handle(logging.LogRecord("any", logging.INFO, "", 0, text, None, None))


def test_lines_are_appended_in_ascii(path: Path, log: OwnLog) -> None:
    say(log, "one")
    say(log, "zwölf \N{SNOWMAN}")
    log.finish()
    assert path.read_bytes() == b"one\nzw\\xf6lf \\u2603\n"
    again = OwnLog(path).start()
    say(again, "two")
    again.finish()
    assert path.read_text().endswith("\ntwo\n")


def test_it_is_there_before_the_first_line_and_its_owners_alone(path: Path, log: OwnLog) -> None:
    wait_until(path.exists, 5, "the file")
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_is_bounded(path: Path, log: OwnLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_log, "MAX_BYTES", 100)
    for number in range(200):
        say(log, f"line {number}")
    log.finish()
    assert path.read_text().endswith("line 199\n")
    older = path.with_suffix(".log.1")
    assert older.stat().st_size <= 100
    assert path.stat().st_size <= 100
    assert len(list(path.parent.iterdir())) == 2


def test_truncated_or_deleted_it_goes_on(path: Path, log: OwnLog) -> None:
    say(log, "one")
    log.finish()
    os.truncate(path, 0)
    say(log, "two")
    log.finish()
    assert path.read_text() == "two\n"
    path.unlink()
    say(log, "three")
    log.finish()
    assert path.read_text() == "three\n"


def test_a_folder_that_cannot_be_written_is_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.parent.mkdir()
    path.parent.write_text("a file where the folder should be")
    log = OwnLog(path).start()
    for _ in range(3):
        say(log, "lost")
    log.finish()
    assert caplog.text.count("cannot be written") == 1
    path.parent.unlink()
    say(log, "kept")
    log.finish()
    assert path.read_text() == "kept\n"


def test_a_disk_that_hangs_stalls_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir(parents=True)
    os.mkfifo(path)  # opening it waits for a reader that never comes
    monkeypatch.setattr(background, "MAX_WAITING_LINES", 5)
    monkeypatch.setattr(background, "FINISH_S", 0.05)
    log = OwnLog(path).start()
    for number in range(20):
        say(log, f"line {number}")
    log.finish()
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # let the thread go


def test_a_record_that_cannot_be_formatted_is_no_lines_end(
    path: Path, log: OwnLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.handle(logging.LogRecord("any", logging.INFO, "", 0, "%d", ("x",), None))
    say(log, "next")
    log.finish()
    assert path.read_text() == "next\n"
