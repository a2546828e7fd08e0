"""Instances' status that tests set, and queues whose long polls hold nobody up."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.waiting import wait_until

from .client import EmbeddedEc2
from .network import Network
from .queues import EventQueue, state_change

pytestmark = pytest.mark.timeout(60)

A = "127.0.1.10"


@pytest.fixture
def net(ec2: EmbeddedEc2) -> Network:
    return Network.build(ec2, zones=1, tables=1, hosts=[A])


def status(net: Network) -> dict[str, Any]:
    answer = net.client.describe_instance_status(
        InstanceIds=[net.instance_of[A]], IncludeAllInstances=True
    )
    [found] = answer["InstanceStatuses"]
    return dict(found)


def test_a_status_is_as_it_is_set_while_the_instance_runs(ec2: EmbeddedEc2, net: Network) -> None:
    assert status(net)["SystemStatus"]["Status"] == "ok"
    event = {"Code": "instance-retirement", "Description": "soon"}
    ec2.set_status(net.instance_of[A], system="impaired", ebs="impaired", events=[event])
    found = status(net)
    assert found["SystemStatus"]["Status"] == "impaired"
    assert found["InstanceStatus"]["Status"] == "ok"
    assert found["AttachedEbsStatus"]["Status"] == "impaired"
    assert found["Events"] == [event]
    net.stop(A)
    assert status(net)["SystemStatus"]["Status"] == "not-applicable"


def test_a_status_that_cannot_be_set(ec2: EmbeddedEc2, net: Network) -> None:
    with pytest.raises(ValueError, match="LookupError"):
        ec2.set_status("i-0123456789abcdef0", system="ok")
    with pytest.raises(ValueError, match="a status has no mood"):
        ec2.set_status(net.instance_of[A], mood="bad")


def test_no_more_than_100_ids(net: Network) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        net.client.describe_instance_status(InstanceIds=[net.instance_of[A]] * 101)


def receive(queue: EventQueue, wait_s: int) -> list[Any]:
    answer = queue.client.receive_message(QueueUrl=queue.url, WaitTimeSeconds=wait_s)
    found: list[Any] = answer.get("Messages", [])
    return found


def test_a_long_poll_ends_with_a_message_and_holds_nobody_up(
    ec2: EmbeddedEc2, net: Network
) -> None:
    queue = EventQueue.create(ec2)
    got: list[Any] = []
    poll = threading.Thread(target=lambda: got.extend(receive(queue, 15)))
    poll.start()
    wait_until(
        lambda: any(call.action == "ReceiveMessage" for call in ec2.in_flight()), 5, "polling"
    )
    began_s = time.monotonic()
    status(net)
    queue.send(state_change(net.instance_of[A], "stopped"))
    poll.join(5)
    assert time.monotonic() - began_s < 3
    assert len(got) == 1
    assert queue.count() == 1
    queue.client.delete_message(QueueUrl=queue.url, ReceiptHandle=got[0]["ReceiptHandle"])
    assert queue.count() == 0


def test_a_long_poll_without_messages_lasts_as_long_as_asked(ec2: EmbeddedEc2) -> None:
    queue = EventQueue.create(ec2)
    began_s = time.monotonic()
    assert receive(queue, 1) == []
    assert 0.9 < time.monotonic() - began_s < 4


def test_an_error_of_a_queue_is_told_its_own_way(ec2: EmbeddedEc2) -> None:
    queue = EventQueue.create(ec2)
    ec2.set_faults([{"action": "ReceiveMessage", "kind": "error", "code": "AccessDenied"}])
    with pytest.raises(ClientError, match="AccessDenied"):
        receive(queue, 1)
