"""What EC2 reports about instances, and the states of the hosts on them. Pure.

Sources: DescribeInstanceStatus and "Instance lifecycle", docs.aws.amazon.com/AWSEC2/latest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vpcrouter.model.host_state import CheckResult, State

RUNNING = "running"
ENDING = frozenset({"stopping", "stopped", "shutting-down", "terminated"})
"""The states of an instance that forwards nothing, or is about to stop forwarding."""
OK = "ok"
IMPAIRED = "impaired"
OVER = ("[completed]", "[canceled]", "[cancelled]")
"""Prefixes of the description of a scheduled event that is over but that EC2 still lists."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance. The checks are `ok`, `impaired`, or another value that means unknown.

    `events` are the descriptions of its scheduled events.
    """

    state: str
    system_check: str = ""
    instance_check: str = ""
    ebs_check: str = ""
    events: tuple[str, ...] = ()

    @property
    def has_event_ahead(self) -> bool:
        return any(not text.strip().lower().startswith(OVER) for text in self.events)


@dataclass(frozen=True, slots=True)
class Reading:
    """What EC2 answered to requests that began at `begun_s` (monotonic seconds).

    `instance_of` has each host's instance; for a host in `adrift`, whose address is not on any
    instance now, the one it was on before. `owner_of` is the account of each instance. An
    instance that EC2 does not know is not in `instances`.
    """

    begun_s: float = 0.0
    instance_of: Mapping[str, str] = field(default_factory=dict)
    owner_of: Mapping[str, str] = field(default_factory=dict)
    instances: Mapping[str, Instance] = field(default_factory=dict)
    adrift: frozenset[str] = frozenset()

    @property
    def known(self) -> frozenset[str]:
        """The instances that hosts are, or were, on."""
        return frozenset(self.instance_of.values())

    def without_instances(self) -> "Reading":
        """What remains valid once EC2 can no longer be read: which host is on which instance."""
        return Reading(self.begun_s, self.instance_of, self.owner_of, {}, self.adrift)


def judge(hosts: Iterable[str], reading: Reading, words: Mapping[str, State]) -> CheckResult:
    """Judge the hosts by the reading and by what events say about their instances (`words`)."""
    states: dict[str, State] = {}
    for host in hosts:
        name = reading.instance_of.get(host, "")
        state = judge_instance(reading.instances.get(name), words.get(name))
        is_lost = host in reading.adrift and state is not State.FAILED
        states[host] = State.UNKNOWN if is_lost else state
    return CheckResult.of(states)


def judge_instance(instance: Instance | None, word: State | None) -> State:
    """The state of a host on this instance.

    Failed: an event says so, it does not run, or a system or instance status check is impaired.
    Questionable: it runs, but a scheduled event lies ahead, an event warns, or it has lost a
    volume (attached EBS status check). Healthy: both checks are ok. Anything else is
    unknown: `pending`, a check that is `initializing`, `insufficient-data` or `not-applicable`, and
    any value that EC2 may add.
    """
    status = State.UNKNOWN if instance is None else _of_status(instance)
    if State.FAILED in (status, word):
        return State.FAILED
    runs = instance is None or instance.state == RUNNING
    return State.QUESTIONABLE if word is State.QUESTIONABLE and runs else status


def _of_status(instance: Instance) -> State:
    checks = (instance.system_check, instance.instance_check)
    if instance.state != RUNNING:
        return State.FAILED if instance.state in ENDING else State.UNKNOWN
    if IMPAIRED in checks:
        return State.FAILED
    if instance.has_event_ahead or instance.ebs_check == IMPAIRED:
        return State.QUESTIONABLE
    return State.HEALTHY if checks == (OK, OK) else State.UNKNOWN
