"""From Romana's topology to a route spec. Pure: text in, routes or faults out."""

import json
from collections.abc import Iterator
from typing import Any

from vpcrouter.plugin import SpecError, parse_spec

MAX_FAULTS_LISTED = 200
LONGEST_PATH = 200


def routes_of(topology: str | bytes) -> dict[str, tuple[str, ...]]:
    """Each group with hosts as a route: CIDR → its hosts' IPs.

    The topology is a JSON object: `networks` → name → `host_groups`, a group. A group may have
    `groups`, a list of groups, and `hosts`, a list of objects with an `ip`; null and an empty list
    mean none. With hosts it must have a `cidr`.

    Raises SpecError with every fault; each names its place in the topology.
    """
    routes: dict[str, tuple[str, ...]] = {}
    places: dict[str, str] = {}
    faults: list[str] = []
    for place, group in _groups(_read(topology), faults):
        ips = _ips(place, group.get("hosts"), faults)
        if ips is None:
            continue
        route = _route(place, group.get("cidr"), ips, faults)
        if route is None:
            continue
        cidr, hosts = route
        if cidr in places:
            faults.append(f"{place}.cidr: {cidr} is that of {places[cidr]}, too")
        places[cidr] = place
        routes[cidr] = hosts
    if not faults and not routes:
        faults.append("networks: no group has hosts; an empty route spec would delete every route")
    if faults:
        unlisted = len(faults) - MAX_FAULTS_LISTED
        more = [f"and {unlisted} more"] if unlisted > 0 else []
        raise SpecError(faults[:MAX_FAULTS_LISTED] + more)
    return routes


def _read(topology: str | bytes) -> Any:
    try:
        return json.loads(topology, object_pairs_hook=_once)
    except RecursionError:
        raise SpecError(["bad JSON: it is nested too deeply"]) from None
    except ValueError as error:
        raise SpecError([f"bad JSON: {error}"]) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are there once; of two networks of one name, one would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has {json.dumps(twice)} twice")
    return found


def _groups(topology: Any, faults: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every group with its place, those above before those below."""
    waiting = [*_top_groups(topology, faults)][::-1]
    while waiting:
        place, group = waiting.pop()
        if not isinstance(group, dict):
            faults.append(f"{place}: a group is an object, not {_kind(group)}")
            continue
        yield place, group
        below = group.get("groups")
        if below is None:
            continue
        if not isinstance(below, list):
            faults.append(f"{place}.groups: must be a list, not {_kind(below)}")
            continue
        inner = [(_short(f"{place}.groups[{n}]"), each) for n, each in enumerate(below)]
        waiting += inner[::-1]


def _top_groups(topology: Any, faults: list[str]) -> Iterator[tuple[str, Any]]:
    networks = _member("", topology, "networks", faults)
    if networks is None:
        return
    if not isinstance(networks, dict):
        faults.append(f"networks: must be an object, not {_kind(networks)}")
        return
    for name, network in networks.items():
        place = _short(f"networks.{name}")
        group = _member(place, network, "host_groups", faults)
        if group is not None:
            yield f"{place}.host_groups", group


def _member(place: str, parent: Any, name: str, faults: list[str]) -> Any:
    """What `parent` has under `name`; None, with a fault, when it has nothing there."""
    if not isinstance(parent, dict):
        faults.append(f"{place or 'the topology'}: must be an object, not {_kind(parent)}")
        return None
    if parent.get(name) is None:
        why = "is null" if name in parent else "is missing"
        faults.append(f"{place}.{name}: {why}".removeprefix("."))
    return parent.get(name)


def _ips(place: str, hosts: Any, faults: list[str]) -> list[str] | None:
    """The IPs of a group's hosts; None when it has no hosts, or faults."""
    if hosts is None or hosts == []:
        return None
    if not isinstance(hosts, list):
        faults.append(f"{place}.hosts: must be a list, not {_kind(hosts)}")
        return None
    ips: list[str] = []
    for number, host in enumerate(hosts):
        ip = _member(f"{place}.hosts[{number}]", host, "ip", faults)
        if isinstance(ip, str):
            ips.append(ip)
        elif ip is not None:
            faults.append(f"{place}.hosts[{number}].ip: must be text, not {_kind(ip)}")
    return ips if len(ips) == len(hosts) else None


def _route(
    place: str, cidr: Any, ips: list[str], faults: list[str]
) -> tuple[str, tuple[str, ...]] | None:
    """The canonical CIDR with its hosts; None, with faults, when they are not what they must be."""
    if cidr is None or cidr == "":
        faults.append(f"{place}: has hosts, but no cidr")
        return None
    if not isinstance(cidr, str):
        faults.append(f"{place}.cidr: must be text, not {_kind(cidr)}")
        return None
    try:
        ((canonical, hosts),) = parse_spec({cidr: ips}).routes.items()
    except SpecError as error:
        faults.extend(f"{place}: {fault}" for fault in error.faults)
        return None
    return canonical, hosts


def _short(place: str) -> str:
    if len(place) <= LONGEST_PATH:
        return place
    return f"{place[: LONGEST_PATH // 2]}...{place[-LONGEST_PATH // 2 :]}"


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "text"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else "a number"
