"""The SQS queue that delivers events."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vpcrouter.aws.session import make_client, mapping_errors, open_session

LONG_POLL_S = 20
"""The longest that ReceiveMessage can wait."""
ANSWER_TIMEOUT_S = LONG_POLL_S + 5.0
BATCH = 10
"""The most that one ReceiveMessage or DeleteMessageBatch takes."""
QUEUE_URL = re.compile(r"https?://(?P<host>[^/\s]+)/[0-9]{12}/[A-Za-z0-9_.-]+")
REGION = re.compile(r"(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message; `receipt` is the handle to delete it."""

    body: str
    receipt: str


class Queue:
    """One queue. Raises ConfigError when it is made; later errors are Ec2Errors."""

    def __init__(self, region: str | None, url: str) -> None:
        self._url = url
        session = open_session(region_of(url) or region)
        self._client: Any = make_client(
            session, "sqs", attempts=1, connections=1, answer_timeout_s=ANSWER_TIMEOUT_S
        )

    def exchange(self, receipts: Sequence[str]) -> list[Letter]:
        """Delete the messages that were processed, then wait for more, `LONG_POLL_S` at most.

        A message that cannot be deleted is delivered again after its visibility timeout.
        """
        for first in range(0, len(receipts), BATCH):
            some = receipts[first : first + BATCH]
            entries = [{"Id": str(i), "ReceiptHandle": each} for i, each in enumerate(some)]
            mapping_errors(
                "DeleteMessageBatch",
                lambda entries=entries: self._client.delete_message_batch(  # type: ignore[misc]
                    QueueUrl=self._url, Entries=entries
                ),
            )
        return mapping_errors("ReceiveMessage", self._receive)

    def _receive(self) -> list[Letter]:
        answer = self._client.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=LONG_POLL_S
        )
        return [Letter(each["Body"], each["ReceiptHandle"]) for each in answer.get("Messages", ())]


def region_of(url: str) -> str | None:
    """The region in a queue's URL, in the new or old format; None if there is none."""
    found = QUEUE_URL.fullmatch(url)
    region = REGION.match(found["host"]) if found else None
    return (region[1] or region[2]) if region else None
