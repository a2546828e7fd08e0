"""Lists and then watches all nodes of a Kubernetes cluster, in a separate thread.

The only module that uses the `kubernetes` package, which it imports when first needed.
Source: "Efficient detection of changes", kubernetes.io/docs/reference/using-api/api-concepts.
"""

import contextlib
import importlib.util
import json
import math
import os
import random
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vpcrouter.backoff import LONGEST_PAUSE_S, backoff_s
from vpcrouter.errors import ConfigError, VpcRouterError
from vpcrouter.kubernetes.nodes import Node, read_node
from vpcrouter.logs import setup as logs
from vpcrouter.logs.log_once import Trouble

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
WATCH_GRACE_S = 5.0
"""How long after its end a watch without events is considered broken."""
SHORTEST_WATCH_S = 1.0
SILENCE_S = 30.0
PAGE_SIZE = 500
GONE = 410
NOT_INSTALLED = (
    "kubernetes: the Kubernetes client is not installed: pip install vpcrouter[kubernetes]"
)

log = logs.get(__name__)


class KubernetesError(VpcRouterError):
    """The API server returned an error, an invalid response, or did not answer."""


class GoneError(KubernetesError):
    """The resource version has expired (410 Gone): all nodes must be relisted."""


def is_installed() -> bool:
    """Whether the client package is installed."""
    return importlib.util.find_spec("kubernetes") is not None


def connect(kubeconfig: str | None, context: str | None) -> Any:
    """A CoreV1Api for this kubeconfig; without one, the in-cluster config or the user's own.

    Raises ConfigError.
    """
    try:
        import kubernetes  # noqa: PLC0415 - optional and large
    except ImportError:
        raise ConfigError([NOT_INSTALLED]) from None
    configuration = kubernetes.client.Configuration()
    configuration.retries = False  # retries are done here
    try:
        if kubeconfig is None and context is None and is_in_cluster():
            kubernetes.config.load_incluster_config(client_configuration=configuration)
        else:
            kubernetes.config.load_kube_config(
                kubeconfig, context, client_configuration=configuration, persist_config=False
            )
    except Exception as error:  # an invalid file can raise anything
        where = kubeconfig or "the cluster or ~/.kube/config"
        raise ConfigError([f"kubernetes: {where}: {_sentence(error)}"]) from None
    return kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))


def is_in_cluster() -> bool:
    """Whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


@dataclass(frozen=True)
class Access:
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

    def __init__(self, access: Access) -> None:
        self._access = access
        self.nodes: tuple[Node, ...] | None = None
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
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

    def start(self) -> None:
        self._thread.start()

    def drain(self) -> bool:
        """Whether the nodes have changed since the last call."""
        try:
            return os.eventfd_read(self.fd) > 0
        except BlockingIOError:
            return False

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
        os.eventfd_write(self.fd, 1)

    def _has_listed(self) -> bool:
        try:
            self._version = self._list()
        except Exception as error:  # any failure ends this attempt only
            self._list_failures += 1
            self._watch_failures = 0  # explained by this failure
            log.debug("listing nodes failed", exc_info=True)
            if self._list_failures > 1:  # keep the nodes after a single lost connection
                self._forget(_sentence(error))
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
                self._watch_trouble = _sentence(error)
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
        time.sleep(backoff_s(failures) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    def _list(self) -> str:
        """Read all nodes, most recent; return their resource version."""
        found: dict[str, Node] = {}
        token = None
        while True:
            self._progress_s = time.monotonic()
            answer = self._api.list_node(
                limit=PAGE_SIZE,
                _continue=token,
                _preload_content=False,
                _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            )
            page = _page(answer)
            for item in page["items"]:
                node = read_node(item)
                found[node.name] = node
            token = page["metadata"].get("continue")
            if not token:
                break
        self._publish(found)
        return str(page["metadata"]["resourceVersion"])

    def _watch(self, length_s: int) -> None:
        """One watch, from the resource version that the last one reached."""
        import kubernetes  # noqa: PLC0415 - see `connect`

        self._progress_s = time.monotonic()
        end_s = self._progress_s + length_s + WATCH_GRACE_S
        events = kubernetes.watch.Watch(return_type="object").stream(
            self._api.list_node,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=length_s,
            _request_timeout=(CONNECT_TIMEOUT_S, length_s + WATCH_GRACE_S),
        )
        with contextlib.closing(events):
            try:
                for event in events:
                    self._progress_s = time.monotonic()
                    self._on_event(event)
                    if self._progress_s > end_s:
                        break
            except kubernetes.client.ApiException as error:
                raise _error(error.status, str(error.reason)) from None

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
        os.eventfd_write(self.fd, 1)

    def _forget(self, reason: str) -> None:
        self._away.tell(reason)
        if self.nodes is not None:
            self.nodes = None
            os.eventfd_write(self.fd, 1)


def _page(answer: Any) -> Mapping[str, Any]:
    """A page of the node list. Raises KubernetesError for any other response."""
    status, body = answer.status, answer.data
    if status != 200:
        raise _error(status, str(getattr(answer, "reason", "")))
    page = json.loads(body)
    if not isinstance(page, dict) or not isinstance(page.get("items"), list):
        raise KubernetesError("the response is not a node list")
    return page


def _error(status: Any, reason: str) -> KubernetesError:
    kind = GoneError if status == GONE else KubernetesError
    return kind(f"HTTP {status}: {reason}")


def _sentence(error: BaseException) -> str:
    """An error in a short text that is the same for the same cause."""
    if isinstance(error, VpcRouterError):
        return str(error)
    deepest = error
    for cause in _causes(error):
        deepest = cause
    if hasattr(deepest, "status"):
        return f"HTTP {deepest.status}: {getattr(deepest, 'reason', '')}"
    lines = str(deepest).splitlines() or [""]
    text = re.sub(r"<[^<>]* at 0x[0-9a-f]+>:? ?", "", lines[0])[:200]
    return f"{type(deepest).__name__}: {text}"


def _causes(error: BaseException) -> Iterable[BaseException]:
    """The chain of causes of an error."""
    seen = {id(error)}
    below = error.__cause__ or error.__context__
    while below is not None and id(below) not in seen:
        seen.add(id(below))
        yield below
        below = below.__cause__ or below.__context__
