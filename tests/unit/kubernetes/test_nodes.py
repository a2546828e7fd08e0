"""Kubernetes' nodes, and what becomes of the hosts that they are."""

import json
from typing import Any

import pytest

from tests.process.kubernetes_api import node
from vpcrouter.kubernetes.nodes import Node, judge_nodes, read_node
from vpcrouter.model.host_state import CheckResult, State

H, Q, F, U = State.HEALTHY, State.QUESTIONABLE, State.FAILED, State.UNKNOWN
A, B = "10.0.0.1", "10.0.0.2"


@pytest.mark.parametrize(
    ("item", "state"),
    [
        (node("a", A), H),
        (node("a", A, ready="False"), F),
        (node("a", A, ready="Unknown"), F),
        (node("a", A, ready="Perhaps"), U),
        (node("a", A, cordoned=True), Q),
        (node("a", A, ready="False", cordoned=True), F),
        (node("a", A, MemoryPressure="True"), Q),
        (node("a", A, DiskPressure="True"), Q),
        (node("a", A, PIDPressure="True"), Q),
        (node("a", A, NetworkUnavailable="True"), Q),
        (node("a", A, MemoryPressure="Unknown"), H),
        (node("a", A, KernelDeadlock="True"), H),
        (node("a", A, ready="Unknown", MemoryPressure="Unknown"), F),
        ({"metadata": {"name": "a"}}, U),
        ({"metadata": {"name": "a"}, "spec": None, "status": None}, U),
        ({"metadata": {"name": "a"}, "status": {"conditions": None, "addresses": None}}, U),
        ({"metadata": {"name": "a"}, "spec": {"unschedulable": True}}, U),
    ],
)
def test_states(item: dict[str, Any], state: State) -> None:
    assert read_node(item).state is state


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"metadata": {}}',
        '{"metadata": 1}',
        '{"metadata": {"name": "a"}, "status": 1}',
        '{"metadata": {"name": "a"}, "spec": [1]}',
        '{"metadata": {"name": "a"}, "status": {"conditions": [1]}}',
        '{"metadata": {"name": "a"}, "status": {"conditions": 1}}',
        '{"metadata": {"name": "a"}, "status": {"addresses": [{"type": "InternalIP"}]}}',
    ],
)
def test_what_is_no_node(text: str) -> None:
    with pytest.raises(ValueError, match="not a node"):
        read_node(json.loads(text))


def made(state: State, *internal: str, external: tuple[str, ...] = (), born: str = "1") -> Node:
    own = frozenset(internal)
    return Node(f"{state}-{born}", state, own, own | frozenset(external), born)


@pytest.mark.parametrize(
    ("nodes", "verdict"),
    [
        (None, CheckResult(unknown=frozenset({A, B}))),
        ([], CheckResult(unknown=frozenset({A, B}))),
        ([made(H, A)], CheckResult(unknown=frozenset({B}))),
        ([made(F, A), made(Q, B)], CheckResult(frozenset({A}), frozenset({B}))),
        ([made(F, A, B)], CheckResult(frozenset({A, B}))),
        ([made(F, "10.9.9.9", external=(A,)), made(H, B)], CheckResult(frozenset({A}))),
        ([made(F, "10.9.9.9", external=(A,)), made(H, A, B)], CheckResult()),
        ([made(H, A, B), made(F, "10.9.9.9", external=(A,), born="2")], CheckResult()),
        ([made(F, A, born="1"), made(H, A, B, born="2")], CheckResult()),
        ([made(H, A, B, born="2"), made(F, A, born="1")], CheckResult()),
        ([made(F, A, born="2"), made(H, A, B, born="1")], CheckResult(frozenset({A}))),
    ],
)
def test_hosts(nodes: list[Node] | None, verdict: CheckResult) -> None:
    assert judge_nodes((A, B), nodes) == verdict
