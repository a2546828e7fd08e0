"""Requests against botocore's model, and calls against policies."""

from __future__ import annotations

from typing import Any

import pytest

from .calls import DRIVER_KEY, METADATA, Call, parse
from .client import DAEMON_KEY
from .conformance import WITH_EC2STATUS, violations
from .iam import Policies
from .requests import mistakes

QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/vpcrouter-events"


def ec2_call(action: str, **params: str) -> Call:
    """Parameters with `_` for `.` in their names."""
    named = {name.replace("_", "."): value for name, value in params.items()}
    return Call(
        action=action,
        params=named,
        service="ec2",
        monotonic_s=0,
        access_key=DAEMON_KEY,
        region="us-east-1",
    )


def sqs_call(action: str, url: str = QUEUE, **params: Any) -> Call:
    return Call(
        action=action,
        params={"QueueUrl": url, **params},
        service="AmazonSQS",
        monotonic_s=0,
        access_key=DAEMON_KEY,
        region="us-east-1",
    )


REPLACE = ec2_call(
    "ReplaceRoute",
    RouteTableId="rtb-1",
    DestinationCidrBlock="10.0.0.0/8",
    NetworkInterfaceId="eni-1",
)
DESCRIBE = ec2_call(
    "DescribeRouteTables",
    MaxResults="100",
    Filter_1_Name="vpc-id",
    Filter_1_Value_1="vpc-1",
    Filter_1_Value_2="vpc-2",
)


# ---- requests -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        REPLACE,
        DESCRIBE,
        ec2_call("DescribeInstanceStatus", InstanceId_1="i-1", IncludeAllInstances="true"),
        sqs_call("ReceiveMessage", MaxNumberOfMessages=10, WaitTimeSeconds=20),
        sqs_call("DeleteMessageBatch", Entries=[{"Id": "0", "ReceiptHandle": "a"}]),
    ],
    ids=lambda call: call.action,
)
def test_what_the_model_knows_is_right(call: Call) -> None:
    assert mistakes(call) == []


@pytest.mark.parametrize(
    ("call", "mistake"),
    [
        (ec2_call("ReplaceRuote"), "ec2 has no such action"),
        (ec2_call("ReplaceRoute"), 'Missing required parameter in input: "RouteTableId"'),
        (ec2_call("DescribeRouteTables", MaxResult="5"), "unknown parameter MaxResult"),
        (ec2_call("DescribeRouteTables", MaxResults="five"), "Invalid type for parameter MaxRes"),
        (ec2_call("DescribeRouteTables", MaxResults_1="5"), "unknown parameter MaxResults.1"),
        (ec2_call("DescribeRouteTables", DryRun="yes"), "Invalid type for parameter DryRun"),
        (ec2_call("DescribeRouteTables", RouteTableId="rtb-1"), "is not numbered from 1"),
        (ec2_call("DescribeRouteTables", RouteTableId_2="rtb-1"), "is not numbered from 1"),
        (ec2_call("DescribeRouteTables", Filter_1_Names="a"), "unknown parameter Filter.1.Names"),
        (ec2_call("DescribeRouteTables", Filters_1_Name="a"), "unknown parameter Filters"),
        (sqs_call("ReceiveMessage", WaitTime=20), "Unknown parameter in input"),
        (sqs_call("ReceiveMessage", WaitTimeSeconds="20"), "Invalid type for parameter WaitTime"),
        (sqs_call("ReadMessage"), "sqs has no such action"),
        (Call(action="A", params={}, service="2015-1-1", monotonic_s=0), "service or version"),
    ],
)
def test_what_it_does_not_know_is_told(call: Call, mistake: str) -> None:
    assert [each for each in mistakes(call) if mistake in each], mistakes(call)


# ---- policies -----------------------------------------------------------------------------


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "ec2:*", "Resource": "*", **elements}


def policies(*statements: dict[str, Any]) -> Policies:
    return Policies.of({"Version": "2012-10-17", "Statement": list(statements)})


TABLE = "arn:aws:ec2:us-east-1:123456789012:route-table/rtb-1"


@pytest.mark.parametrize(
    ("statements", "is_allowed"),
    [
        ([], False),
        ([statement()], True),
        ([statement("Deny")], False),
        ([statement(), statement("Deny", Action="ec2:Replace*")], False),
        ([statement(), statement("Deny", Action="ec2:Create*")], True),
        ([statement(Action=["ec2:CreateRoute", "EC2:replaceroute"])], True),
        ([statement(Action="ec2:ReplaceRout?")], True),
        ([statement(Action="ec2:ReplaceRoute?")], False),
        ([statement(Action="sqs:*")], False),
        ([statement(Resource="arn:aws:ec2:*:*:route-table/*")], True),
        ([statement(Resource=["arn:aws:ec2:eu-*:*:route-table/*"])], False),
        ([statement(Resource="arn:aws:ec2:*:*:ROUTE-TABLE/*")], False),
        ([statement(Resource="arn:aws:ec2:*:*:route-table/rtb-[1]")], False),
    ],
)
def test_a_statement_allows_or_denies(statements: list[dict[str, Any]], is_allowed: bool) -> None:
    assert policies(*statements).allow("ec2:ReplaceRoute", TABLE) is is_allowed


@pytest.mark.parametrize(
    "broken", [statement(Condition={}), statement("Perhaps"), statement(NotAction="ec2:*")]
)
def test_what_is_not_understood_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not understood|Effect"):
        policies(broken)


def test_a_call_needs_its_action_on_its_resource() -> None:
    on_tables = policies(statement(Resource="arn:aws:ec2:us-east-1:*:route-table/rtb-1"))
    assert list(on_tables.refusals(REPLACE)) == []
    [refusal] = on_tables.refusals(DESCRIBE)
    assert refusal == "DescribeRouteTables: no policy allows ec2:DescribeRouteTables on *"
    [refusal] = on_tables.refusals(ec2_call("CreateRoute", RouteTableId="rtb-2"))
    assert refusal.endswith("route-table/rtb-2")
    [refusal] = policies(statement()).refusals(ec2_call("RunInstances"))
    assert "does not know its resource" in refusal


# ---- the policies that are delivered ------------------------------------------------------


def test_a_queue_is_read_with_the_second_policy_and_by_its_name() -> None:
    delete = sqs_call("DeleteMessageBatch", Entries=[])
    assert violations([delete], WITH_EC2STATUS) == []
    assert violations([delete]) == [
        "DeleteMessageBatch: no policy allows sqs:DeleteMessage on "
        "arn:aws:sqs:us-east-1:123456789012:vpcrouter-events"
    ]
    other = sqs_call("ReceiveMessage", QUEUE.replace("vpcrouter", "orders"))
    assert "orders-events" in violations([other], WITH_EC2STATUS)[0]
    assert violations([sqs_call("PurgeQueue")], WITH_EC2STATUS)


@pytest.mark.parametrize("key", [DRIVER_KEY, DAEMON_KEY, ""])
def test_whoever_is_not_the_driver_is_tested(key: str) -> None:
    call = ec2_call("StopInstances", InstanceId_1="i-1")
    call.access_key = key
    assert len(violations([call, call])) == (0 if key == DRIVER_KEY else 1)


def test_a_request_for_metadata_is_no_call_to_aws() -> None:
    call = parse({"PATH_INFO": "/latest/meta-data/mac"}, b"")
    assert call is not None
    assert (call.action, call.service) == ("imds:mac", METADATA)
    assert violations([call]) == []
