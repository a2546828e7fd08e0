"""`python -m tests.bench`, as `make bench` runs it, but short."""

import json
import subprocess
import sys
from pathlib import Path

from tests.aws.client import ROOT


def test_two_runs_of_one_figure(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    run = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--runs", "2", "--only", "refused", "--json", path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "failover, TCP refused" in run.stdout
    figures = json.loads(path.read_text())["figures"]
    assert list(figures) == ["refused"]
    refused = figures["refused"]
    assert refused["runs"] == len(refused["samples"]) == 2
    assert 0.1 < refused["min"] <= refused["median"] <= refused["max"] < 5
    assert 0 < refused["ec2"]["median"] < refused["median"]
    assert refused["goal"] == {"median": 0.9, "max": 1.6}
