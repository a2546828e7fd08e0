"""A service that does not answer in time may later; one that is not there will not."""

import socket
from collections.abc import Iterator

import pytest

from vpcrouter.aws import imds
from vpcrouter.aws.imds import LateError, Metadata
from vpcrouter.errors import EX_CONFIG, EX_UNAVAILABLE, ConfigError


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}"
        )
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setattr(imds, "PATIENCE_S", 0.1)
        yield


@pytest.mark.usefixtures("silent")
def test_a_region_that_is_late_is_asked_for_again_by_the_next_worker() -> None:
    with pytest.raises(LateError, match=r"region: is needed.*timed out") as caught:
        Metadata().region()
    assert caught.value.exit_status == EX_UNAVAILABLE


@pytest.mark.usefixtures("silent")
def test_a_vpc_that_is_late_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"vpc: is needed.*timed out") as caught:
        Metadata().vpc()
    assert caught.value.exit_status == EX_CONFIG


def test_where_nobody_listens_there_is_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    with pytest.raises(ConfigError, match="Connection refused") as caught:
        Metadata().region()
    assert caught.value.exit_status == EX_CONFIG
