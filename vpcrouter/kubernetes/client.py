"""What the watch of nodes asks of a cluster's API server, and what is wrong with its answers.

The only module that uses the `kubernetes` package, which it imports when first needed.
"""

import contextlib
import importlib.util
import json
import os
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

from vpcrouter.errors import ConfigError, VpcRouterError

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
WATCH_GRACE_S = 5.0
"""How long after its end a watch without events is considered broken."""
PAGE_SIZE = 500
GONE = 410
NOT_INSTALLED = (
    "kubernetes: the Kubernetes client is not installed: pip install vpcrouter[kubernetes]"
)


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
        raise ConfigError([f"kubernetes: {where}: {sentence(error)}"]) from None
    return kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))


def is_in_cluster() -> bool:
    """Whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def pages(api: Any) -> Iterator[Mapping[str, Any]]:
    """Read all nodes, as new as can be; their resource version is on the last page."""
    token = None
    while True:
        answer = api.list_node(
            limit=PAGE_SIZE,
            _continue=token,
            _preload_content=False,
            _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
        )
        page = _page(answer)
        yield page
        token = page["metadata"].get("continue")
        if not token:
            break


def events(api: Any, version: str, length_s: int) -> Generator[Any, None, None]:
    """One watch, from this resource version on."""
    import kubernetes  # noqa: PLC0415 - see `connect`

    found = kubernetes.watch.Watch(return_type="object").stream(
        api.list_node,
        resource_version=version,
        allow_watch_bookmarks=True,
        timeout_seconds=length_s,
        _request_timeout=(CONNECT_TIMEOUT_S, length_s + WATCH_GRACE_S),
    )
    with contextlib.closing(found):
        try:
            yield from found
        except kubernetes.client.ApiException as error:
            raise _error(error.status, str(error.reason)) from None


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


def sentence(error: BaseException) -> str:
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
