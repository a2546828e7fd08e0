"""Which messages are valid: what our workers send is, and nothing else."""

import math
from dataclasses import fields, replace
from typing import Any

import pytest

from vpcrouter.model import messages
from vpcrouter.model.messages import (
    ALL_ROLES,
    API,
    CONTROL,
    MONITOR,
    RECONCILER,
    SETTINGS,
    WATCHER,
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
    TurnReport,
    ViewReport,
    WorkersReport,
)
from vpcrouter.model.spec import RouteSpec
from vpcrouter.model.validity import (
    FIELDS,
    MAX_DEPTH,
    MAX_FAULT,
    MAX_ITEMS,
    MAX_NUMBER,
    fault_of,
    is_plain,
)

NOW_S = 100.0
HOST, CIDR = "10.0.0.1", "10.0.0.0/8"
NAMES = frozenset({HOST})
NOBODY: frozenset[str] = frozenset()
SURROGATE = "\ud800"
SPEC = RouteSpec({CIDR: (HOST,), "10.1.0.0/16": (HOST, "255.249.199.9")}, ("a warning",))
BAD_CIDRS = (
    "x",
    7,
    "10.0.0.0",
    "10.0.0.0/33",
    "10.0.0.0/08",
    "::/0",
    f"{CIDR}\n{CIDR}",
    f"{CIDR}\n",
)
CHANGE = {"cidr": CIDR, "times": {"detected": "12:00", "seen": None}, "tries": [1, 0.5, True]}


def spec_of(routes: Any, warnings: Any = ()) -> RouteSpec:
    """With any values at all."""
    return RouteSpec(routes, warnings)


GOOD: list[tuple[str, Message]] = [
    *((role, Heartbeat()) for role in sorted(ALL_ROLES)),
    (MONITOR, Heartbeat({"name": "tcp", "params": {"port": 22, "é": [1.5, None, False, ()]}})),
    (WATCHER, SpecReport(None, ("bad JSON",))),
    (WATCHER, SpecReport(SPEC)),
    (API, SpecReport(SPEC)),
    (RECONCILER, HostList(())),
    (RECONCILER, HostList((HOST, "10.0.0.2"))),
    (MONITOR, HealthReport("m")),
    (MONITOR, HealthReport("m", NAMES, NOBODY, NOBODY, {}, "reason", False, Hosts(NAMES), "x")),
    (MONITOR, HealthReport("m", NOBODY, NAMES, NAMES, {HOST: NOW_S, "b": -5})),
    (RECONCILER, DampingReport({HOST: Flaps((1.0, 2.0), 3, NOW_S + 1000)})),
    (RECONCILER, RoutingReport("nothing to do", 0)),
    (RECONCILER, RoutingReport("2 changes", 7, "EC2: no", ("a", "b"), (CHANGE,), 3, 0.5)),
    (RECONCILER, ViewReport(b"{}")),
    (CONTROL, Orders().to_start("tcp").to_stop("api").to_signal("api", 64).to_reload()),
    (SETTINGS, SettingsReport(None, ("vpc: missing",))),
    (SETTINGS, SettingsReport(object())),
]


def fault(role: str, message: Any, **others: Any) -> str:
    envelope = replace(Envelope("m", 2, NOW_S, message), **others)
    return fault_of(envelope, "m", role, 2, NOW_S)


@pytest.mark.parametrize(("role", "message"), GOOD)
def test_what_workers_send_is_valid(role: str, message: Message) -> None:
    assert fault(role, message) == ""


@pytest.mark.parametrize(("role", "message"), GOOD)
def test_each_kind_is_for_its_roles_alone(role: str, message: Message) -> None:
    kind = type(message)
    for other in ALL_ROLES - kind.senders:
        assert f"role ({other}) may not send" in fault(other, message)


KINDS = {
    kind
    for kind in vars(messages).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
}
OF_SUPERVISOR = {WorkersReport: WorkersReport(()), TurnReport: TurnReport(1.0)}


def test_every_kind_and_every_field_is_checked() -> None:
    assert {kind for kind in KINDS if kind.senders} == set(FIELDS)
    for kind, checks in FIELDS.items():
        assert {each.name for each in fields(kind)} == set(checks), kind
    assert {type(message) for _, message in GOOD} == set(FIELDS)


def test_what_the_supervisor_sends_no_worker_may() -> None:
    assert set(OF_SUPERVISOR) == KINDS - set(FIELDS)
    for message in OF_SUPERVISOR.values():
        assert "is not a message that a worker may send" in fault(RECONCILER, message)


@pytest.mark.parametrize("message", [None, "text", 7, Message(), Envelope, {}], ids=repr)
def test_what_is_no_message(message: Any) -> None:
    assert "is not a message that a worker may send" in fault(RECONCILER, message)


@pytest.mark.parametrize(
    "others",
    [
        {"worker": "n"},
        {"worker": ()},
        {"generation": 1},
        {"sent_s": NOW_S + 2},
        {"sent_s": math.nan},
        {"sent_s": math.inf},
        {"sent_s": None},
        {"sent_s": MAX_NUMBER},
    ],
    ids=repr,
)
def test_an_envelope_of_somebody_else_or_of_the_future(others: Any) -> None:
    assert fault(MONITOR, Heartbeat(), **others)


WRONG: dict[type[Any], dict[str, list[Any]]] = {
    Heartbeat: {"info": ["text", [], {1: 2}, {"a": object()}, {SURROGATE: 1}]},
    SpecReport: {
        "spec": [
            *(7, {}, spec_of({})),
            *(spec_of(routes) for routes in ([(CIDR, (HOST,))], {CIDR: [HOST]}, {CIDR: ()})),
            *(spec_of({cidr: (HOST,)}) for cidr in BAD_CIDRS),
            *(spec_of({CIDR: (host,)}) for host in (7, "", "10.0.0.256", "::1", "x", ["a"])),
            *(spec_of({CIDR: (HOST,)}, warnings) for warnings in ("text", (1,))),
        ],
        "refused": ["text", (1,), None, (SURROGATE,)],
    },
    HostList: {"hosts": [7, "text", [HOST], (1,), ((),)]},
    HealthReport: {
        "monitor": ["n", 7, None],
        "healthy": [7, None, {HOST}, (HOST,), HOST, frozenset({1})],
        "questionable": [7, None, [HOST], frozenset({1})],
        "failed": ["abc", None, {HOST: 1.0}, frozenset({HOST, 1})],
        "failed_since_at": [
            *(7, None, [(HOST, 1.0)], {1: 1.0}),
            *(
                {HOST: at}
                for at in (None, "1", True, math.nan, math.inf, -math.inf, NOW_S + 2, 10**400)
            ),
        ],
        "isolated": [None, 7, b"x", SURROGATE],
        "probes": [None, 1, "yes"],
        "judged": [7, NAMES, (HOST,), HOST, None],
        "doubt": [None, 7],
    },
    DampingReport: {
        "flaps": [
            *(7, None, [], {HOST: 7}, {1: Flaps()}),
            *({HOST: Flaps(*of)} for of in ([[1.0]], [("x",)], [(), -1], [(), 0.5], [(), 0, "x"])),
            {HOST: Flaps((math.nan,))},
        ]
    },
    RoutingReport: {
        "sentence": [None, 7],
        "cycles": [-1, 0.5, None, True, MAX_NUMBER],
        "trouble": [7, ()],
        "problems": ["text", (1,)],
        "recent": [7, "text", [CHANGE], (object(),)],
        "pending": [None, "7"],
        "expected_s": [None, math.inf],
    },
    ViewReport: {"body": ["{}", None]},
    Orders: {
        "number": [None, -1, 1.5],
        "stopped": [7, ("a",), frozenset({1})],
        "starts": [7, {1: 1}, {"a": "b"}],
        "signals": [7, {"a": 7}, {"a": (1, 0)}, {"a": (1, 65)}, {"a": (1, 9.0)}, {"a": [1, 9]}],
        "shutdown": [1, None],
        "reloads": [None, -1],
    },
    SettingsReport: {"faults": [7, "text", (1,)]},
}
CASES = [
    (role, message, name, value)
    for role, message in {type(each): (role, each) for role, each in GOOD}.values()
    for name, values in WRONG[type(message)].items()
    for value in values
]


def test_a_wrong_value_is_tried_for_every_field() -> None:
    tried = {(kind, name) for kind, wrong in WRONG.items() for name in wrong}
    known = {(kind, name) for kind, checks in FIELDS.items() for name in checks}
    assert tried == known - {(SettingsReport, "settings")}


@pytest.mark.parametrize(("role", "message", "name", "value"), CASES)
def test_a_wrong_value(role: str, message: Any, name: str, value: Any) -> None:
    assert 0 < len(fault(role, replace(message, **{name: value}))) <= MAX_FAULT


def test_a_field_that_was_never_set() -> None:
    """Which a pickle can do, and no default helps."""
    for kind in FIELDS:
        assert fault(next(iter(kind.senders)), object.__new__(kind))


class TestPlainValues:
    """They may come from a frame that was made to do harm."""

    def test_depth(self) -> None:
        value: Any = "x"
        for _ in range(MAX_DEPTH):
            value = [value]
        assert is_plain(value)
        assert not is_plain([value])

    def test_itself(self) -> None:
        value: list[Any] = []
        value.append(value)
        assert not is_plain(value)

    def test_number_of_items(self) -> None:
        assert is_plain([0] * (MAX_ITEMS - 1))
        assert not is_plain([0] * MAX_ITEMS)

    def test_many_times_the_same(self) -> None:
        value: Any = [0] * 100
        for _ in range(MAX_DEPTH - 1):
            value = [value] * 100
        assert not is_plain(value)

    @pytest.mark.parametrize("value", [MAX_NUMBER, -MAX_NUMBER, math.nan, b"x", {1}, SURROGATE])
    def test_what_is_not_plain(self, value: Any) -> None:
        try:
            found = is_plain([value])
        except ValueError:  # as a surrogate raises
            found = False
        assert not found


def test_hosts_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="cannot be changed"):
        Hosts(NAMES).__setstate__({"text": "b"})
