"""`python -m tests.chaos`, as `make chaos` runs it, but short and always the same."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.aws.client import ROOT
from tests.needs import NAMESPACES, needs

LIMIT_S = 150.0


# Only root may read the environment of workers, by which chaos knows them, and fill a disk.
@needs(NAMESPACES)
@pytest.mark.timeout(LIMIT_S + 15)
def test_faults_for_some_twenty_seconds(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", "--seed", "53", "--seconds", "18", "--log", log],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said, progress = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # it takes the daemon along
        said, progress = process.communicate(timeout=10)
        pytest.fail(f"not within {LIMIT_S:g} s:\n{progress}")
    assert process.returncode == 0, f"{progress}\n{said}"
    report = json.loads(said)
    assert report["violations"] == []
    assert report["counts"]["bursts"] >= 2
    assert report["counts"]["kills"] >= 20
    assert report["counts"]["ReplaceRoute"] > 0
