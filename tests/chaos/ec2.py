"""The embedded EC2 with a journal: every change to a route that was really executed, in order.

The call log can't tell that where a fault replaces the answer of an executed call. The server
is run as `python -m tests.chaos.ec2`.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self
from urllib.parse import parse_qsl

from tests.aws import server
from tests.aws.calls import Environ, StartResponse
from tests.aws.client import ROOT, EmbeddedEc2
from tests.aws.front import FaultyEc2

CHANGES = frozenset({"CreateRoute", "ReplaceRoute", "DeleteRoute"})

App = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Entry:
    """An executed change: when it was done, to which route, and the interface it points at now."""

    number: int
    at_s: float
    action: str
    table: str
    cidr: str
    target: str | None

    @property
    def key(self) -> tuple[str, str]:
        return self.table, self.cidr


class Journalled:
    """WSGI middleware right in front of moto, where one call at a time gets through."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.entries: list[tuple[int, float, str, str, str, str | None]] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        said: list[str] = []

        def note(status: str, *rest: Any) -> Any:
            said.append(status)
            return start_response(status, *rest)

        body = environ["wsgi.input"]
        sent = body.getvalue().decode("utf-8", "replace") if isinstance(body, BytesIO) else ""
        parts = list(self._app(environ, note))
        params = dict(parse_qsl(sent))
        action = params.get("Action", "")
        if action in CHANGES and said[-1].startswith("200"):
            self.entries.append(
                (
                    len(self.entries) + 1,
                    time.monotonic(),
                    action,
                    params["RouteTableId"],
                    params.get("DestinationCidrBlock", ""),
                    params.get("NetworkInterfaceId"),
                )
            )
        return parts


class JournalledEc2(FaultyEc2):
    """Answers `GET journal?since=N`, too."""

    def __init__(self, app: App) -> None:
        self._journal = Journalled(app)
        super().__init__(self._journal)

    def _obey(self, command: str, environ: Environ, payload: Any) -> Any:
        if command == "GET journal":
            query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
            return self._journal.entries[int(query.get("since", 0)) :]
        return super()._obey(command, environ, payload)


class ChaosEc2(EmbeddedEc2):
    """The journalled EC2 in a process of its own."""

    def start(self) -> Self:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.ec2"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            process_group=0,
        )
        line = self._first_line(self._process)
        if not line.startswith("listening "):
            raise RuntimeError(f"the embedded EC2 does not start:\n{self.stderr()}")
        self._url = line.split()[1]
        return self

    def journal(self, since: int) -> list[Entry]:
        """The changes executed after number `since`."""
        return [Entry(*item) for item in self._control("GET", f"journal?since={since}")]


def main() -> None:
    vars(server)["FaultyEc2"] = JournalledEc2
    server.main()


if __name__ == "__main__":
    main()
