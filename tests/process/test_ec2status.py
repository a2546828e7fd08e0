"""The monitor `ec2status` through the real daemon, against the embedded EC2 and its queues."""

import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.conformance import WITH_EC2STATUS, conforming
from tests.aws.network import Network
from tests.aws.queues import EventQueue, alarm_change, ec2_event, state_change
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import Daemon
from tests.process.routes import target, wait_target
from tests.waiting import wait_until

SOON_S = 4.0
LONG = "60"
"""An interval no test waits for: what is noticed sooner came by the queue."""

Start = Callable[..., Daemon]
WARNING = "EC2 Spot Instance Interruption Warning"
RECOMMENDATION = "EC2 Instance Rebalance Recommendation"
RETIREMENT = {"Code": "instance-retirement", "Description": "The instance is on bad hardware"}


@pytest.fixture
def queue(ec2: EmbeddedEc2) -> EventQueue:
    return EventQueue.create(ec2)


@pytest.fixture
def policies() -> Sequence[str]:
    return WITH_EC2STATUS


@pytest.fixture
def start(start_daemon: StartDaemon) -> Start:
    def start_asking(interval: str = "1", *flags: str) -> Daemon:
        daemon = start_daemon("--health", "ec2status", "--ec2status_interval", interval, *flags)
        daemon.wait_healthy()
        return daemon

    return start_asking


@pytest.fixture
def listening(start: Start, queue: EventQueue, ec2: EmbeddedEc2) -> Daemon:
    """A daemon that learns of nothing soon but by the queue."""
    daemon = start(LONG, "--sqs_queue", queue.url)
    wait_until(
        lambda: any(call.action == "ReceiveMessage" for call in ec2.in_flight()), 15, daemon.log
    )
    return daemon


def states(daemon: Daemon) -> dict[str, list[str]]:
    ips = daemon.json("/ips")
    return {name: ips[f"{name}_ips"] for name in ("failed", "questionable", "unknown")}


def wait_states(daemon: Daemon, timeout_s: float = 15.0, **expected: list[str]) -> None:
    wanted = {"failed": [], "questionable": [], "unknown": [], **expected}
    wait_until(lambda: states(daemon) == wanted, timeout_s, daemon.log)


def others(host: str) -> set[str]:
    return set(HOSTS) - {host}


# ---- what EC2 tells when asked


def test_a_stopped_instances_host_fails_and_recovers_after_the_hold(
    net: Network, start: Start
) -> None:
    daemon = start()
    first = wait_target(net, set(HOSTS))
    net.stop(first)
    second = wait_target(net, others(first))
    assert states(daemon)["failed"] == [first]
    net.start(first)
    wait_states(daemon, 30)
    assert target(net) == second


def test_who_sends_what_the_role_may_not_do_fails_the_test(
    ec2: EmbeddedEc2, net: Network, start: Start
) -> None:
    with conforming(ec2, WITH_EC2STATUS):
        start()
    said = "no policy allows ec2:DescribeInstanceStatus on"
    with pytest.raises(AssertionError, match=said), conforming(ec2):
        pass


def test_an_impaired_instances_host_fails(ec2: EmbeddedEc2, net: Network, start: Start) -> None:
    daemon = start()
    first = wait_target(net, set(HOSTS))
    ec2.set_status(net.instance_of[first], system="impaired")
    second = wait_target(net, others(first))
    assert states(daemon)["failed"] == [first]
    ec2.set_status(net.instance_of[second], instance="impaired")
    wait_target(net, others(first) - {second})
    assert states(daemon)["failed"] == sorted((first, second))


def test_a_scheduled_event_makes_a_host_questionable_and_checks_that_know_nothing_unknown(
    ec2: EmbeddedEc2, net: Network, start: Start
) -> None:
    daemon = start()
    first = wait_target(net, set(HOSTS))
    ec2.set_status(net.instance_of[first], events=[RETIREMENT])
    second = wait_target(net, others(first))
    wait_states(daemon, questionable=[first])
    over = {**RETIREMENT, "Description": "[Completed] The instance is on bad hardware"}
    ec2.set_status(net.instance_of[first], events=[over])
    wait_states(daemon)
    ec2.set_status(net.instance_of[second], system="insufficient-data")
    wait_states(daemon, unknown=[second])
    assert target(net) == second


def test_a_terminated_instances_host_fails_though_its_address_is_gone(
    net: Network, start: Start
) -> None:
    daemon = start()
    first = wait_target(net, set(HOSTS))
    net.terminate(first)
    wait_target(net, others(first))
    wait_states(daemon, failed=[first])


def test_a_host_by_a_secondary_address_and_one_on_no_instance(
    net: Network, start: Start, spec_file: Any
) -> None:
    net.assign_secondary(HOSTS[0], "127.0.1.77")
    spec_file.write_text('{"10.55.0.0/16": ["127.0.1.77", "127.0.2.10", "127.0.3.99"]}')
    daemon = start()
    wait_states(daemon, unknown=["127.0.3.99"])
    net.stop(HOSTS[0])
    wait_states(daemon, failed=["127.0.1.77"], unknown=["127.0.3.99"])


def test_many_hosts_are_asked_for_in_pages_and_batches(
    ec2: EmbeddedEc2, net: Network, start: Start, spec_file: Any
) -> None:
    hosts = [f"127.0.1.{n}" for n in range(20, 130)]
    for host in hosts:
        net.add_host(host)
    ec2.settings(page_size=50)
    spec_file.write_text(f'{{"10.55.0.0/16": {hosts!r}}}'.replace("'", '"'))
    daemon = start("2")
    wait_states(daemon)
    asked = [call for call in ec2.calls() if call.action == "DescribeInstanceStatus"]
    numbers = {sum(key.startswith("InstanceId.") for key in call.params) for call in asked}
    assert numbers == {100, 10}
    net.stop(hosts[-1])
    wait_states(daemon, failed=[hosts[-1]])


def test_an_ec2_that_does_not_tell_harms_nothing(
    ec2: EmbeddedEc2, net: Network, start: Start
) -> None:
    daemon = start("1", "--route_recheck_interval", "60")
    first = wait_target(net, set(HOSTS))
    net.stop(first)
    second = wait_target(net, others(first))
    actions = "DescribeInstanceStatus", "DescribeNetworkInterfaces"
    kinds = "error", "garbage", "drop"
    for count, (action, kind) in enumerate(itertools.product(actions, kinds), start=1):
        ec2.set_faults([{"action": action, "kind": kind, "http_status": 500}])
        wait_states(daemon, failed=[first], unknown=sorted(others(first)))
        assert target(net) == second
        since = ec2.calls()[-1].seq
        wait_until(partial(was_asked, ec2, since, action), 30, daemon.log)
        assert daemon.log().count("EC2 instance status unavailable") == count
        ec2.set_faults([])
        daemon.wait_log("EC2 instance status available again", count=count)
        wait_states(daemon, failed=[first])
        assert target(net) == second


def was_asked(ec2: EmbeddedEc2, since: int, action: str) -> bool:
    return len(asked_since(ec2, since, action)) >= 4


def asked_since(ec2: EmbeddedEc2, since: int, action: str) -> list[Any]:
    return [call for call in ec2.calls(since) if call.action == action]


def test_an_instance_that_ec2_no_longer_knows_spoils_nothing(
    ec2: EmbeddedEc2, net: Network, start: Start
) -> None:
    daemon = start()
    first = wait_target(net, set(HOSTS))
    gone = next(iter(others(first)))
    fault = {
        "action": "DescribeInstanceStatus",
        "kind": "error",
        "code": "InvalidInstanceID.NotFound",
        "message": f"The instance ID '{net.instance_of[gone]}' does not exist",
        "times": 1,
    }
    ec2.set_faults([fault])
    daemon.wait_healthy()
    net.stop(first)
    wait_target(net, set(HOSTS) - {first})
    assert "EC2 instance status unavailable" not in daemon.log()


# ---- what the queue tells at once


def test_a_change_of_state_fails_a_host_well_before_the_next_poll(
    net: Network, queue: EventQueue, listening: Daemon
) -> None:
    failed: set[str] = set()
    for state in ("stopping", "shutting-down"):
        host = wait_target(net, set(HOSTS) - failed)
        failed.add(host)
        net.stop(host)
        queue.send(state_change(net.instance_of[host], state))
        wait_until(lambda: target(net) in set(HOSTS) - failed, SOON_S, listening.log)
        assert states(listening)["failed"] == sorted(failed)
        wait_until(lambda: queue.count() == 0, 5, listening.log)


def test_a_start_is_looked_at_afresh(
    ec2: EmbeddedEc2, net: Network, queue: EventQueue, listening: Daemon
) -> None:
    first = wait_target(net, set(HOSTS))
    ec2.set_status(net.instance_of[first], system="initializing")
    since = ec2.calls()[-1].seq
    queue.send(state_change(net.instance_of[first], "running"))
    wait_states(listening, SOON_S, unknown=[first])
    assert asked_since(ec2, since, "DescribeInstanceStatus")


def test_warnings_make_hosts_questionable_and_an_alarm_fails_one_at_once(
    net: Network, queue: EventQueue, listening: Daemon
) -> None:
    warned: set[str] = set()
    for kind, detail in ((WARNING, "terminate"), (RECOMMENDATION, "")):
        host = wait_target(net, set(HOSTS) - warned)
        warned.add(host)
        queue.send(ec2_event(kind, net.instance_of[host], **{"instance-action": detail}))
        wait_until(lambda: target(net) in set(HOSTS) - warned, SOON_S, listening.log)
        wait_states(listening, questionable=sorted(warned))
    last = wait_target(net, set(HOSTS) - warned)
    queue.send(alarm_change(net.instance_of[last], "ALARM"))
    wait_until(lambda: target(net) in warned, SOON_S, listening.log)
    wait_states(listening, questionable=sorted(warned), failed=[last])


def test_rubbish_and_others_events_are_deleted_and_harm_nothing(
    net: Network, queue: EventQueue, listening: Daemon
) -> None:
    first = wait_target(net, set(HOSTS))
    mine = net.instance_of[first]
    foreign = {**state_change(mine, "stopped"), "account": "999999999999"}
    for message in ("rubbish", "[]", "[" * 5000, '{"detail-type": 1}', foreign):
        queue.send(message)
    queue.send(state_change("i-0123456789abcdef0", "stopped"))
    wait_until(lambda: queue.count() == 0, 15, listening.log)
    listening.wait_log("message ignored", count=4)
    assert states(listening) == {"failed": [], "questionable": [], "unknown": []}
    queue.send(state_change(mine, "stopped"))
    wait_until(lambda: target(net) in others(first), SOON_S, listening.log)


def test_a_queue_that_cannot_be_read_is_told_once_and_taken_up_again(
    ec2: EmbeddedEc2, net: Network, queue: EventQueue, listening: Daemon
) -> None:
    first = wait_target(net, set(HOSTS))
    denied = {"action": "ReceiveMessage", "kind": "error", "code": "AccessDenied"}
    ec2.set_faults([denied])
    queue.send(alarm_change("i-0123456789abcdef0", "OK"))  # ends the long poll
    since = ec2.calls()[-1].seq
    wait_until(lambda: len(asked_since(ec2, since, "ReceiveMessage")) >= 4, 15, listening.log)
    assert listening.log().count("SQS queue cannot be read") == 1
    assert states(listening) == {"failed": [], "questionable": [], "unknown": []}
    ec2.set_faults([])
    queue.send(ec2_event(WARNING, net.instance_of[first], **{"instance-action": "stop"}))
    wait_until(lambda: target(net) in others(first), 20, listening.log)
    assert listening.log().count("SQS queue can be read again") == 1


def test_events_count_while_ec2_does_not_tell(
    ec2: EmbeddedEc2, net: Network, queue: EventQueue, start: Start
) -> None:
    daemon = start("1", "--sqs_queue", queue.url)
    first = wait_target(net, set(HOSTS))
    ec2.set_faults([{"action": "DescribeInstanceStatus", "kind": "drop"}])
    wait_states(daemon, unknown=list(HOSTS))
    queue.send(state_change(net.instance_of[first], "stopped"))
    wait_states(daemon, failed=[first], unknown=sorted(others(first)))


def test_a_stop_ends_a_long_poll_at_once(listening: Daemon) -> None:
    began_s = time.monotonic()
    assert listening.end() == 0
    assert time.monotonic() - began_s < 8
