"""Runs the real `vpcrouterd` with an INI file and a log file."""

import http.client
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from examples.demo import children

PROGRAM = Path(sys.executable).with_name("vpcrouterd")
API_TIMEOUT_S = 2.0

T = TypeVar("T")
Ini = Mapping[str, Mapping[str, object]]


class DaemonError(Exception):
    """The daemon does not run as expected; the message includes the end of its log."""


def write_ini(path: Path, sections: Ini) -> None:
    lines: list[str] = []
    for section, options in sections.items():
        lines += [f"[{section}]", *(f"{name} = {value}" for name, value in options.items()), ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def settings(folder: Path, vpc: str, spec_path: Path, port: int) -> dict[str, dict[str, object]]:
    """An INI file's sections: hosts are checked on TCP `port` every second; otherwise defaults.

    The API gets a free port; the daemon's state is in `folder`.
    """
    return {
        "vpcrouter": {
            "mode": "configfile",
            "health": "tcp",
            "vpc": vpc,
            "address": "127.0.0.1",
            "port": 0,
            "state_dir": folder / "state",
            "control_socket": folder / "control.sock",
        },
        "configfile": {"file": spec_path},
        "tcp": {"tcp_check_port": port, "tcp_check_interval": 1},
    }


class Daemon:
    """One run of the daemon; a context manager that starts and ends it."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.ini_path = folder / "vpcrouter.ini"
        self.log_path = folder / "vpcrouterd.log"
        self._env = {**os.environ, **env}
        self._url = ""

    def __enter__(self) -> Self:
        if not PROGRAM.exists():
            raise DaemonError(f"{PROGRAM} not found; is the package installed?")
        with self.log_path.open("wb") as log:
            self._process = children.start(
                [PROGRAM, "--config", self.ini_path], env=self._env, output=log.fileno()
            )
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        children.end(self._process)

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises DaemonError if the daemon has exited."""
        status = self._process.poll()
        if status is not None:
            raise self.error(f"vpcrouterd exited with status {status}")

    def error(self, sentence: str) -> DaemonError:
        return DaemonError(f"{sentence}; the end of its log:\n{self.log_tail()}")

    def log_tail(self, lines: int = 20) -> str:
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (empty)"

    @property
    def url(self) -> str:
        """The API's URL from the log; empty until it is logged."""
        if not self._url:
            text = self.log_path.read_text(encoding="utf-8", errors="replace")
            found = re.search(r"api=(http://[^\s/]+)", text)
            self._url = found[1] if found else ""
        return self._url

    def ask(self, path: str) -> tuple[int, Any]:
        """The API's status and answer; status 0 if there is no answer."""
        if not self.url:
            return 0, None
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            str(address.hostname), address.port, timeout=API_TIMEOUT_S
        )
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return 0, None
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether /health answers 200. Raises DaemonError if the daemon has exited."""
        self.check()
        status, _ = self.ask("/health")
        return status == 200

    def wait(self, is_so: Callable[[], T], what: str, limit_s: float, pause_s: float) -> T:
        """The first truthy answer of `is_so`. Raises DaemonError after `limit_s`, and if the
        daemon has exited."""
        deadline_s = time.monotonic() + limit_s
        while not (answer := is_so()):
            self.check()
            if time.monotonic() > deadline_s:
                raise self.error(f"{what}: not within {limit_s:g} s")
            time.sleep(pause_s)
        return answer
