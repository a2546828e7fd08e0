"""The real daemon in a process of its own, and loopback listeners that stand for hosts."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.waiting import PATIENCE, wait_until

BIN = Path(sys.executable).parent
ANSWER_S = 5.0
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that several test runs at once are unlikely to share."""
    with socket.create_server(("127.0.1.10", 0)) as probe:
        return int(probe.getsockname()[1])


CHECK_PORT = free_port()


class Hosts:
    """Listeners on loopback addresses, one port for all; closing one is a host's death."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._listeners: dict[str, socket.socket] = {}
        for address in addresses:
            self.revive(address)

    def kill(self, address: str) -> None:
        self._listeners.pop(address).close()

    def revive(self, address: str) -> None:
        self._listeners[address] = socket.create_server((address, CHECK_PORT), backlog=64)

    def close(self) -> None:
        for address in list(self._listeners):
            self.kill(address)


def arguments(net: Network, folder: Path, *flags: str) -> tuple[str, ...]:
    return (
        *("-v", net.vpc_id, "-r", "us-east-1", "-p", "0", "--state_dir", str(folder / "state")),
        *("--control_socket", str(folder / "c.sock"), "--route_recheck_interval", "1"),
        *flags,
    )


class Daemon:
    """`vpcrouter` on an embedded EC2; a context manager that ends it and checks that it ends."""

    def __init__(
        self,
        ec2: EmbeddedEc2,
        folder: Path,
        *arguments: str,
        program: str = "vpcrouter",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.log_path = folder / "daemon.log"
        self._command = [str(BIN / program), *arguments]
        self._env = {**os.environ, **ec2.env(), **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env
            )

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 30.0) -> int:
        """Signal the daemon and return its exit status."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def wait_exit(self, timeout_s: float = 30.0) -> int:
        """The exit status of a daemon that ends by itself."""
        assert self._process is not None
        status = self._process.wait(timeout_s)
        self._process = None
        return status

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return self.log_path.read_text()

    def wait_log(self, text: str, timeout_s: float = 10.0, count: int = 1) -> None:
        wait_until(
            lambda: self.log().count(text) >= count, timeout_s, lambda: f"{text!r}:\n{self.log()}"
        )

    @property
    def url(self) -> str:
        """Where the API is, as the log says."""
        self.wait_log("api=http")
        return self.log().split("api=")[-1].split()[0].rstrip("/")

    def get(self, path: str, accept: str = "application/json") -> tuple[int, str]:
        """Status and body of one API answer; 0 if none comes."""
        deadline_s = time.monotonic() + ANSWER_S * PATIENCE
        while True:
            status, body = self._get(path, accept)
            if status or time.monotonic() >= deadline_s:
                return status, body

    def _get(self, path: str, accept: str) -> tuple[int, str]:
        request = urllib.request.Request(self.url + path, headers={"Accept": accept})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (TimeoutError, urllib.error.URLError):
            time.sleep(0.1)
            return 0, ""

    def json(self, path: str) -> Any:
        """What the API answers, once it does."""
        return json.loads(wait_until(lambda: self.get(path)[1], 10, self.log))

    def wait_healthy(self, timeout_s: float = 20.0) -> None:
        wait_until(lambda: self.get("/health")[0] == 200, timeout_s, self.log)

    def wait_running(self, timeout_s: float = 20.0) -> None:
        """Wait until no worker is starting any more."""

        def states() -> set[str]:
            return {worker["state"] for worker in self.json("/")["workers"].values()}

        wait_until(lambda: states() == {"RUNNING"}, timeout_s, self.log)

    def worker_pids(self) -> dict[str, int]:
        return {
            name: worker["pid"]
            for name, worker in self.json("/")["workers"].items()
            if worker["pid"] is not None
        }


def run_early(code: str, folder: Path) -> dict[str, str]:
    """An environment in which every Python runs `code` before all else."""
    early = folder / "early"
    early.mkdir()
    (early / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(early)}


def descendants(pid: int) -> set[int]:
    """All live processes below `pid`."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    generation = {pid}
    while generation:
        generation = {child for child, parent in parents.items() if parent in generation}
        found |= generation
    return found


def assert_refused(
    health: str, flags: Sequence[str], spec_file: Path, faults: Sequence[str]
) -> None:
    """`vpcrouter --check` with this health and these flags says just these faults."""
    words = ("--check", "-v", "vpc-1", "-f", str(spec_file), "--health", health, *flags)
    done = subprocess.run(
        [str(BIN / "vpcrouter"), *words], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 78
    for fault in faults:
        assert f"vpcrouter: {fault}" in done.stderr
    assert len(done.stderr.splitlines()) == len(faults)
