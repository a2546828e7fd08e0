"""Whether IAM policies allow a call: as much of their evaluation as our policies need.

Sources: "Policy evaluation logic", "IAM JSON policy elements reference" (IAM User Guide);
"Actions, resources, and condition keys" for Amazon EC2 and SQS (Service Authorization Reference).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from .calls import READING, Call
from .error_codes import ACCOUNT

ELEMENTS = frozenset({"Sid", "Effect", "Action", "Resource"})
"""Those understood; a statement with another one, such as a Condition, is refused."""
TABLE_ACTIONS = frozenset({"CreateRoute", "DeleteRoute", "ReplaceRoute"})
"""Those whose resource is a route table."""
QUEUE_ACTIONS = {
    "ReceiveMessage": "ReceiveMessage",
    "DeleteMessage": "DeleteMessage",
    "DeleteMessageBatch": "DeleteMessage",
}
"""The permission that each action on a queue needs."""


@dataclass(frozen=True)
class Statement:
    """One statement of a policy."""

    is_allowing: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Raises ValueError for what is not understood."""
        if unknown := document.keys() - ELEMENTS:
            raise ValueError(f"not understood in a policy: {', '.join(sorted(unknown))}")
        if document["Effect"] not in ("Allow", "Deny"):
            raise ValueError(f"Effect is {document['Effect']!r}")
        return cls(
            document["Effect"] == "Allow",
            _listed(document["Action"]),
            _listed(document["Resource"]),
        )

    def concerns(self, action: str, resource: str) -> bool:
        # IAM compares actions without regard to case.
        return any(_matches(action.lower(), each.lower()) for each in self.actions) and any(
            _matches(resource, each) for each in self.resources
        )


@dataclass(frozen=True)
class Policies:
    """All policies of one role."""

    statements: tuple[Statement, ...]

    @classmethod
    def read(cls, *paths: Path) -> Self:
        documents = [json.loads(path.read_text()) for path in paths]
        return cls.of(*documents)

    @classmethod
    def of(cls, *documents: Mapping[str, Any]) -> Self:
        """Raises ValueError for what is not understood."""
        return cls(
            tuple(Statement.of(each) for document in documents for each in document["Statement"])
        )

    def allow(self, action: str, resource: str) -> bool:
        """Whether a statement allows it, and none denies it."""
        found = [each for each in self.statements if each.concerns(action, resource)]
        return bool(found) and all(each.is_allowing for each in found)

    def refusals(self, call: Call) -> Iterable[str]:
        """Why the call is not allowed; nothing if it is."""
        needed = _needed(call)
        if needed is None:
            yield f"{call.action}: tests/aws/iam.py does not know its resource"
        elif not self.allow(*needed):
            yield f"{call.action}: no policy allows {needed[0]} on {needed[1]}"


def _needed(call: Call) -> tuple[str, str] | None:
    """The permission that a call needs, and the resource that it needs it for."""
    if call.service == "ec2":
        action = f"ec2:{call.action}"
        if call.action in TABLE_ACTIONS:
            table = call.params.get("RouteTableId", "")
            return action, f"arn:aws:ec2:{call.region}:{ACCOUNT}:route-table/{table}"
        return (action, "*") if call.action.startswith(READING) else None
    if call.service == "AmazonSQS" and call.action in QUEUE_ACTIONS:
        name = urlsplit(call.params.get("QueueUrl", "")).path.rpartition("/")[2]
        arn = f"arn:aws:sqs:{call.region}:{ACCOUNT}:{name}"
        return f"sqs:{QUEUE_ACTIONS[call.action]}", arn
    return None


def _listed(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _matches(text: str, pattern: str) -> bool:
    """`*` is any text, and `?` any character."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text) is not None
