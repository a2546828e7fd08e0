"""Lists and then watches all nodes of a Kubernetes cluster, in a separate thread.

Source: "Efficient detection of changes", kubernetes.io/docs/reference/using-api/api-concepts.
"""

import contextlib
import math
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

from vpcrouter.backoff import LONGEST_PAUSE_S, backoff_s, jittered_s
from vpcrouter.errors import ConfigError
from vpcrouter.kubernetes.client import (
    WATCH_GRACE_S,
    GoneError,
    KubernetesError,
    connect,
    events,
    pages,
    sentence,
)
from vpcrouter.kubernetes.nodes import Node, read_node
from vpcrouter.linux.wake import WakeFd
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Trouble

SHORTEST_WATCH_S = 1.0
SILENCE_S = 30.0

log = logs.get(__name__)


@dataclass(frozen=True)
class ClusterAccess:
    """Which cluster, and how often all of its nodes are relisted."""

    kubeconfig: str | None
    context: str | None
    interval_s: float


class NodeWatch:
    """`nodes` is the current node list, None while unknown; `fd` is readable on changes.

    The thread is started by `start` and ends with the process. `nodes`, `drain` and
    `check_alive` are for the thread that started it. A watch that ends or breaks is resumed
    where it stopped; every `interval_s`, and when resuming fails, all nodes are relisted.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self.nodes: tuple[Node, ...] | None = None
        self._wake = WakeFd()
        self._by_name: dict[str, Node] = {}
        self._version = self._watch_trouble = ""
        self._list_failures = self._watch_failures = 0
        self._end: Exception | None = None
        self._progress_s = time.monotonic()
        self._silence_limit_s = max(access.interval_s + WATCH_GRACE_S, LONGEST_PAUSE_S) + SILENCE_S
        self._thread = threading.Thread(target=self._run, name="nodes", daemon=True)
        self._away = Trouble(
            log, "Kubernetes node status unavailable", "Kubernetes node status available again"
        )
        self._unwatched = Trouble(
            log, "node watch failing; polling the node list instead", "node watch works again"
        )

    @property
    def fd(self) -> int:
        return self._wake.fileno()

    def start(self) -> None:
        self._thread.start()

    def drain(self) -> bool:
        """Whether the nodes have changed since the last call."""
        return self._wake.clear()

    def check_alive(self) -> None:
        """Raise the exception that ended the thread; KubernetesError if the thread is stuck."""
        if self._end is not None:
            raise self._end
        silent_s = time.monotonic() - self._progress_s
        if silent_s > self._silence_limit_s:
            raise KubernetesError(f"node watch made no progress for {silent_s:.0f} s")

    # In the thread

    def _run(self) -> None:
        try:
            self._api = connect(self._access.kubeconfig, self._access.context)
            while True:
                if self._has_listed():
                    self._watch_until_due()
        except Exception as error:  # raised again by `check_alive`
            self._end = error
        self._wake.wake()

    def _has_listed(self) -> bool:
        try:
            self._version = self._list()
        except Exception as error:  # any failure ends this attempt only
            self._list_failures += 1
            self._watch_failures = 0  # explained by this failure
            log.debug("listing nodes failed", exc_info=True)
            if self._list_failures > 1:  # keep the nodes after a single lost connection
                self._forget(sentence(error))
            self._pause(self._list_failures)
            self._connect_again()
            return False
        self._list_failures = 0
        self._away.tell("")
        if self._watch_failures > 1:
            self._unwatched.tell(self._watch_trouble)
        return True

    def _watch_until_due(self) -> None:
        """Watch until all nodes must be relisted, or the watch fails."""
        due_s = time.monotonic() + self._access.interval_s
        while (left_s := due_s - time.monotonic()) > 0:
            began_s = time.monotonic()
            try:
                self._watch(max(1, math.ceil(left_s)))
            except Exception as error:  # any failure ends this attempt only
                log.debug("node watch failed", exc_info=True)
                self._watch_failures += 1
                is_gone = isinstance(error, GoneError)
                if is_gone:
                    log.info("watch expired (410 Gone); relisting nodes", at=self._version)
                self._watch_trouble = sentence(error)
                if self._watch_failures > 1 or not is_gone:
                    self._pause(self._watch_failures)
                if self._watch_failures > 1 or is_gone:
                    return
            else:
                self._watch_works()
                if time.monotonic() - began_s < min(SHORTEST_WATCH_S, left_s):
                    self._pause(1)  # do not hammer a server that ends every watch at once

    def _watch_works(self) -> None:
        self._watch_failures = 0
        self._unwatched.tell("")

    def _connect_again(self) -> None:
        """Reconnect with the current configuration: addresses and credentials change."""
        with contextlib.suppress(ConfigError):
            self._api = connect(self._access.kubeconfig, self._access.context)

    def _pause(self, failures: int) -> None:
        self._progress_s = time.monotonic()
        time.sleep(jittered_s(backoff_s(failures), random.uniform))

    def _list(self) -> str:
        """Read all nodes, most recent; return their resource version."""
        found: dict[str, Node] = {}
        self._progress_s = time.monotonic()
        for page in pages(self._api):
            for item in page["items"]:
                node = read_node(item)
                found[node.name] = node
            self._progress_s = time.monotonic()
        self._publish(found)
        return str(page["metadata"]["resourceVersion"])

    def _watch(self, length_s: int) -> None:
        """One watch, from the resource version that the last one reached."""
        self._progress_s = time.monotonic()
        end_s = self._progress_s + length_s + WATCH_GRACE_S
        with contextlib.closing(events(self._api, self._version, length_s)) as found:
            for event in found:
                self._progress_s = time.monotonic()
                self._on_event(event)
                if self._progress_s > end_s:
                    break

    def _on_event(self, event: Any) -> None:
        if not isinstance(event, dict):
            raise KubernetesError("the watch sent something that is not an event")
        kind, item = event["type"], event["raw_object"]
        if kind in ("ADDED", "MODIFIED"):
            node = read_node(item)
            self._publish(self._by_name | {node.name: node})
        elif kind == "DELETED":
            name = read_node(item).name
            self._publish({each: node for each, node in self._by_name.items() if each != name})
        self._version = str(item["metadata"]["resourceVersion"])
        self._watch_works()

    def _publish(self, by_name: dict[str, Node]) -> None:
        """Notify the other thread if the nodes have changed: most events are heartbeats."""
        if self.nodes is not None and by_name == self._by_name:
            return
        self._by_name = by_name
        self.nodes = tuple(by_name.values())
        self._wake.wake()

    def _forget(self, reason: str) -> None:
        self._away.tell(reason)
        if self.nodes is not None:
            self.nodes = None
            self._wake.wake()
