"""An SQS queue in the embedded EC2, and the events that AWS sends to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from boto3.session import Session

from .client import CREDENTIALS, REGION, EmbeddedEc2

ACCOUNT = "123456789012"


def ec2_event(kind: str, instance: str, **detail: Any) -> dict[str, Any]:
    """An EventBridge event of EC2, of now."""
    return _event("aws.ec2", kind, {"instance-id": instance, **detail})


def state_change(instance: str, state: str) -> dict[str, Any]:
    return ec2_event("EC2 Instance State-change Notification", instance, state=state)


def alarm_change(instance: str, value: str, name: str = "StatusCheckFailed") -> dict[str, Any]:
    """A CloudWatch alarm's change of state to `value`."""
    metric = {
        "dimensions": {"InstanceId": instance},
        "name": "StatusCheckFailed",
        "namespace": "AWS/EC2",
    }
    return _event(
        "aws.cloudwatch",
        "CloudWatch Alarm State Change",
        {
            "alarmName": name,
            "state": {"value": value, "reason": "Threshold Crossed"},
            "configuration": {
                "metrics": [{"id": "m1", "metricStat": {"metric": metric}, "returnData": True}]
            },
        },
    )


def _event(source: str, kind: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
        "detail-type": kind,
        "source": source,
        "account": ACCOUNT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [],
        "detail": dict(detail),
    }


@dataclass(frozen=True)
class EventQueue:
    """A queue, and the client of who sends to it."""

    client: Any
    url: str

    @classmethod
    def create(cls, ec2: EmbeddedEc2, name: str = "vpcrouter") -> Self:
        client = Session(region_name=REGION, **CREDENTIALS).client("sqs", endpoint_url=ec2.url)
        return cls(client, client.create_queue(QueueName=name)["QueueUrl"])

    def send(self, message: Mapping[str, Any] | str) -> None:
        body = message if isinstance(message, str) else json.dumps(message)
        self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def count(self) -> int:
        """The messages not deleted yet."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(map(int, answer["Attributes"].values()))
