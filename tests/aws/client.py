"""`EmbeddedEc2`, the server as a subprocess."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from boto3.session import Session
from botocore.config import Config

from .calls import DRIVER_KEY, Call
from .plants import Plants

if TYPE_CHECKING:
    from _typeshed import HasFileno
    from mypy_boto3_ec2 import EC2Client

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
ZONES = "abcdef"
IMAGE = "ami-12c6146b"
CREDENTIALS: dict[str, Any] = {
    "aws_access_key_id": DRIVER_KEY,
    "aws_secret_access_key": "testing",
}
DAEMON_KEY = "AKIADAEMON"


class EmbeddedEc2(Plants):
    """The embedded EC2 in a process of its own; a context manager.

    The server dies with the thread that starts it.
    """

    def __init__(
        self, port: int = 0, start_timeout_s: float = 120.0, cancel: HasFileno | None = None
    ) -> None:
        """While it starts, it is given up as soon as `cancel` is readable."""
        self._cancel = cancel
        self._port = port
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._clients: dict[tuple[float, bool], EC2Client] = {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the server and wait until it listens.

        Raises:
            RuntimeError: it does not, in time; with what it wrote to stderr. Or it was cancelled.
        """
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.aws.server", "--port", str(self._port)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            process_group=0,  # the terminal's Ctrl-C is for its user, who ends it last
        )
        line = self._first_line(self._process)
        if not line.startswith("listening "):
            stderr = self.stderr()
            self.stop()
            raise RuntimeError(f"the embedded EC2 does not start (said {line!r}):\n{stderr}")
        self._url = line.split()[1]
        return self

    def _first_line(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None
        awaited: list[HasFileno] = [process.stdout, *([self._cancel] if self._cancel else [])]
        ready, _, _ = select.select(awaited, [], [], self._start_timeout_s)
        return process.stdout.readline().decode() if process.stdout in ready else ""

    def stop(self) -> None:
        """End the server; harmless when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        while self._clients:
            self._clients.popitem()[1].close()
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
        self._stderr.close()

    def stderr(self) -> str:
        """What the server has written to stderr so far; moto's tracebacks are there."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), size, 0).decode(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def url(self) -> str:
        return self._url

    def env(self) -> dict[str, str]:
        """The environment variables that make boto3 in another process use this EC2."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": DAEMON_KEY,
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }

    def env_of_instance(self) -> dict[str, str]:
        """As `env`, but region and credentials are left to instance metadata."""
        unset = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
        return {
            **self.env(),
            **dict.fromkeys(unset, ""),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url,
        }

    @cached_property
    def _session(self) -> Session:
        return Session(region_name=REGION, **CREDENTIALS)

    def client(self, read_timeout_s: float = 10.0, *, validate: bool = True) -> EC2Client:
        """A client that never retries; the same one for the same arguments.

        Without `validate` it leaves it to EC2 to find nonsensical parameters.
        """
        key = (read_timeout_s, validate)
        if key not in self._clients:
            self._clients[key] = self._new_client(read_timeout_s, validate)
        return self._clients[key]

    def _new_client(self, read_timeout_s: float, validate: bool) -> EC2Client:
        config = Config(
            connect_timeout=2,
            read_timeout=read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": 1},
            proxies={},
            parameter_validation=validate,
        )
        return self._session.client("ec2", endpoint_url=self.url, config=config)

    # ---- control --------------------------------------------------------------------------

    def calls(self, since: int = 0) -> list[Call]:
        """The calls with a `seq` over `since`, in the order they were answered."""
        return [Call(**item) for item in self._control("GET", f"calls?since={since}")]

    def in_flight(self) -> list[Call]:
        """The calls not answered yet (`seq` 0)."""
        return [Call(**item) for item in self._control("GET", "in_flight")]

    def set_faults(self, faults: Sequence[dict[str, Any]]) -> None:
        """Replace all faults in force; each has the fields of `tests.aws.faults.Fault`."""
        self._control("POST", "faults", list(faults))

    def settings(self, **changes: Any) -> None:
        """Change some of `page_size`, `stale_s`, `bucket` …; see `tests.aws.front.Settings`."""
        self._control("POST", "settings", changes)

    def set_metadata(self, **said: Any) -> None:
        """Set what instance metadata says; see `tests.aws.metadata.Instance`."""
        self._control("POST", "metadata", said)

    def reset(self) -> None:
        """Empty EC2, faults, settings and log; calls under way are dropped."""
        self._control("POST", "reset", {})

    def _control(self, method: str, name: str, payload: Any = None) -> Any:
        address = urlsplit(self.url)
        connection = HTTPConnection(str(address.hostname), address.port, timeout=30)
        try:
            body = None if payload is None else json.dumps(payload)
            connection.request(method, f"/_control/{name}", body)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer
