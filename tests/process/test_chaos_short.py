"""`python -m tests.chaos`, as `make chaos` runs it, but short and always the same."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.aws.client import ROOT
from tests.needs import NAMESPACES, needs

LIMIT_S = 150.0
FAULTS = ("--seed", "1466", "--seconds", "18")
"""First of all come ICMP errors, stray ones and lasting ones, and then silence."""


# Elsewhere the faults of the network, and those of a full disk, would be left out.
@needs(NAMESPACES)
@pytest.mark.timeout(LIMIT_S + 15)
def test_faults_for_some_twenty_seconds(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", *FAULTS, "--log", log],
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
    if report["network"] == "namespaces of our own":
        assert report["counts"]["host_drop"] >= 2
        assert sum(report["icmp_errors"].values()) > 20
    else:  # a container, say, in which nobody may make them
        assert os.geteuid() != 0 or not os.environ.get("CI"), report["network"]
