"""kubernetes: parameters that begin with `_`, which its calls take beside the API's own."""

import re

import pytest

from tests.unit.contracts.relied_on import Relied

kubernetes = pytest.importorskip("kubernetes")

WATCH = "vpcrouter.kubernetes.client"


@pytest.mark.parametrize("name", ["_continue", "_preload_content", "_request_timeout"])
def test_listing_nodes_takes(name: str) -> None:
    text = kubernetes.client.CoreV1Api.list_node.__doc__
    assert re.search(rf":param (\w+ )?{name}:", text), (
        f"list_node has no {name}, by which {WATCH} reads pages unparsed and in bounded time"
    )


def test_a_watch_streams_what_lists() -> None:
    names = ("self", "func", "args", "kwargs")
    Relied(kubernetes.watch.Watch.stream, names, WATCH).check()
