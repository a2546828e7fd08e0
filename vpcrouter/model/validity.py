"""Whether a received message is valid: from a role that may send it, and with the values that its
fields are declared to have, which unpickling does not check.

Pure. Everything is looked at but the healthy hosts of a report, of which there can be 50,000 a few
times a second: their readers only ask which of their own hosts are among them, so a few are enough.
"""

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Any

from vpcrouter.model.messages import (
    DampingReport,
    Envelope,
    Flaps,
    HealthReport,
    Heartbeat,
    HostList,
    Hosts,
    Message,
    Orders,
    RoutingReport,
    SettingsReport,
    SpecReport,
    ViewReport,
)
from vpcrouter.model.spec import RouteSpec

MAX_DEPTH = 8
MAX_ITEMS = 10_000
"""Of plain values, as an info or a list of changes: far more than any worker has."""
MAX_NUMBER = 2**63
MAX_SIGNAL = 64
SAMPLE = 100
MAX_FAULT = 200
SLACK_S = 1.0
"""How far in the future a time may be: a sum of floats is not exact."""
_OCTET = "(?>1[0-9]{0,2}|2(?:[0-4][0-9]?|5[0-5]?|[6-9])?|[3-9][0-9]?|0)"
_ADDRESS = rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}"
_HOSTS = re.compile(rf"(?>{_ADDRESS}\n)*+")
_CIDRS = re.compile(rf"(?>{_ADDRESS}/(?>3[0-2]?|[12][0-9]?|[4-9]|0)\n)*+")
"""Of many lines at once, which is faster, and without backtracking."""


def fault_of(envelope: Envelope, worker: str, role: str, generation: int, now_s: float) -> str:
    """Why a message from this generation of a worker is not valid; "" if it is.

    `now_s` is the time on the clock of its times.
    """
    try:
        if (envelope.worker, envelope.generation) != (worker, generation):
            return "is in another worker's name"
        if not _is_past(envelope.sent_s, now_s):
            return "has an invalid time"
        return _fault_of_message(envelope.message, worker, role, now_s)
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:  # or a missing field
        return f"has a value of a wrong type: {error}"[:MAX_FAULT]


def _fault_of_message(message: Message, worker: str, role: str, now_s: float) -> str:
    kind = type(message)
    if kind not in FIELDS:
        return f"is not a message that a worker may send: {kind.__name__}"
    if role not in kind.senders:
        return f"is a {kind.__name__}, which its role ({role}) may not send"
    for name, is_valid in FIELDS[kind].items():
        if not is_valid(getattr(message, name)):
            return f"is a {kind.__name__} with an invalid value: {name}"
    return _fault_of_report(message, worker, now_s) if isinstance(message, HealthReport) else ""


def _fault_of_report(report: HealthReport, worker: str, now_s: float) -> str:
    if report.monitor != worker:
        return "is a HealthReport in another monitor's name"
    if report.failed_since_at and max(report.failed_since_at.values()) > now_s + SLACK_S:
        return "is a HealthReport with an invalid value: failed_since_at"
    return ""


def is_plain(value: Any) -> bool:
    """Whether it consists of mappings, sequences, texts and numbers, and is neither deep nor large.

    It may contain itself. Comparing, pickling and showing it as JSON cannot fail. Raises TypeError
    or ValueError for a key or a text that cannot be encoded.
    """
    todo, left = [(value, MAX_DEPTH)], MAX_ITEMS
    while todo:
        each, depth = todo.pop()
        parts: Iterable[Any] = ()
        if type(each) is dict:
            "".join(each).encode()
            parts = each.values()
        elif type(each) in (list, tuple):
            parts = each
        elif not _is_scalar(each):
            return False
        else:
            continue
        left -= 1 + len(each)
        if depth == 0 or left < 0:
            return False
        todo += [(part, depth - 1) for part in parts]
    return True


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        return _is_text(value)
    return value is None or type(value) is bool or _is_number(value)


def _is_text(value: Any) -> bool:
    """Text that can be encoded: a surrogate cannot, which raises a ValueError."""
    return type(value) is str and (value.isascii() or bool(value.encode()))


def _is_reason(value: Any) -> bool:
    return value is None or _is_text(value)


def _is_number(value: Any) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and -MAX_NUMBER < value < MAX_NUMBER


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_NUMBER


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _is_past(value: Any, now_s: float) -> bool:
    return _is_number(value) and bool(value <= now_s + SLACK_S)


def _are_texts(value: Any) -> bool:
    return type(value) is tuple and _is_text("".join(value))


def _are_names(value: Any) -> bool:
    """A set of texts."""
    return type(value) in (frozenset, Hosts) and _is_text("".join(value))


def _are_many_names(value: Any) -> bool:
    return type(value) in (frozenset, Hosts) and _is_text("".join(islice(value, SAMPLE)))


def _is_list_of_hosts(value: Any) -> bool:
    """Of texts, as it is always built of one: see `hosts_of`."""
    return type(value) is Hosts


def _is_info(value: Any) -> bool:
    return value is None or (type(value) is dict and is_plain(value))


def _are_changes(value: Any) -> bool:
    return type(value) is tuple and is_plain(value)


def _is_body(value: Any) -> bool:
    return type(value) is bytes


def _is_spec(value: Any) -> bool:
    """The form of its CIDRs and addresses is checked: parsing a large spec takes seconds."""
    if value is None:
        return True
    if type(value) is not RouteSpec or type(value.routes) is not dict:
        return False
    hosts_of_routes = value.routes.values()
    return (
        len(value.routes) > 0
        and _all_match(_CIDRS, value.routes)
        and all(type(hosts) is tuple and hosts for hosts in hosts_of_routes)
        and _all_match(_HOSTS, set().union(*hosts_of_routes))
        and _are_texts(value.warnings)
    )


def _all_match(lines: re.Pattern[str], texts: Collection[str]) -> bool:
    text = "\n".join(texts) + "\n"
    return text.count("\n") == len(texts) and lines.fullmatch(text) is not None


def _by_name(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The check of a mapping from names to values, each checked by `is_valid`."""

    def check(value: Any) -> bool:
        return (
            type(value) is dict
            and _is_text("".join(value))
            and all(is_valid(each) for each in value.values())
        )

    return check


def _are_times(value: Any) -> bool:
    """By name, and possibly many: their sum is finite if all are."""
    return (
        type(value) is dict
        and _is_text("".join(value))
        and {float, int}.issuperset(map(type, value.values()))
        and math.isfinite(sum(value.values()))
    )


def _are_flaps(value: Any) -> bool:
    times_s = (*value.failed_s, value.until_s)
    is_made_of_them = type(value) is Flaps and type(value.failed_s) is tuple
    return is_made_of_them and _is_count(value.level) and all(map(_is_number, times_s))


def _is_signal_order(value: Any) -> bool:
    count, number = value
    is_made_of_them = type(value) is tuple and _is_count(count) and _is_count(number)
    return is_made_of_them and 1 <= number <= MAX_SIGNAL


FIELDS: Mapping[type[Message], Mapping[str, Callable[[Any], bool]]] = {
    Heartbeat: {"info": _is_info},
    SpecReport: {"spec": _is_spec, "refused": _are_texts},
    HostList: {"hosts": _are_texts},
    HealthReport: {
        "monitor": _is_text,
        "healthy": _are_many_names,
        "questionable": _are_names,
        "failed": _are_names,
        "failed_since_at": _are_times,
        "isolated": _is_text,
        "probes": _is_flag,
        "judged": _is_list_of_hosts,
        "doubt": _is_text,
    },
    DampingReport: {"flaps": _by_name(_are_flaps)},
    RoutingReport: {
        "sentence": _is_text,
        "cycles": _is_count,
        "trouble": _is_reason,
        "problems": _are_texts,
        "recent": _are_changes,
        "pending": _is_count,
        "expected_s": _is_number,
    },
    ViewReport: {"body": _is_body},
    Orders: {
        "number": _is_count,
        "stopped": _are_names,
        "starts": _by_name(_is_count),
        "signals": _by_name(_is_signal_order),
        "shutdown": _is_flag,
        "reloads": _is_count,
    },
    SettingsReport: {"settings": lambda _settings: True, "faults": _are_texts},
}
"""How each field is checked. Settings are checked by their reader."""
