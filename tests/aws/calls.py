"""A call to AWS: what an HTTP request asks, who signed it and when, and what it names."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

DRIVER_KEY = "AKIADRIVER"
"""The access key of a test's own calls; all others are those of who is tested."""
EC2_VERSION = "2016-11-15"
METADATA = "imds"
"""The service of a request for instance metadata; its action is `imds:` and the path."""
METADATA_ROOT = "/latest/"
READING = ("Describe", "Get", "List", "Search")
SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
"""The access key, region and service that Signature Version 4 is for."""
FILTER_NAME = re.compile(r"(Filter\.\d+)\.Name")


@dataclass(kw_only=True)
class Call:
    """A call to AWS, as the log shows it once it is answered, or known never to be executed.

    `monotonic_s` is its arrival on this machine's monotonic clock, `waited_s` its wait for other
    calls in moto, `took_s` its time in moto; `status` 0: the connection was closed unanswered.
    `params` are strings for EC2, and what the JSON says for other services.
    """

    action: str
    params: dict[str, Any]
    service: str
    monotonic_s: float
    access_key: str = ""
    region: str = ""
    signed_utc: float = 0.0
    seq: int = 0
    waited_s: float = 0.0
    took_s: float = 0.0
    status: int = 0
    error_code: str | None = None

    @property
    def speaks_json(self) -> bool:
        return self.service == "AmazonSQS"

    @property
    def is_drivers(self) -> bool:
        """Whether it is a test's own; requests for metadata have no key, and are nobody's."""
        return self.access_key == DRIVER_KEY

    @property
    def mutating(self) -> bool:
        return self.service == "ec2" and not self.action.startswith(READING)

    def values(self, *names: str) -> set[str]:
        """The values of these parameters, and of the members of those that are lists."""
        found = set()
        for name, value in self.params.items():
            first, _, rest = name.partition(".")
            if first in names and (not rest or rest.isdigit()):
                found.add(str(value))
        return found

    def filtered(self, name: str) -> set[str]:
        """The values of the filter of this name."""
        keys = {
            found[1]
            for key, value in self.params.items()
            if value == name and (found := FILTER_NAME.fullmatch(key))
        }
        return {
            str(value)
            for key, value in self.params.items()
            if any(key.startswith(f"{each}.Value.") for each in keys)
        }


def parse(environ: Environ, body: bytes) -> Call | None:
    """The call in an HTTP request; None if it is none."""
    now = time.monotonic()
    signed = _signature(environ)
    path = environ.get("PATH_INFO", "")
    if path.startswith(METADATA_ROOT):
        name = path.removeprefix(METADATA_ROOT).removeprefix("meta-data/")
        return Call(action=f"{METADATA}:{name}", params={}, service=METADATA, monotonic_s=now)
    if json_target := environ.get("HTTP_X_AMZ_TARGET", ""):
        service, _, action = json_target.rpartition(".")
        return Call(
            action=action, params=_document(body), service=service, monotonic_s=now, **signed
        )
    text = body.decode("utf-8", "replace") or environ.get("QUERY_STRING", "")
    params: dict[str, Any] = dict(parse_qsl(text, keep_blank_values=True))
    action, version = params.pop("Action", ""), params.pop("Version", "")
    if not action:
        return None
    service = "ec2" if version == EC2_VERSION else version
    return Call(action=action, params=params, service=service, monotonic_s=now, **signed)


def _document(body: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        found = json.loads(body)
        return found if isinstance(found, dict) else {}
    return {}


def _signature(environ: Environ) -> dict[str, Any]:
    return dict(_signed(environ))


def _signed(environ: Environ) -> Iterator[tuple[str, Any]]:
    if scope := SCOPE.search(environ.get("HTTP_AUTHORIZATION", "")):
        yield from (("access_key", scope[1]), ("region", scope[2]))
    with suppress(ValueError):
        at = datetime.strptime(environ.get("HTTP_X_AMZ_DATE", ""), "%Y%m%dT%H%M%SZ")
        yield "signed_utc", at.replace(tzinfo=UTC).timestamp()
