"""A played instance metadata service, which takes IMDSv2's sessions only.

Sources: "Use the Instance Metadata Service to access instance metadata", "Instance metadata
categories" (EC2 User Guide).
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from .answers import Answer
from .calls import METADATA, Call, Environ

MAC = "0e:49:61:0f:c3:11"
TOKEN_HEADER = "HTTP_X_AWS_EC2_METADATA_TOKEN"  # noqa: S105
LIFETIME_HEADER = "HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS"
ROLE = "vpcrouter"


@dataclass(kw_only=True)
class Instance:
    """What the service says of the instance; without `access_key` it has no role (yet)."""

    region: str = "us-east-1"
    zone: str = "us-east-1a"
    vpc_id: str = ""
    access_key: str = ""
    lifetime_s: float = 6 * 3600.0


class MetadataService:
    """Answers `/latest/…`; safe to use from any thread."""

    def __init__(self) -> None:
        self.instance = Instance()
        self._token = secrets.token_urlsafe()

    def answer(self, call: Call, environ: Environ) -> Answer:
        path = call.action.removeprefix(f"{METADATA}:").rstrip("/")
        if path == "api/token":
            is_put = environ["REQUEST_METHOD"] == "PUT" and environ.get(LIFETIME_HEADER)
            return _text(200, self._token) if is_put else _text(400, "Bad Request")
        if environ.get(TOKEN_HEADER) != self._token:
            return _text(401, "Unauthorized")
        found = self._categories().get(path)
        return _text(404, "Not Found") if found is None else _text(200, found)

    def _categories(self) -> dict[str, str]:
        instance = self.instance
        found = {
            "mac": MAC,
            "placement/region": instance.region,
            "placement/availability-zone": instance.zone,
        }
        if instance.vpc_id:
            found[f"network/interfaces/macs/{MAC}/vpc-id"] = instance.vpc_id
        if instance.access_key:
            found["iam/security-credentials"] = ROLE
            found[f"iam/security-credentials/{ROLE}"] = json.dumps(_credentials(instance))
        return found


def _credentials(instance: Instance) -> dict[str, Any]:
    now = time.time()
    return {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": _utc(now),
        "AccessKeyId": instance.access_key,
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": _utc(now + instance.lifetime_s),
    }


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _text(status: int, text: str) -> Answer:
    return Answer(status, text.encode(), [("Content-Type", "text/plain")])
