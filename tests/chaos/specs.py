"""Rule 3: what the API says is in force."""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

from tests.chaos.findings import Findings
from tests.chaos.history import History, digest

API_TIMEOUT_S = 1.0


@dataclass
class Api:
    """The daemon's API. Owned by the checker's thread."""

    port: int
    history: History
    findings: Findings
    shown: int = 0
    """The newest spec it has ever shown."""

    def ask(self, path: str) -> tuple[int, Any]:
        """Status and answer; status 0 while there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=API_TIMEOUT_S)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return 0, None
        finally:
            connection.close()

    def look(self) -> int | None:
        """The number of the spec in force; None when the API doesn't tell."""
        status, routes = self.ask("/route_spec")
        now_s = time.monotonic()
        self.findings.count(f"api_{status}")
        if status != 200:
            return None
        shown = digest(routes)
        spec = next((each for each in self.history.specs if each.digest == shown), None)
        if spec is None:
            self.findings.violation("a spec nobody wrote is in force", now_s, cidrs=len(routes))
            return None
        spec.shown_s = min(spec.shown_s, now_s)
        lost = self.history.specs[spec.index + 1 : self.shown + 1]
        if lost and all(self.history.may_be_forgotten(each, now_s) for each in lost):
            self.findings.count("specs_lost_to_a_full_disk")
            self.shown = spec.index
        elif lost:
            self.findings.violation(
                "an accepted spec was lost",
                now_s,
                once=(self.shown, spec.index),
                was=self.shown,
                now=spec.index,
            )
        self.shown = max(self.shown, spec.index)
        return spec.index

    def is_healthy(self) -> tuple[bool, Any]:
        status, answer = self.ask("/health")
        return status == 200, answer
