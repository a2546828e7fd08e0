"""Credentials are looked up again when there are none, and after AWS has refused them."""

from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.stub import Stubber

from vpcrouter.aws.credentials import REFUSED_CODES, CredentialChain, CurrentCredentials


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where credentials are read from, and nowhere else; it does not exist yet."""
    path = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return path


def write(path: Path, key: str) -> None:
    path.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n")


@pytest.fixture
def credentials(file: Path) -> CurrentCredentials:
    return CurrentCredentials(botocore.session.get_session(), "us-east-1")


def refused(credentials: CurrentCredentials, code: str) -> None:
    credentials.answered(parsed={"Error": {"Code": code}}, model="botocore's")


def test_what_is_not_there_yet_is_found_later(credentials: CurrentCredentials, file: Path) -> None:
    with pytest.raises(NoCredentialsError):
        credentials.get_frozen_credentials()
    write(file, "late")
    assert credentials.get_frozen_credentials().access_key == "late"


@pytest.mark.parametrize("code", sorted(REFUSED_CODES))
def test_refused_ones_are_replaced(credentials: CurrentCredentials, file: Path, code: str) -> None:
    write(file, "old")
    assert credentials.get_frozen_credentials().access_key == "old"
    write(file, "new")
    assert credentials.get_frozen_credentials().access_key == "old"
    refused(credentials, "RequestLimitExceeded")
    credentials.answered(parsed={"Routes": []})
    assert credentials.get_frozen_credentials().access_key == "old"
    refused(credentials, code)
    assert credentials.get_frozen_credentials().access_key == "new"


def test_those_refused_are_kept_while_there_are_no_others(
    credentials: CurrentCredentials, file: Path
) -> None:
    write(file, "old")
    credentials.get_frozen_credentials()
    file.unlink()
    refused(credentials, "AuthFailure")
    assert credentials.get_frozen_credentials().access_key == "old"


def test_a_session_has_them_and_tells_them_what_aws_answers(file: Path) -> None:
    write(file, "old")
    session = botocore.session.get_session()
    session.register_component("credential_provider", CredentialChain(session, "us-east-1"))
    client: Any = session.create_client("ec2", region_name="us-east-1")
    found = session.get_credentials()
    assert isinstance(found, CurrentCredentials)
    assert found.get_frozen_credentials().access_key == "old"
    write(file, "new")
    stub = Stubber(client)
    stub.add_client_error("describe_subnets", "AuthFailure")
    with stub, pytest.raises(ClientError):
        client.describe_subnets()
    assert found.get_frozen_credentials().access_key == "new"
