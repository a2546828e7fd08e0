"""Node status from Kubernetes, and the judgement of hosts by it. Pure.

Source: "Node Status", kubernetes.io/docs/reference/node/node-status.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vpcrouter.model.host_state import CheckResult, State

INTERNAL = "InternalIP"
PRESSURES = frozenset({"MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"})


@dataclass(frozen=True, slots=True)
class Node:
    """The relevant parts of a node. `born` is its creation time as text."""

    name: str
    state: State
    internal: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    born: str = ""


def read_node(item: Mapping[str, Any]) -> Node:
    """Parse a node from Kubernetes' object. Raises ValueError if it is not a node."""
    try:
        metadata, status = item["metadata"], item.get("status") or {}
        addresses = [(str(a["type"]), str(a["address"])) for a in status.get("addresses") or ()]
        conditions = {str(c["type"]): str(c["status"]) for c in status.get("conditions") or ()}
        is_cordoned = bool((item.get("spec") or {}).get("unschedulable"))
        return Node(
            str(metadata["name"]),
            _state(conditions, is_cordoned),
            frozenset(address for kind, address in addresses if kind == INTERNAL),
            frozenset(address for _, address in addresses),
            str(metadata.get("creationTimestamp", "")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a node: {type(error).__name__}: {error}") from None


def _state(conditions: Mapping[str, str], is_cordoned: bool) -> State:
    """Failed: not ready, or no longer reporting to Kubernetes (`Unknown`). Questionable: cordoned
    or under pressure. Unknown: no `Ready` condition.
    """
    ready = conditions.get("Ready")
    if ready in ("False", "Unknown"):
        return State.FAILED
    if ready != "True":
        return State.UNKNOWN
    is_pressed = any(conditions.get(kind) == "True" for kind in PRESSURES)
    return State.QUESTIONABLE if is_cordoned or is_pressed else State.HEALTHY


def judge_nodes(hosts: Iterable[str], nodes: Iterable[Node] | None) -> CheckResult:
    """Judge the hosts; without `nodes`, and for a host that is not a node, the state is unknown.

    An internal address takes precedence over others, and of two nodes with the same address the
    younger: the object of a deleted node can outlive the reuse of its address.
    """
    node_of: dict[str, tuple[bool, str, State]] = {}
    for node in nodes or ():
        for address in node.addresses:
            claim = address in node.internal, node.born, node.state
            if address not in node_of or claim[:2] > node_of[address][:2]:
                node_of[address] = claim
    nobody = False, "", State.UNKNOWN
    return CheckResult.of({host: node_of.get(host, nobody)[2] for host in hosts})
