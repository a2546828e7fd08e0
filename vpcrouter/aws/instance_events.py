"""Events about instances from AWS: what they mean, and how long they stay valid. Pure.

Sources: "EC2 Instance State-change Notification", "Spot Instance interruption notices" and
"rebalance recommendations" in the EC2 User Guide; "Alarm events and EventBridge" and "Notify
users on alarm changes" (SNS) in the CloudWatch User Guide.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from vpcrouter.aws.instance_health import ENDING, RUNNING, Reading
from vpcrouter.model.host_state import State

INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")
LATE_S = 60.0
"""An older change of state is not acted on: EC2 is asked for the current state instead."""
ALARM = "ALARM"
ALARM_OVER = "OK"


class EventKind(StrEnum):
    """What an event is about."""

    STATE = "state"
    INTERRUPTION = "interruption"
    REBALANCE = "rebalance"
    ALARM = "alarm"


COUNTS_FOR_S = {EventKind.INTERRUPTION: 600.0, EventKind.REBALANCE: 86_400.0}
"""An interruption follows its warning in two minutes; a recommendation is never withdrawn."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `at` is AWS's own time, in seconds since 1970; `value` the new state."""

    kind: EventKind
    instance: str
    account: str
    at: float
    value: str
    alarm: str = ""


def parse_event(body: str) -> Event:
    """The event in a queue's message, from EventBridge or an alarm's SNS topic.

    Raises ValueError, with the reason, for anything else.
    """
    try:
        found = json.loads(body)
        if found.get("Type") == "Notification":
            found = json.loads(found["Message"])
        return _from_alarm(found) if "AlarmName" in found else _from_bridge(found)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"malformed event: {type(error).__name__}: {error}") from None


def _from_bridge(found: Mapping[str, Any]) -> Event:
    at, account, detail = _time(found["time"]), str(found["account"]), found["detail"]
    match found["source"], found["detail-type"]:
        case "aws.ec2", "EC2 Instance State-change Notification":
            return Event(EventKind.STATE, _instance(detail), account, at, str(detail["state"]))
        case "aws.ec2", "EC2 Spot Instance Interruption Warning":
            action = str(detail["instance-action"])
            return Event(EventKind.INTERRUPTION, _instance(detail), account, at, action)
        case "aws.ec2", "EC2 Instance Rebalance Recommendation":
            return Event(EventKind.REBALANCE, _instance(detail), account, at, "recommended")
        case "aws.cloudwatch", "CloudWatch Alarm State Change":
            value = str(detail["state"]["value"])
        case "aws.cloudwatch", "CloudWatch Alarm Configuration Change" if (
            detail["operation"] == "delete"
        ):
            value = ALARM_OVER
        case source, kind:
            raise ValueError(f"unsupported event type: {source}: {kind}")
    metrics = detail["configuration"]["metrics"]
    stats = [metric["metricStat"]["metric"] for metric in metrics if "metricStat" in metric]
    instances = {metric.get("dimensions", {}).get("InstanceId") for metric in stats}
    return Event(EventKind.ALARM, _only(instances), account, at, value, str(detail["alarmName"]))


def _from_alarm(found: Mapping[str, Any]) -> Event:
    trigger = found["Trigger"]
    metrics = [
        each["MetricStat"]["Metric"] for each in trigger.get("Metrics", ()) if "MetricStat" in each
    ]
    instances = {
        dimension["value"]
        for metric in (trigger, *metrics)
        for dimension in metric.get("Dimensions", ())
        if dimension["name"] == "InstanceId"
    }
    return Event(
        EventKind.ALARM,
        _only(instances),
        str(found["AWSAccountId"]),
        _time(found["StateChangeTime"]),
        str(found["NewStateValue"]),
        str(found["AlarmName"]),
    )


def _instance(detail: Mapping[str, Any]) -> str:
    name = str(detail["instance-id"])
    if not INSTANCE.fullmatch(name):
        raise ValueError(f"not an instance ID: {name!r}")
    return name


def _only(instances: set[Any]) -> str:
    named = {str(name) for name in instances - {None}}
    if len(named) != 1:
        raise ValueError("the alarm does not name exactly one instance")
    return _instance({"instance-id": named.pop()})


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Notes:
    """What events have reported and no later reading has replaced. Bounded by the instances in use.

    A change of state is valid until EC2 has been read after it; a warning for a fixed time, while
    the instance runs; an alarm until it is over. `INSUFFICIENT_DATA` neither raises nor ends one.
    Messages may arrive twice and in any order; AWS's timestamps decide which is newer.
    """

    def __init__(self) -> None:
        self._state_at: dict[str, float] = {}
        self._stopped_s: dict[str, float] = {}
        self._warned_until: dict[tuple[str, EventKind], float] = {}
        self._alarms: dict[tuple[str, str], tuple[float, bool]] = {}

    def take(self, event: Event, now_s: float, wall_s: float) -> None:
        """Note an event about one of our instances; `now_s` is monotonic, `wall_s` since 1970."""
        name = event.instance
        if event.kind is EventKind.STATE:
            if event.at < self._state_at.get(name, 0.0):
                return
            self._state_at[name] = event.at
            self._stopped_s.pop(name, None)
            if event.value in ENDING and wall_s - event.at <= LATE_S:
                self._stopped_s[name] = now_s
        elif event.kind is EventKind.ALARM:
            raised_at, _ = self._alarms.get((name, event.alarm), (0.0, False))
            if event.value in (ALARM, ALARM_OVER) and event.at >= raised_at:
                self._alarms[name, event.alarm] = event.at, event.value == ALARM
        else:
            self._warned_until[name, event.kind] = event.at + COUNTS_FOR_S[event.kind]

    def settle(self, reading: Reading) -> None:
        """Forget what this reading replaces, and instances that no host is on any more."""
        known = reading.known
        runs = {
            name
            for name in known
            if name not in reading.instances or reading.instances[name].state == RUNNING
        }
        self._state_at = {n: at for n, at in self._state_at.items() if n in known}
        self._stopped_s = {
            n: at_s for n, at_s in self._stopped_s.items() if n in known and at_s >= reading.begun_s
        }
        self._warned_until = {k: at for k, at in self._warned_until.items() if k[0] in runs}
        self._alarms = {k: raised for k, raised in self._alarms.items() if k[0] in known}

    def words(self, wall_s: float) -> dict[str, State]:
        """The state that the events give each instance they name."""
        warned = [name for (name, _), until in self._warned_until.items() if wall_s < until]
        alarmed = [name for (name, _), (_, is_raised) in self._alarms.items() if is_raised]
        words = dict.fromkeys(warned, State.QUESTIONABLE)
        return words | dict.fromkeys((*alarmed, *self._stopped_s), State.FAILED)


def is_of_ours(event: Event, reading: Reading) -> bool:
    """Whether the event is about an instance that a host is, or was, on, and from its account."""
    return event.instance in reading.known and event.account == reading.owner_of.get(event.instance)
