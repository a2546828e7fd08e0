"""Messages in the queue: what they mean, and for how long they count."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.aws.queues import ACCOUNT, alarm_change, ec2_event, state_change
from vpcrouter.aws.instance_events import LATE_S, Event, EventKind, Notes, is_of_ours, parse_event
from vpcrouter.aws.instance_health import Instance, Reading
from vpcrouter.model.host_state import State

ONE, TWO = "i-0123456789abcdef0", "i-0123456789abcdef1"
WALL_S = 1_900_000_000.0
AT = "2026-11-23T03:31:41Z"
AT_S = 1795404701.0
SNS_ALARM = {
    "AlarmName": "down",
    "AWSAccountId": ACCOUNT,
    "NewStateValue": "ALARM",
    "StateChangeTime": "2026-11-23T03:31:41.000+0000",
    "Trigger": {"Dimensions": [{"name": "InstanceId", "value": ONE}]},
}
METRIC = {"Dimensions": [{"name": "InstanceId", "value": ONE}]}
SNS_MATH = {
    **SNS_ALARM,
    "Trigger": {"Metrics": [{"Id": "e1", "Expression": "m1"}, {"MetricStat": {"Metric": METRIC}}]},
}


def at(event: dict[str, Any]) -> str:
    return json.dumps({**event, "time": AT})


def of_two(event: dict[str, Any]) -> dict[str, Any]:
    metrics = event["detail"]["configuration"]["metrics"]
    more = alarm_change(TWO, "ALARM")["detail"]["configuration"]["metrics"]
    return {**event, "detail": {**event["detail"], "configuration": {"metrics": metrics + more}}}


def deleted(event: dict[str, Any]) -> dict[str, Any]:
    kind = "CloudWatch Alarm Configuration Change"
    return {**event, "detail-type": kind, "detail": {**event["detail"], "operation": "delete"}}


WARNING = ec2_event("EC2 Spot Instance Interruption Warning", ONE, **{"instance-action": "stop"})
RECOMMENDATION = ec2_event("EC2 Instance Rebalance Recommendation", ONE)


@pytest.mark.parametrize(
    ("body", "kind", "value", "alarm"),
    [
        (at(state_change(ONE, "stopping")), EventKind.STATE, "stopping", ""),
        (at(WARNING), EventKind.INTERRUPTION, "stop", ""),
        (at(RECOMMENDATION), EventKind.REBALANCE, "recommended", ""),
        (at(alarm_change(ONE, "ALARM", "down")), EventKind.ALARM, "ALARM", "down"),
        (at(alarm_change(ONE, "INSUFFICIENT_DATA")), EventKind.ALARM, "INSUFFICIENT_DATA", None),
        (at(deleted(alarm_change(ONE, "ALARM", "down"))), EventKind.ALARM, "OK", "down"),
        (json.dumps(SNS_ALARM), EventKind.ALARM, "ALARM", "down"),
        (json.dumps(SNS_MATH), EventKind.ALARM, "ALARM", "down"),
        (
            json.dumps({"Type": "Notification", "Message": json.dumps(SNS_ALARM)}),
            EventKind.ALARM,
            "ALARM",
            "down",
        ),
    ],
)
def test_understood(body: str, kind: EventKind, value: str, alarm: str | None) -> None:
    event = parse_event(body)
    named = event.alarm if alarm is None else alarm
    assert event == Event(kind, ONE, ACCOUNT, AT_S, value, named)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "Expecting value"),
        ("hello", "Expecting value"),
        ("[]", "malformed event"),
        ("null", "malformed event"),
        ("[" * 100_000, "malformed event"),
        ("{}", "malformed event: KeyError"),
        ('{"Type": "Notification", "Message": 1}', "malformed event"),
        ('{"Type": "Notification", "Message": "x"}', "Expecting value"),
        (json.dumps({**state_change(ONE, "x"), "time": "yesterday"}), "isoformat"),
        (json.dumps({**state_change(ONE, "x"), "time": "0001-01-01"}), "malformed event|year"),
        (json.dumps({**state_change(ONE, "x"), "source": "me"}), "unsupported event type"),
        (json.dumps(state_change("i-x", "stopped")), "not an instance ID"),
        (json.dumps(state_change("i-1\n", "stopped")), "not an instance ID"),
        (json.dumps(of_two(alarm_change(ONE, "ALARM"))), "does not name exactly one instance"),
        (json.dumps({**SNS_ALARM, "Trigger": {}}), "does not name exactly one instance"),
        (json.dumps({**SNS_ALARM, "Trigger": 1}), "malformed event"),
    ],
)
def test_not_understood(body: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_event(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_understood_or_refused(body: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - by json, or by us
        parse_event(body)


@given(st.sampled_from([WARNING, alarm_change(ONE, "OK"), SNS_ALARM, SNS_MATH]), st.data())
def test_any_damage_is_understood_or_refused(event: dict[str, Any], data: st.DataObject) -> None:
    damaged = json.loads(json.dumps(event))
    place: Any = damaged
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    with contextlib.suppress(ValueError):
        assert isinstance(parse_event(json.dumps(damaged)), Event)


# Notes


def reading(begun_s: float = 100.0, **state_of: str) -> Reading:
    """Of two hosts; `one` and `two` are the states of their instances."""
    instances = {
        name: Instance(state_of[key], "ok", "ok")
        for key, name in (("one", ONE), ("two", TWO))
        if key in state_of
    }
    hosts = {"10.0.0.1": ONE, "10.0.0.2": TWO}
    return Reading(begun_s, hosts, {ONE: ACCOUNT, TWO: ACCOUNT}, instances)


def state(value: str, age_s: float = 1.0, instance: str = ONE) -> Event:
    return Event(EventKind.STATE, instance, ACCOUNT, WALL_S - age_s, value)


def alarm(value: str, age_s: float = 1.0, name: str = "down", instance: str = ONE) -> Event:
    return Event(EventKind.ALARM, instance, ACCOUNT, WALL_S - age_s, value, name)


def warning(kind: EventKind, age_s: float = 1.0) -> Event:
    return Event(kind, ONE, ACCOUNT, WALL_S - age_s, "")


def words(*events: Event) -> dict[str, State]:
    notes = Notes()
    for event in events:
        notes.take(event, 100.0, WALL_S)
    return notes.words(WALL_S)


FAILED, QUESTIONABLE = {ONE: State.FAILED}, {ONE: State.QUESTIONABLE}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), {}),
        *(((state(value),), FAILED) for value in ("stopping", "stopped", "terminated")),
        ((state("shutting-down"),), FAILED),
        ((state("pending"),), {}),
        ((state("running"),), {}),
        ((state("stopped", 9), state("running", 3)), {}),
        ((state("running", 3), state("stopped", 9)), {}),
        ((state("stopped", 3), state("running", 9)), FAILED),
        ((state("stopped", LATE_S + 1),), {}),
        ((state("stopped", LATE_S + 1), state("stopped", 2)), FAILED),
        ((alarm("ALARM"),), FAILED),
        ((alarm("ALARM", 90_000),), FAILED),
        ((alarm("ALARM", 9), alarm("OK", 3)), {}),
        ((alarm("OK", 3), alarm("ALARM", 9)), {}),
        ((alarm("ALARM", 9), alarm("INSUFFICIENT_DATA", 3)), FAILED),
        ((alarm("INSUFFICIENT_DATA"),), {}),
        ((alarm("ALARM", name="one"), alarm("OK", name="other")), FAILED),
        ((warning(EventKind.INTERRUPTION),), QUESTIONABLE),
        ((warning(EventKind.INTERRUPTION, 601),), {}),
        ((warning(EventKind.REBALANCE, 601),), QUESTIONABLE),
        ((warning(EventKind.REBALANCE, 86_401),), {}),
        ((warning(EventKind.REBALANCE), alarm("ALARM")), FAILED),
        (
            (warning(EventKind.REBALANCE), alarm("ALARM", instance=TWO)),
            {ONE: State.QUESTIONABLE, TWO: State.FAILED},
        ),
    ],
)
def test_what_events_make_of_instances(events: tuple[Event, ...], expected: Any) -> None:
    assert words(*events) == expected


def settled(*events: Event, by: Reading) -> dict[str, State]:
    notes = Notes()
    for event in events:
        notes.take(event, 100.0, WALL_S)
    notes.settle(by)
    return notes.words(WALL_S)


@pytest.mark.parametrize(
    ("event", "by", "expected"),
    [
        (state("stopped"), reading(99.9, one="running"), FAILED),
        (state("stopped"), reading(100.1, one="running"), {}),
        (state("stopped"), Reading(99.9), {}),
        (alarm("ALARM"), reading(100.1, one="running"), FAILED),
        (alarm("ALARM"), Reading(100.1), {}),
        (warning(EventKind.REBALANCE), reading(100.1, one="running"), QUESTIONABLE),
        (warning(EventKind.REBALANCE), reading(100.1), QUESTIONABLE),
        (warning(EventKind.REBALANCE), reading(100.1, one="stopped"), {}),
        (warning(EventKind.INTERRUPTION), Reading(100.1), {}),
    ],
)
def test_what_a_reading_settles(event: Event, by: Reading, expected: Any) -> None:
    assert settled(event, by=by) == expected


def test_a_message_that_comes_again_after_it_was_settled_is_old_news_where_a_newer_came() -> None:
    notes = Notes()
    for event in (state("stopped", 30), state("running", 20)):
        notes.take(event, 100.0, WALL_S)
    notes.settle(reading(100.1, one="running"))
    notes.take(state("stopped", 30), 101.0, WALL_S)
    assert notes.words(WALL_S) == {}


@pytest.mark.parametrize(
    ("instance", "account", "ours"),
    [
        (ONE, ACCOUNT, True),
        (ONE, "999999999999", False),
        (ONE, "", False),
        ("i-0123456789abcdef9", ACCOUNT, False),
    ],
)
def test_whose_events_count(instance: str, account: str, ours: bool) -> None:
    event = Event(EventKind.STATE, instance, account, WALL_S, "stopped")
    assert is_of_ours(event, reading()) is ours
