"""The route spec: destination CIDR → eligible hosts, parsed and checked as a whole."""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vpcrouter.errors import SpecError

MAX_SPEC_BYTES = 16 * 1024 * 1024
MAX_FAULTS_LISTED = 200


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A checked route spec: never empty, CIDRs canonical and sorted, hosts unique and in order."""

    routes: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts of all CIDRs, each once, sorted."""
        return tuple(sorted({host for hosts in self.routes.values() for host in hosts}))


Document = str | bytes | Mapping[str, Any] | RouteSpec
"""A route spec as received: JSON text, the decoded mapping, or an already checked one."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys as written, repeated ones included."""


def parse_spec(document: Document) -> RouteSpec:
    """Check `document` and convert it into a route spec.

    Raises SpecError with every fault, each naming its entry.
    """
    if isinstance(document, RouteSpec):
        return document
    pairs = list(document.items()) if isinstance(document, Mapping) else _read_json(document)
    if not pairs:
        raise SpecError(["the route spec is empty: it would delete every route"])
    faults: list[str] = []
    warnings: list[str] = []
    routes: dict[str, tuple[str, ...]] = {}
    written_as: dict[str, str] = {}
    for key, value in pairs:
        hosts = _check_hosts(key, value, faults)
        cidr = _check_cidr(key, faults)
        if cidr is None:
            continue
        if cidr in written_as:
            other = written_as[cidr]
            same = "is listed twice" if other == key else f"is the same CIDR as {_show(other)}"
            faults.append(f"{_show(key)}: {same}")
            continue
        written_as[cidr] = key
        if cidr != key:
            warnings.append(f"{_show(key)}: has host bits set, taken as {cidr}")
        routes[cidr] = hosts
    if faults:
        unlisted = len(faults) - MAX_FAULTS_LISTED
        more = [f"and {unlisted} more"] if unlisted > 0 else []
        raise SpecError(faults[:MAX_FAULTS_LISTED] + more)
    return _in_order(routes, warnings)


def merge_specs(specs: Mapping[str, RouteSpec]) -> RouteSpec:
    """Merge several named route specs into one.

    Raises SpecError with each CIDR that two of them contain, and both names.
    """
    faults: list[str] = []
    warnings: list[str] = []
    routes: dict[str, tuple[str, ...]] = {}
    named_by: dict[str, str] = {}
    for name, spec in specs.items():
        warnings += (f"{name}: {warning}" for warning in spec.warnings)
        for cidr, hosts in spec.routes.items():
            if cidr in routes:
                faults.append(f"{_show(cidr)}: is in {named_by[cidr]} and in {name}")
            routes[cidr], named_by[cidr] = hosts, name
    if faults:
        raise SpecError(faults)
    return _in_order(routes, warnings)


def _in_order(routes: Mapping[str, tuple[str, ...]], warnings: list[str]) -> RouteSpec:
    in_order = sorted(routes, key=ipaddress.IPv4Network)
    return RouteSpec({cidr: routes[cidr] for cidr in in_order}, tuple(warnings))


def _read_json(text: str | bytes) -> list[tuple[str, Any]]:
    if len(text) > MAX_SPEC_BYTES:
        raise SpecError([f"the route spec is larger than {MAX_SPEC_BYTES // 1024 // 1024} MiB"])
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise SpecError([f"bad JSON at {place}: {error.msg}"]) from None
    except (ValueError, RecursionError) as error:
        raise SpecError([f"bad JSON: {error}"]) from None
    if not isinstance(value, _Pairs):
        raise SpecError([f"a route spec is a JSON object of CIDRs, not {_type(value)}"])
    return value


def _check_cidr(key: Any, faults: list[str]) -> str | None:
    """The canonical CIDR, as EC2 would normalise `key`."""
    if not isinstance(key, str):
        faults.append(f"{_show(key)}: a CIDR is text, not {_type(key)}")
        return None
    _, slash, prefix = key.partition("/")
    try:
        network = ipaddress.ip_network(key, strict=False)
    except ValueError:
        faults.append(f"{_show(key)}: is not a CIDR")
        return None
    if network.version != 4:
        faults.append(f"{_show(key)}: only IPv4 destinations are supported")
    elif not slash:
        faults.append(f"{_show(key)}: has no prefix length; for one address write {key}/32")
    elif not prefix.isdecimal():
        faults.append(f"{_show(key)}: write the prefix length, {network}")
    else:
        return str(network)
    return None


def _check_hosts(key: Any, value: Any, faults: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or isinstance(value, _Pairs):
        faults.append(f"{_show(key)}: needs a list of hosts, not {_type(value)}")
        return ()
    if not value:
        faults.append(f"{_show(key)}: has no hosts")
    faults.extend(f"{_show(key)}: {fault}" for fault in _host_faults(value))
    return tuple(dict.fromkeys(host for host in value if isinstance(host, str)))


def _host_faults(hosts: list[Any] | tuple[Any, ...]) -> Iterator[str]:
    for place, host in enumerate(hosts, start=1):
        if not isinstance(host, str):
            yield f"host {place} is {_type(host)}, not an IP address in quotes"
            continue
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            yield f"host {place}, {_show(host)}, is not an IP address"
            continue
        if address.version != 4:
            yield f"host {place}, {_show(host)}: only IPv4 hosts are supported"
        elif address.is_unspecified or address.is_multicast:
            yield f"host {place}, {_show(host)}, is not a host address"


def _show(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _type(value: Any) -> str:
    if isinstance(value, _Pairs | Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return "text"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "a number" if isinstance(value, int | float) else f"a {type(value).__name__}"
