"""A real etcd on loopback."""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

START_S = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Etcd:
    """One etcd with its data in `folder`."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        peers = f"http://127.0.0.1:{free_port()}"
        self._log = folder / "etcd.log"
        self._command = [
            program,
            *("--data-dir", str(folder / "etcd")),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            *("--initial-cluster", f"default={peers}"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                self.ask("range", key="x")
            except OSError:
                assert time.monotonic() < deadline_s, self._log.read_text()
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, what: str, **fields: str) -> Any:
        coded = {name: base64.b64encode(text.encode()).decode() for name, text in fields.items()}
        body = json.dumps(coded).encode()
        with urllib.request.urlopen(f"{self.url}/v3/kv/{what}", body, timeout=5) as answer:
            return json.load(answer)

    def put(self, key: str, value: object) -> None:
        """Text as it is, anything else as JSON."""
        self.ask("put", key=key, value=value if isinstance(value, str) else json.dumps(value))


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    program = shutil.which("etcd")
    if program is None:
        why = "etcd is not there (Debian: etcd-server)"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    server = Etcd(program, tmp_path)
    server.start()
    yield server
    server.kill()
