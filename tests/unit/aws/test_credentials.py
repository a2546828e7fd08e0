"""Credentials are looked up again when there are none, and after AWS has refused them."""

import threading
import time
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.stub import Stubber

from tests.waiting import wait_until
from vpcrouter.aws import credentials as finding
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


class SlowChain:
    """Finds the same ones each time; after the first time it takes as long as it is held."""

    def __init__(self) -> None:
        self.looks = 0
        self.go_on = threading.Event()

    def load_credentials(self) -> Credentials:
        self.looks += 1
        if self.looks > 1:
            assert self.go_on.wait(30)
        return Credentials("same", "s")


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> SlowChain:
    slow = SlowChain()
    monkeypatch.setattr(finding, "create_credential_resolver", lambda *_, **__: slow)
    return slow


def test_what_is_refused_whatever_the_credentials_does_not_slow_down_the_rest(
    credentials: CurrentCredentials, chain: SlowChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service of the chain hangs, and one request is refused again and again."""
    monkeypatch.setattr(finding, "PATIENCE_S", 0.01)
    credentials.get_frozen_credentials()
    refused(credentials, "AuthFailure")
    looker = threading.Thread(target=credentials.get_frozen_credentials)
    looker.start()
    wait_until(lambda: chain.looks == 2, 10, "a look-up")
    began_s = time.monotonic()
    assert credentials.get_frozen_credentials().access_key == "same"
    assert time.monotonic() - began_s < 5, "it did not wait for the look-up"
    chain.go_on.set()
    looker.join(30)
    for _ in range(3):
        refused(credentials, "AuthFailure")
        credentials.get_frozen_credentials()
    assert chain.looks == 2
    monkeypatch.setattr(time, "monotonic", lambda: began_s + 1000)
    credentials.get_frozen_credentials()
    assert chain.looks == 3


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
