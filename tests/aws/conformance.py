"""That whoever is tested sends only requests that AWS understands and its policies allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache

from .calls import METADATA, Call
from .client import ROOT, EmbeddedEc2
from .iam import Policies
from .requests import mistakes

DAEMON = ("iam-policy.json",)
WITH_EC2STATUS = (*DAEMON, "iam-policy-ec2status.json")
"""The files in `etc` for the daemon's role, and what it needs for the monitor `ec2status`."""


def violations(calls: Iterable[Call], policies: Iterable[str] = DAEMON) -> list[str]:
    """What is wrong with the calls that are not the tests' own, each thing once."""
    role = _role(tuple(policies))
    found: dict[str, None] = {}
    for call in calls:
        if call.service != METADATA and not call.is_drivers:
            found |= dict.fromkeys([*mistakes(call), *role.refusals(call)])
    return list(found)


@cache
def _role(names: tuple[str, ...]) -> Policies:
    return Policies.read(*(ROOT / "etc" / name for name in names))


def check_conformance(ec2: EmbeddedEc2, policies: Iterable[str] = DAEMON) -> None:
    """Fail if anything was wrong with the calls in the log."""
    found = violations(ec2.calls(), policies)
    assert not found, "\n".join(["requests that the daemon must not send:", *found])


@contextmanager
def conforming(ec2: EmbeddedEc2, policies: Iterable[str] = DAEMON) -> Iterator[EmbeddedEc2]:
    """Fail at the end if anything was wrong with the calls in the log."""
    yield ec2
    check_conformance(ec2, policies)
