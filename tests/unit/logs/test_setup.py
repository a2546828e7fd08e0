"""The lines of all sources, and those that are written later."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from vpcrouter.logs import setup as logs


def test_lines_wait_and_come_in_their_order() -> None:
    later = logs.Later(logs.get("vpcrouter.test"))
    with capture_logs() as lines:
        later.warning("first", host="a")
        later.info("second")
        later.log(40, "third")
        assert lines == []
        later.flush()
        later.flush()
    assert lines == [
        {"event": "first", "host": "a", "log_level": "warning"},
        {"event": "second", "log_level": "info"},
        {"event": "third", "log_level": "error"},
    ]


HOSTILE = "a\x1b[2J\r\nlevel=error\x9b\u202eb\u200bc"
ESCAPED = "a\\x1b[2J\\r\\nlevel=error\\x9b\\u202eb\\u200bc"
SOURCES = {
    "ours": f"logs.get('vpcrouter.test').info('event', value={HOSTILE!r})",
    "an event": f"logs.get('vpcrouter.test').info({HOSTILE!r})",
    "a plugin": f"logging.getLogger('pigeon').info({HOSTILE!r})",
    "third-party": f"logging.getLogger('boto').warning('%s', {HOSTILE!r})",
}
SAYING = """
import logging, sys
from vpcrouter.logs import setup as logs
logs.set_up(sys.argv[1], False, "tcp", sys.argv[2], "pigeon")
exec(sys.argv[3])
logs.finish()
"""


def say(code: str, folder: Path, logfile: str = "-") -> str:
    """What a process that does it has on its stderr."""
    words = (sys.executable, "-c", SAYING, logfile, str(folder), code)
    done = subprocess.run(words, capture_output=True, check=True, timeout=60)
    return done.stderr.decode()


@pytest.mark.parametrize("source", SOURCES)
def test_lines_of_any_source_are_printable_in_each_log(source: str, tmp_path: Path) -> None:
    said = say(SOURCES[source], tmp_path)
    own = (tmp_path / "log" / "tcp.log").read_text()
    for text in (said, own):
        line, end, rest = text.partition("\n")
        assert (end, rest) == ("\n", "")
        assert line.isprintable()
        assert ESCAPED in line.replace("\\\\", "\\")
        assert "worker=tcp" in line


TRACEBACK = """
try:
    raise ValueError(20_000 * "x" + "the end")
except ValueError:
    logs.get("vpcrouter.test").exception("event", token="hunter2", fault=20_000 * "\x1b")
"""


def test_lines_are_bounded_and_keep_both_ends_and_no_secret(tmp_path: Path) -> None:
    line = say(TRACEBACK, tmp_path, str(tmp_path))
    assert len(line) < 8300
    assert line.startswith("timestamp=")
    assert line.rstrip('"\n').endswith("the end")
    assert "hunter2" not in line


def test_a_long_value_leaves_room_for_the_others(tmp_path: Path) -> None:
    line = say(f"logs.get('vpcrouter.test').info('e', a={3000 * 'x'!r}, b='there')", tmp_path)
    assert "...[952 more characters]" in line
    assert "b=there" in line


def test_a_log_file_that_is_none_leaves_stderr(tmp_path: Path) -> None:
    said = say("logs.get('vpcrouter.test').info('event')", tmp_path, str(tmp_path / "no" / "file"))
    assert "event=event" in said


def test_problems_are_those_of_the_handlers(tmp_path: Path) -> None:
    file = str(tmp_path / "no" / "file")
    said = f"['log file {file} cannot be written: No such file or directory']"
    code = "logs.get('vpcrouter.test').info('x'); logs.finish(); sys.stderr.write(PROBLEMS)"
    code = code.replace("PROBLEMS", "str(logs.problems())")
    assert said in say(code, tmp_path, file)
    assert "[]" in say(code, tmp_path)
    assert logs.problems() == []
    assert logging.getLogger().handlers
