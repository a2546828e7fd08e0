"""The checker: looks at everything again and again, in a thread of its own."""

import threading
import time
import traceback
from dataclasses import dataclass, field

from tests.chaos.crowd import Crowd
from tests.chaos.findings import Findings
from tests.chaos.routes import Routes
from tests.chaos.specs import Api
from tests.chaos.tree import Tree

PAUSE_S = 0.05
TREE_EVERY_S = 0.2
API_EVERY_S = 0.3
LATE_S = 0.5
"""So late, this thread itself was kept from running: the machine is overloaded."""


@dataclass
class Checker:
    """`in_force` is what the API said last, and when it was asked."""

    routes: Routes
    api: Api
    tree: Tree
    findings: Findings
    in_force: tuple[int | None, float] = (None, 0.0)
    crowd: Crowd = field(default_factory=Crowd)
    looked_s: float = 0.0
    """Everything up to this moment has been looked at."""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _tree_s: float = 0.0
    _api_s: float = 0.0

    def start(self) -> None:
        self._threads = [
            threading.Thread(target=self._keep, args=(self._look,), name="checker"),
            threading.Thread(target=self._keep, args=(self._ask,), name="api checker"),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _keep(self, look: object) -> None:
        assert callable(look)
        try:
            while not self._stopping.is_set():
                look()
                from_s = time.monotonic()
                time.sleep(PAUSE_S)
                if (late_s := time.monotonic() - from_s - PAUSE_S) > LATE_S:
                    self.findings.count("checker_late")
                    self.findings.worst("checker_late_s", late_s)
        except Exception:
            self.findings.violation(
                "the checker failed", time.monotonic(), why=traceback.format_exc()
            )

    def _look(self) -> None:
        now_s = time.monotonic()
        self.routes.history.stretch = stretch = self.crowd.stretch()
        self.findings.worst("stretch", stretch)
        self.routes.look()
        if now_s - self._tree_s >= TREE_EVERY_S:
            self._tree_s = now_s
            self.tree.look()
        self.looked_s = now_s
        self.findings.worst("one_look_s", time.monotonic() - now_s)

    def _ask(self) -> None:
        now_s = time.monotonic()
        if now_s - self._api_s >= API_EVERY_S:
            self._api_s = now_s
            self.in_force = self.api.look(), now_s
