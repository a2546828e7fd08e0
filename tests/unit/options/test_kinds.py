"""The kinds of option, and the general options."""

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpcrouter.options.general import general_options
from vpcrouter.options.kinds import (
    CIDRS,
    LOGFILE,
    PATH,
    PORT,
    SWITCH,
    TEXT,
    Kind,
    Option,
    seconds,
    share,
    whole,
)

SECONDS = seconds(0.5, 60.0)
WHOLE = whole(1, 100)
SHARE = share()
KINDS = [TEXT, PATH, LOGFILE, SWITCH, CIDRS, PORT, SECONDS, WHOLE, SHARE]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (TEXT, "vpc-1", "vpc-1"),
        (PATH, "/var/lib/x", "/var/lib/x"),
        (PATH, "x/y", str(Path.cwd() / "x/y")),
        (PATH, "~/x", str(Path.home() / "x")),
        (LOGFILE, "-", "-"),
        (LOGFILE, "/var/log/x", "/var/log/x"),
        *((SWITCH, text, True) for text in ("yes", "true", "on", "1", "YES")),
        *((SWITCH, text, False) for text in ("no", "false", "off", "0", "No")),
        (CIDRS, "", ()),
        (CIDRS, "10.0.0.0/8", ("10.0.0.0/8",)),
        (CIDRS, "10.0.0.1", ("10.0.0.1/32",)),
        (CIDRS, "10.1.2.3/8", ("10.0.0.0/8",)),
        (CIDRS, " 0.0.0.0/0 ,10.0.0.0/8,", ("0.0.0.0/0", "10.0.0.0/8")),
        (CIDRS, "10.0.0.0/8,10.0.0.1/8", ("10.0.0.0/8",)),
        (CIDRS, "fd00::/8", ("fd00::/8",)),
        (PORT, "0", 0),
        (PORT, "65535", 65535),
        (SECONDS, "0.5", 0.5),
        (SECONDS, "60", 60.0),
        (SECONDS, "1e0", 1.0),
        (WHOLE, "1", 1),
        (WHOLE, "100", 100),
        (SHARE, "0", 0.0),
        (SHARE, "0.25", 0.25),
        (SHARE, "1", 1.0),
    ],
)
def test_good(kind: Kind, text: str, value: Any) -> None:
    converted = kind.convert(text)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (TEXT, "", "must not be empty"),
        (PATH, "", "must not be empty"),
        (PATH, "~nobody-of-this-name/x", "names a home directory that does not exist"),
        (LOGFILE, "", "must not be empty"),
        (SWITCH, "", "must be yes or no"),
        (SWITCH, "maybe", "must be yes or no"),
        (CIDRS, "10.0.0.0/33", "'10.0.0.0/33' is neither an IP address nor a CIDR"),
        (CIDRS, "10.0.0.1,here", "'here' is neither an IP address nor a CIDR"),
        (PORT, "65536", "must be from 0 to 65535"),
        (PORT, "-1", "must be from 0 to 65535"),
        (PORT, "http", "must be a whole number"),
        (SECONDS, "0.49", "must be from 0.5 to 60 seconds"),
        (SECONDS, "60.1", "must be from 0.5 to 60 seconds"),
        (SECONDS, "nan", "must be from 0.5 to 60 seconds"),
        (SECONDS, "inf", "must be from 0.5 to 60 seconds"),
        (SECONDS, "5s", "must be a number of seconds"),
        (SECONDS, "", "must be a number of seconds"),
        (WHOLE, "0", "must be from 1 to 100"),
        (WHOLE, "1.5", "must be a whole number"),
        (WHOLE, "9" * 5000, "must be a whole number"),
        (SHARE, "1.01", "must be from 0 to 1"),
        (SHARE, "-0.1", "must be from 0 to 1"),
        (SHARE, "nan", "must be from 0 to 1"),
        (SHARE, "half", "must be a number from 0 to 1"),
    ],
)
def test_bad(kind: Kind, text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared as a whole
        kind.convert(text)
    assert str(caught.value) == sentence


@given(st.sampled_from(KINDS), st.text() | st.floats().map(str) | st.integers().map(str))
def test_any_text_is_is_converted_or_refused(kind: Kind, text: str) -> None:
    with contextlib.suppress(ValueError):
        kind.convert(text)


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        (Option("x", TEXT, "localhost", ""), "localhost"),
        (Option("x", TEXT, None, ""), "none"),
        (Option("x", TEXT, None, "", default_text="as boto3 finds it"), "as boto3 finds it"),
        (Option("x", SECONDS, 30.0, ""), "30 s"),
        (Option("x", SECONDS, 0.5, ""), "0.5 s"),
        (Option("x", SWITCH, False, ""), "no"),
        (Option("x", SWITCH, True, ""), "yes"),
        (Option("x", CIDRS, (), ""), "none"),
        (Option("x", CIDRS, ("10.0.0.0/8", "0.0.0.0/0"), ""), "10.0.0.0/8,0.0.0.0/0"),
        (Option("x", PORT, 33289, ""), "33289"),
    ],
)
def test_shown_default(option: Option, shown: str) -> None:
    assert option.shown_default == shown


def test_flags_are_the_name_where_none_are_given() -> None:
    assert Option("a_b", TEXT, None, "").all_flags == ("--a_b",)
    assert Option("a_b", TEXT, None, "", ("-a", "--a_b")).all_flags == ("-a", "--a_b")


def test_a_default_is_what_its_own_kind_makes() -> None:
    for option in general_options():
        if option.default is None:
            continue
        value = option.default
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        assert option.kind.convert(text) == value, option.name


class TestFolders:
    """Defaults that work under systemd, for root and for an ordinary user."""

    @staticmethod
    def defaults() -> tuple[str, str]:
        by_name = {option.name: option.default for option in general_options()}
        return by_name["state_dir"], by_name["control_socket"]

    @pytest.fixture(autouse=True)
    def _nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", "/home/me")
        monkeypatch.setenv("TMPDIR", "/tmp")  # noqa: S108
        monkeypatch.setattr(os, "geteuid", lambda: 1000)

    def test_of_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert self.defaults() == ("/var/lib/vpcrouter", "/run/vpcrouter/control.sock")

    def test_under_systemd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")
        monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/one")
        assert self.defaults() == ("/var/lib/one", "/run/one/control.sock")

    def test_of_a_user_with_a_session(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", "/home/me/state")
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
        assert self.defaults() == (
            "/home/me/state/vpcrouter",
            "/run/user/1000/vpcrouter/control.sock",
        )

    def test_of_a_user_without(self) -> None:
        state_dir, control_socket = self.defaults()
        assert state_dir == "/home/me/.local/state/vpcrouter"
        assert control_socket.endswith("/vpcrouter-1000/control.sock")
