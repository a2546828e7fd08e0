"""`python -m tests.aws`: what it prints can be typed in, and works."""

import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from tests.aws.client import ROOT
from tests.waiting import wait_until

LAST = "All faults:"


@pytest.fixture
def played() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.aws"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


def lines_of(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    found: list[str] = []
    for line in process.stdout:
        found.append(line.rstrip("\n"))
        if line.startswith(LAST):
            break
    return found


def post(command: str) -> str:
    """What curl would do, and get."""
    curl, flag, body, url = shlex.split(command)
    assert (curl, flag) == ("curl", "-d")
    with urllib.request.urlopen(url, body.encode(), timeout=10) as answer:  # noqa: S310
        return str(answer.read().decode())


def test_the_printed_commands_work(played: "subprocess.Popen[str]") -> None:
    lines = lines_of(played)
    answers = [post(line) for line in lines if line.startswith("curl -d")]
    assert len(answers) == 8
    assert [each for each in answers if each == '{"faults": 1}'] == ['{"faults": 1}'] * 3
    [exports] = [line for line in lines if line.startswith("export ")]
    [daemon] = [line for line in lines if "vpcrouter -v" in line]
    env = dict(word.split("=", 1) for word in shlex.split(exports)[1:])
    done = subprocess.run(
        [*shlex.split(daemon), "--check"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    played.send_signal(signal.SIGTERM)
    assert played.wait(10) == 0
    wait_until(lambda: not is_served(lines[0].split()[1]), 5, "the server's end")


def is_served(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()  # noqa: S310
    except OSError:
        return False
    return True
