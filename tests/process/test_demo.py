"""`python -m examples.demo`, as `make demo` runs it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.client import ROOT
from tests.process.daemon import descendants
from tests.waiting import wait_until

STAGES = ("killed", "detected", "decided", "replaced", "seen", "verified")


class DemoRun:
    """The demo in a process of its own, with a temporary folder of its own."""

    def __init__(self, folder: Path, *arguments: str, to: int | None = None) -> None:
        """Its output goes to a file, or to the file descriptor `to`."""
        self.folder = folder
        self._out_path = folder.with_name("out")
        self._seen: dict[int, str] = {}
        env = {**os.environ, "TMPDIR": str(folder), "AWS_PROFILE": "nobodys"}
        with self._out_path.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "examples.demo", *arguments],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out if to is None else to,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._out_path.read_text(encoding="utf-8")

    def wait_output(self, pattern: str, timeout_s: float = 30.0) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            self.processes()
            return re.search(pattern, self.output, re.MULTILINE)

        found = wait_until(
            look,
            timeout_s,
            lambda: f"{pattern!r}:\n{self.output}",
        )
        assert found is not None
        return found

    def wait(self, timeout_s: float) -> int | None:
        """The exit status; meanwhile, take note of the processes."""

        def is_over() -> bool:
            self.processes()
            return self.process.poll() is not None

        wait_until(is_over, timeout_s, lambda: self.output)
        return self.process.returncode

    def processes(self) -> list[str]:
        """The command lines of all processes that were ever seen below this run, and still are."""
        for pid in {self.process.pid} | descendants(self.process.pid):
            with contextlib.suppress(OSError):
                self._seen.setdefault(pid, _began(pid))
        found: list[str] = []
        for pid, began in self._seen.items():
            with contextlib.suppress(OSError):
                if _began(pid) == began and (line := Path(f"/proc/{pid}/cmdline").read_text()):
                    found.append(line.replace("\0", " "))
        return found

    def assert_nothing_is_left(self) -> None:
        assert self.processes() == []
        assert list(self.folder.iterdir()) == []


def _began(pid: int) -> str:
    """When the process began, in the kernel's clock ticks: its id may be given to another."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@contextlib.contextmanager
def demo(*arguments: str, to: int | None = None) -> Iterator[DemoRun]:
    # In /tmp itself: a UNIX socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        folder = Path(parent) / "t"
        folder.mkdir()
        run = DemoRun(folder, *arguments, to=to)
        try:
            yield run
        finally:
            if run.process.poll() is None:
                run.process.kill()
                run.process.wait()


def test_once_shows_every_stage_and_ends_by_itself() -> None:
    with demo("--once") as run:
        assert run.wait(45) == 0, run.output
        times = [
            [
                float(at)
                for at in re.findall(rf"^ +(\d+\.\d+) s +{stage} ", run.output, re.MULTILINE)
            ]
            for stage in STAGES
        ]
        killed, detected, decided, replaced, _, verified = times
        assert len(replaced) in (3, 6), "one route or two, in three tables"
        assert killed == [0.0]
        assert killed < detected <= decided <= [min(replaced)]
        assert max(replaced) <= verified[0] < 10
        assert "\033" not in run.output
        run.assert_nothing_is_left()


def test_what_changes_is_told_until_ctrl_c_removes_everything() -> None:
    with demo() as run:
        pid, host, cidr = run.wait_output(r"^ +kill (\d+) +(\S+) +zone . +(\S+)$").groups()
        path = Path(run.wait_output(r"^ +edit +(\S+)")[1])
        run.wait_output("restart a killed host")
        assert any("vpcrouterd" in command for command in run.processes())
        os.kill(int(pid), signal.SIGTERM)
        # In one line or in several, if somebody looked while they moved.
        moved = rf"{cidr} in (\d) route tables?: {host} -> 127"
        wait_until(
            lambda: sum(map(int, re.findall(moved, run.output))) == 3, 30, lambda: run.output
        )
        path.write_text("{", encoding="utf-8")
        run.wait_output("route spec refused: bad JSON")
        run.process.send_signal(signal.SIGINT)
        assert run.wait(10) == 0, run.output
        run.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "No AWS"),
        (signal.SIGTERM, "VPC +vpc-"),
        (signal.SIGINT, "Host .* is killed"),
    ],
)
def test_a_signal_before_the_failover_removes_everything(
    number: signal.Signals, moment: str
) -> None:
    with demo() as run:
        run.wait_output(moment)
        run.process.send_signal(number)
        assert run.wait(15) == 128 + number, run.output
        assert "Traceback" not in run.output
        run.assert_nothing_is_left()


def test_a_signal_while_ec2_starts_does_not_wait_for_it() -> None:
    with demo() as run:

        def server() -> list[int]:
            return [
                pid
                for pid in descendants(run.process.pid)
                if b"tests.aws.server" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]

        (pid,) = wait_until(server, 10, lambda: run.output)
        os.kill(pid, signal.SIGSTOP)
        run.process.send_signal(signal.SIGINT)
        assert run.wait(20) == 128 + signal.SIGINT, run.output
        run.assert_nothing_is_left()


def test_a_killed_daemon_is_told() -> None:
    with demo() as run:
        pid = run.wait_output(r"vpcrouterd, pid (\d+)")[1]
        run.wait_output("restart a killed host")
        os.kill(int(pid), signal.SIGTERM)
        assert run.wait(15) == 1
        run.wait_output(r"vpcrouterd exited with status 0; the end of its log:\n.*timestamp=")
        run.assert_nothing_is_left()


def test_when_nobody_can_read_its_output_any_more_everything_is_removed() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as output, demo(to=writing) as run:
        os.close(writing)
        assert any(b"examples/demo/host.py" in line for line in output)
        output.close()
        assert run.wait(15) == 1
        run.assert_nothing_is_left()
