"""The played instance metadata: what boto3 and our own client find there, and when they don't."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest

from .client import DAEMON_KEY, EmbeddedEc2

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedEc2]:
    with EmbeddedEc2() as ec2:
        yield ec2


@pytest.fixture
def ec2(server: EmbeddedEc2, monkeypatch: pytest.MonkeyPatch) -> EmbeddedEc2:
    server.reset()
    for name, value in server.env_of_instance().items():
        monkeypatch.setenv(name, value)
    return server


def get(ec2: EmbeddedEc2, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(  # noqa: S310
        f"{ec2.url}/latest/{path}",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def ask(ec2: EmbeddedEc2, path: str) -> tuple[int, str]:
    """With a session's token."""
    status, token = get(ec2, "api/token", "PUT", **{"X_aws_ec2_metadata_token_ttl_seconds": "60"})
    assert status == 200
    return get(ec2, f"meta-data/{path}", **{"X_aws_ec2_metadata_token": token})


def test_it_answers_sessions_only(ec2: EmbeddedEc2) -> None:
    assert get(ec2, "meta-data/placement/region")[0] == 401
    assert get(ec2, "meta-data/mac", **{"X_aws_ec2_metadata_token": "guessed"})[0] == 401
    assert get(ec2, "api/token", "PUT")[0] == 400
    assert ask(ec2, "placement/region") == (200, "us-east-1")


def test_it_says_what_it_is_told(ec2: EmbeddedEc2) -> None:
    _, mac = ask(ec2, "mac")
    assert ask(ec2, f"network/interfaces/macs/{mac}/vpc-id")[0] == 404
    ec2.set_metadata(region="us-west-2", zone="us-west-2-lax-1a", vpc_id="vpc-1")
    assert ask(ec2, f"network/interfaces/macs/{mac}/vpc-id") == (200, "vpc-1")
    assert ask(ec2, "placement/region") == (200, "us-west-2")
    assert ask(ec2, "placement/availability-zone") == (200, "us-west-2-lax-1a")
    ec2.reset()
    assert ask(ec2, "placement/region") == (200, "us-east-1")


def credentials() -> Any:
    return botocore.session.get_session().get_credentials()


def test_boto3_finds_a_roles_credentials_once_there_is_a_role(ec2: EmbeddedEc2) -> None:
    assert credentials() is None
    ec2.set_metadata(access_key=DAEMON_KEY)
    found = credentials()
    assert (found.access_key, found.method) == (DAEMON_KEY, "iam-role")
    assert found.token


def test_faults_are_for_metadata_too(ec2: EmbeddedEc2) -> None:
    ec2.set_metadata(access_key=DAEMON_KEY)
    ec2.set_faults([{"action": "imds:iam/*", "kind": "error", "http_status": 503}])
    assert credentials() is None
    assert ask(ec2, "placement/region")[0] == 200
    ec2.set_faults([{"action": "imds:*", "kind": "hang"}])
    assert credentials() is None
    ec2.set_faults([])
    assert credentials() is not None
    assert "imds:api/token" in {call.action for call in ec2.calls()}
