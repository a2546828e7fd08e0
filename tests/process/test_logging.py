"""A log that takes no lines stops neither the routing nor a start."""

import fcntl
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import CHECK_PORT, Daemon, Hosts, arguments, free_port
from tests.process.routes import target, wait_target
from tests.waiting import wait_until


def problems(daemon: Daemon) -> Sequence[str]:
    found: list[str] = daemon.json("/health")["problems"]
    return found


def test_a_log_file_that_is_lost_stops_nothing(
    tmp_path: Path, net: Network, hosts: Hosts, start_daemon: StartDaemon
) -> None:
    """All processes write it at once: none of them may raise in a log call."""
    path = tmp_path / "folder" / "main.log"
    said = f"log file {path} cannot be written: No such file or directory"
    daemon = start_daemon("-l", str(path))  # there is no such folder at the start
    first = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    wait_until(lambda: said in problems(daemon), 10, daemon.log)
    before = daemon.worker_pids()
    path.parent.mkdir()
    again = 'worker=supervisor event="log file is written again"'
    wait_until(lambda: path.exists() and again in path.read_text(), 10, daemon.log)
    wait_until(lambda: not problems(daemon), 10, daemon.log)
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.touch()
    hosts.kill(first)
    wait_target(net, set(HOSTS) - {first})
    wait_until(lambda: f"log file {path} cannot be written: Not a" in daemon.log(), 10, daemon.log)
    daemon.wait_log("route replaced")
    assert daemon.log().count("lines go to stderr") == 2
    assert daemon.worker_pids() == before
    assert "Traceback" not in daemon.log()
    assert daemon.end() == 0


class Unread(Daemon):
    """Its stderr is a pipe that is full, and that nobody reads."""

    def __init__(self, port: int, *others: Any) -> None:
        self._port = port
        super().__init__(*others)

    def start(self) -> None:
        self.reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writing, 4096 * b"x")
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stderr=writing, env=self._env
        )
        os.close(writing)

    @property
    def url(self) -> str:
        return f"http://localhost:{self._port}"


@pytest.fixture
def flags(net: Network, spec_file: Path, tmp_path: Path) -> tuple[str, ...]:
    checks = ("--health", "tcp", "--tcp_check_port", str(CHECK_PORT), "--tcp_check_interval", "0.3")
    return arguments(net, tmp_path, "-m", "configfile", "-f", str(spec_file), *checks)


def test_a_stderr_that_nobody_reads_stops_nothing(
    ec2: EmbeddedEc2,
    net: Network,
    hosts: Hosts,
    tmp_path: Path,
    spec_file: Path,
    flags: tuple[str, ...],
) -> None:
    port = free_port()
    with Unread(port, ec2, tmp_path, *flags, "-p", str(port)) as daemon:
        first = wait_target(net, set(HOSTS))
        daemon.wait_healthy()
        wait_until(lambda: "stderr is full" in str(problems(daemon)), 15, "the problem")
        before = daemon.worker_pids()
        spec_file.write_text(json.dumps({f"10.{each}.0.0/33": HOSTS for each in range(1500)}))
        wait_until(lambda: daemon.json("/health")["refused_spec"], 15, "more lines than fit")
        hosts.kill(first)
        wait_target(net, set(HOSTS) - {first})
        assert target(net) != first
        assert daemon.worker_pids() == before
        os.close(daemon.reading)
