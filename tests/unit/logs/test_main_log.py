"""The log that all processes share: no call waits for it or raises, whatever it is."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import pytest

from tests.waiting import wait_until
from vpcrouter.logs import background, main_log
from vpcrouter.logs.main_log import FileLog, StderrLog

QUICK_S = 0.05


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LOOK_S", QUICK_S)
    monkeypatch.setattr(background, "FINISH_S", 5.0)
    monkeypatch.setattr(main_log, "RETRY_S", QUICK_S)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What stderr leads to."""
    reading, writing = os.pipe()
    monkeypatch.setattr(main_log, "_stderr", lambda: writing)
    os.set_blocking(reading, False)
    yield reading
    os.close(reading)  # and writes fail from now on: `writing` belongs to a thread


def read(pipe: int) -> str:
    try:
        return os.read(pipe, 1 << 20).decode()
    except BlockingIOError:
        return ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "main.log"


def say(log: logging.Handler, text: str) -> None:
    log.handle(logging.LogRecord("any", logging.INFO, "", 0, text, None, None))


def written(log: FileLog | StderrLog, text: str) -> None:
    say(log, text)
    log.finish()


def lose_by_moving(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def lose_to_a_folder(folder: Path) -> None:
    (folder / "main.log").unlink()
    (folder / "main.log").mkdir()


def lose_to_a_file(folder: Path) -> None:
    lose_by_moving(folder)
    folder.touch()


def lose_to_a_full_disk(folder: Path) -> None:
    (folder / "main.log").unlink()
    (folder / "main.log").symlink_to("/dev/full")


LOSSES = (lose_by_moving, lose_to_a_folder, lose_to_a_file, lose_to_a_full_disk)


@pytest.mark.parametrize("lose", LOSSES)
def test_a_lost_file_is_said_once_and_opened_again(
    lose: Callable[[Path], None],
    path: Path,
    pipe: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts: list[str] = []

    class Counted(FileIO):
        def __init__(self, file: str, mode: str) -> None:
            attempts.append(file)
            super().__init__(file, mode)

    monkeypatch.setattr(main_log, "FileIO", Counted)
    log = FileLog(str(path)).start()
    written(log, "one")
    assert (path.read_text(), log.problem, read(pipe)) == ("one\n", "", "")
    lose(path.parent)
    for number in range(5):
        written(log, f"line {number}")
    assert read(pipe) == "".join(f"line {number}\n" for number in range(5))
    assert log.problem.startswith(f"log file {path} cannot be written: ")
    before = attempts.count(str(path))
    wait_until(lambda: attempts.count(str(path)) >= before + 2, 5, "attempts to open it")
    assert read(pipe) == ""
    assert caplog.text.count(f"{path} cannot be written") == 1
    if path.parent.is_dir():
        path.unlink() if path.is_symlink() else path.rmdir()
    else:
        path.parent.unlink(missing_ok=True)
        path.parent.mkdir()
    wait_until(lambda: not log.problem, 2, "opened without a line")
    written(log, "two")
    assert path.read_text() == "log file is written again\ntwo\n"


def test_a_file_that_cannot_be_opened_at_first_stops_nothing(path: Path, pipe: int) -> None:
    path.mkdir()
    log = FileLog(str(path)).start()
    written(log, "one")
    assert read(pipe) == "one\n"
    wait_until(lambda: "Is a directory" in log.problem, 2, "the problem")


def test_without_a_line_a_loss_is_seen(path: Path, pipe: int) -> None:
    log = FileLog(str(path)).start()
    wait_until(path.exists, 2, "the file")
    lose_to_a_folder(path.parent)
    wait_until(lambda: log.problem, 2, "the problem")


def test_a_moved_file_is_opened_again(path: Path) -> None:
    log = FileLog(str(path)).start()
    written(log, "one")
    older = path.with_suffix(".1")
    path.rename(older)
    written(log, "two")
    assert (older.read_text(), path.read_text()) == ("one\n", "two\n")


def test_lines_are_utf_8(path: Path) -> None:
    log = FileLog(str(path)).start()
    written(log, "zw\xf6lf \udc80")
    assert path.read_bytes() == b"zw\xc3\xb6lf \\udc80\n"


def test_a_full_pipe_on_stderr_costs_lines_alone(
    pipe: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "MAX_WAITING_LINES", 100)
    log = StderrLog().start()
    line = 999 * "x"
    began_s = time.monotonic()
    for _ in range(1000):
        say(log, line)
    took_s = time.monotonic() - began_s
    assert took_s < 2
    wait_until(lambda: "stderr is full" in log.problem, 5, "the problem")
    said = ""

    def is_said() -> bool:
        nonlocal said
        said += read(pipe)
        return "log lines were dropped" in said

    wait_until(is_said, 5, "the number of lines dropped")
    whole = said.count(line + "\n")
    assert f"{1000 - whole} log lines were dropped\n" in said
    wait_until(lambda: not log.problem, 5, "the end of the problem")


def test_a_stderr_that_is_closed_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(main_log, "_stderr", lambda: writing)
    log = StderrLog().start()
    written(log, "lost")
    assert log.problem == "stderr cannot be written: Broken pipe"
    monkeypatch.setattr(main_log, "_stderr", lambda: None)
    none = StderrLog().start()
    written(none, "lost")
    assert none.problem == ""


def test_a_disk_that_hangs_is_a_problem(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "STUCK_S", QUICK_S)
    os.mkfifo(path)  # opening it waits for a reader
    log = FileLog(str(path)).start()
    wait_until(lambda: "log file cannot be written" in log.problem, 2, "the problem")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    written(log, "one")
    assert os.read(reader, 100) == b"one\n"
    os.close(reader)


class Hostile:
    def __str__(self) -> str:
        raise RecursionError


def test_a_record_that_cannot_be_formatted_is_said(path: Path) -> None:
    log = FileLog(str(path)).start()
    log.handle(logging.LogRecord("some.plugin", logging.INFO, "", 7, "%s", (Hostile(),), None))
    log.finish()
    said = "event of some.plugin, line 7, cannot be logged: RecursionError\n"
    assert path.read_text() == said
