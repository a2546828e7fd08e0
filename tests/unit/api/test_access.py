"""Who may ask what, by the head of a request alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpcrouter.api.access import Gate, is_loopback, refuse_open
from vpcrouter.errors import ConfigError
from vpcrouter.options.groups import AccessSettings

TOKEN = "unit-0123456789abcdef"  # noqa: S105
LOCAL = "127.0.0.1"
ALL = "0.0.0.0"  # noqa: S104


def access(address: str, token_file: Path | None = None, *hosts: str) -> AccessSettings:
    return AccessSettings(address, str(token_file) if token_file else None, None, None, hosts)


def head(host: str = "localhost", origin: str = "", authorization: str = "") -> dict[str, str]:
    return {"host": host, "origin": origin, "authorization": authorization}


def status(gate: Gate, method: str, path: str, **sent: str) -> int | None:
    refusal = gate.refusal(method, path, head(**sent))
    return refusal.status if refusal else None


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o640)
    return path


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        *((name, True) for name in ("localhost", "127.0.0.1", "127.1.2.3", "::1")),
        *((name, False) for name in (ALL, "::", "10.0.0.1", "::ffff:127.0.0.1", "no such name")),
        ("a" * 300, False),
        ("\udc80", False),
    ],
)
def test_is_loopback(address: str, is_one: bool) -> None:
    assert is_loopback(address) is is_one


def test_what_was_bound_counts_whatever_the_name_was(token_file: Path) -> None:
    refuse_open("127.0.0.1", access("localhost"))
    refuse_open("::1", access("localhost"))
    refuse_open("10.0.0.1", access("router", token_file))
    with pytest.raises(ConfigError, match=r"10\.0\.0\.1 is reachable from other machines"):
        refuse_open("10.0.0.1", access("localhost"))


@pytest.mark.parametrize(
    ("address", "bound", "host", "is_served"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.1:33289", True),
        ("10.0.0.1", "10.0.0.1", "localhost", True),
        ("10.0.0.1", "10.0.0.1", "10.0.0.2", False),
        (ALL, ALL, "10.0.0.2", True),
        (ALL, ALL, "[fd00::1]:80", True),
        (ALL, ALL, "name", False),
        ("Router.example.", "10.0.0.1", "router.example", True),
        ("::", "::", "10.0.0.1", True),
    ],
)
def test_names_that_are_served(
    address: str, bound: str, host: str, is_served: bool, token_file: Path
) -> None:
    gate = Gate(access(address, token_file), bound)
    assert status(gate, "GET", "/health", host=host) == (None if is_served else 421)


def test_without_a_token_all_is_open_on_loopback() -> None:
    gate = Gate(access("localhost"), LOCAL)
    assert status(gate, "POST", "/route_spec") is None
    assert gate.may_see_all("")
    assert not gate.is_trusted("Bearer ")
    assert not gate.is_trusted("")


def test_a_name_that_was_rebound_after_the_start_opens_nothing(token_file: Path) -> None:
    """`localhost` here stands for any name that is loopback now, and was not when it was bound."""
    gate = Gate(access("localhost", token_file), "10.0.0.1")
    assert status(gate, "GET", "/") == 401
    assert not gate.may_see_all("")


def test_elsewhere_all_methods_and_paths_are_closed(token_file: Path) -> None:
    gate = Gate(access(ALL, token_file, "name"), ALL)
    for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "X"):
        assert status(gate, method, "/", host="name") == 401
        assert status(gate, method, "/", host="name", authorization=f"bEARER {TOKEN}") is None
    assert status(gate, "GET", "/health", host="name") is None
    assert status(gate, "POST", "/health", host="name") == 401
    assert not gate.may_see_all("")


@given(st.text(max_size=30))
def test_no_other_text_is_the_token(text: str) -> None:
    gate = Gate(access("localhost"), LOCAL)
    gate._token = TOKEN.encode()
    assert not gate.is_trusted(text)
    assert not gate.is_trusted(f"Bearer {text}") or text.strip() == TOKEN


def test_a_bad_change_is_said_once_and_the_old_token_stays(token_file: Path) -> None:
    gate = Gate(access("localhost", token_file), LOCAL)
    assert not gate.renew()
    token_file.write_text("short")
    with pytest.raises(ValueError, match="5 characters"):
        gate.renew()
    assert not gate.renew()
    assert gate.is_trusted(f"Bearer {TOKEN}")
    token_file.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        gate.renew()
    token_file.write_text(TOKEN[::-1])
    token_file.chmod(0o600)
    assert gate.renew()
    assert gate.is_trusted(f"Bearer {TOKEN[::-1]}")


def test_a_token_file_that_is_missing_at_the_start_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Gate(access("localhost", tmp_path / "missing"), LOCAL)
