"""What is secret is not shown."""

import json
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpcrouter.api.answers import ApiState, root
from vpcrouter.logs.redact import redact, shown
from vpcrouter.options.general import general_options
from vpcrouter.options.kinds import TEXT, Option
from vpcrouter.plugins.contract import Monitor, Plugin, Watcher
from vpcrouter.plugins.registry import MONITORS, WATCHERS, Registry
from vpcrouter.supervisor.workforce import api_settings

SECRET = "hunter2"  # noqa: S105


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://user:hunter2@host/x", "https://***@host/x"),
        ("https://hunter2@host:80", "https://***@host:80"),
        ("https://us@er:hunter2@host", "https://***@host"),
        ("https://host/x@y", "https://host/x@y"),
        ("http://{host}/?token=hunter2&x=1", "http://{host}/?token=***&x=1"),
        ("a?X-Amz-Signature=hunter2", "a?X-Amz-Signature=***"),
        ("api_key=hunter2", "api_key=***"),
        ("check --password hunter2 {host}", "check --password *** {host}"),
        ("check --password=hunter2 {host}", "check --password=*** {host}"),
        ("curl -u user:hunter2 http://{host}", "curl -u user:*** http://{host}"),
        ("curl --user user:hunter2 x", "curl --user user:*** x"),
        ("Authorization: Bearer hunter2", "Authorization: Bearer ***"),
        ('{"authorization": "Basic hunter2"}', '{"authorization": "Basic ***"}'),
        ("api_token_file: /etc/x cannot be read", "api_token_file: /etc/x cannot be read"),
        ("--etcd_password_file /etc/x", "--etcd_password_file /etc/x"),
        ("plain words, 10.0.0.1 and a@b", "plain words, 10.0.0.1 and a@b"),
    ],
)
def test_redact(text: str, masked: str) -> None:
    assert redact(text) == masked
    assert redact(masked) == masked


@given(st.recursive(st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8))
def test_json_stays_json_of_the_same_shape(value: Any) -> None:
    found = json.loads(redact(json.dumps(value)))
    assert type(found) is type(value)


@given(st.sampled_from(["://", "token=", "--key ", " -u a:", 'password="']), st.text())
def test_json_with_a_secret_in_it_stays_json(lead: str, rest: str) -> None:
    json.loads(redact(json.dumps({"a": lead + rest + "@b", "c": "d@e"})))


@pytest.mark.parametrize(
    ("value", "is_secret", "seen"),
    [
        (SECRET, True, "***"),
        (None, True, None),
        ((), True, ()),
        (("a", f"http://u:{SECRET}@h"), False, ("a", "http://***@h")),
        (3, False, 3),
    ],
)
def test_shown(value: Any, is_secret: bool, seen: Any) -> None:
    assert shown(value, is_secret) == seen


SAYINGS = (
    f"https://user:{SECRET}@host:80/",
    f"http://{{host}}/?token={SECRET}",
    f"/bin/check --password {SECRET} {{host}}",
)


def plugins() -> Iterator[type[Plugin]]:
    for registry in map(Registry.of, (WATCHERS, MONITORS)):
        for name, where in registry.targets.items():
            plugin = registry.find(name).load()
            if where.startswith("workers.") and issubclass(plugin, Plugin):
                yield plugin


def values_of(options: list[Option], saying: str) -> dict[str, Any]:
    """Every option that can hold text says something secret, if it takes that at all."""
    values: dict[str, Any] = {}
    for option in options:
        values[option.name] = option.default
        if option.kind.unit in {"PATH", "PORT"} or option.kind.is_switch:
            continue
        try:
            values[option.name] = option.kind.convert(saying)
        except ValueError:
            continue
    return values


@pytest.mark.parametrize("saying", SAYINGS)
@pytest.mark.parametrize("plugin", list(plugins()), ids=lambda plugin: plugin.name)
def test_no_built_in_plugin_shows_a_secret(plugin: type[Plugin], saying: str) -> None:
    options = [*general_options(), *plugin.add_arguments()]
    values = values_of(options, saying)
    values |= {"shown": tuple(values), "secret": (), "monitors": ("x",)}
    values |= {"hold_s": 1.0, "check": False, "vpc": "vpc-1"}
    made = plugin(values)
    assert SECRET not in json.dumps(made.get_info())
    if isinstance(made, Watcher):
        assert SECRET not in json.dumps(made.store()._identity)
    assert SECRET not in json.dumps(root(ApiState(api_settings(values, 0.0)))[0])


class Pigeon(Monitor):
    """A plugin of somebody else's, with a secret."""

    name: ClassVar[str] = "pigeon"
    version: ClassVar[str] = "1"

    @classmethod
    def add_arguments(cls) -> tuple[Option, ...]:
        return (Option("pigeon_code", TEXT, None, "what opens the cage", is_secret=True),)


def test_a_secret_option_is_shown_nowhere() -> None:
    values = {"pigeon_code": SECRET, "shown": ("pigeon_code",), "secret": ("pigeon_code",)}
    assert Pigeon(values).get_info()["params"] == {"pigeon_code": "***"}
    general = {option.name: option.default for option in general_options()}
    settings = api_settings({**general, "monitors": ("pigeon",), **values}, 0.0)
    assert SECRET not in str(settings)
    shown_params = root(ApiState(settings))[0]["params"]
    assert shown_params == {"pigeon_code": "***"}


UNITS = (
    *("-", "_-", "--key", "--user", "--user ", "--user=", "--user:", " -u", " -u:", "://", "://a@"),
    *("token=", "token= ", "authorization:", "authorization: ", "api_", "a", " "),
)
"""Each pattern's beginnings, so that every place of a text of these begins an attempt."""


@pytest.mark.parametrize("unit", UNITS)
def test_twice_the_text_takes_twice_the_time(unit: str) -> None:
    half, whole = ((unit * length)[:length] for length in (50_000, 100_000))

    def cpu_s(text: str) -> float:
        began_s = time.process_time()
        redact(text)
        return time.process_time() - began_s

    pairs = [(cpu_s(half), cpu_s(whole)) for _ in range(3)]
    assert min(long for _, long in pairs) < 3 * min(short for short, _ in pairs) + 0.002


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("--x--token hunter2", "--x--token ***"),
        ("a--token hunter2", "a--token ***"),
        ("-token hunter2 --x", "-token hunter2 --x"),
        ("--user a--user:hunter2", "--user a--user:***"),
        ("--user--user b:hunter2", "--user--user b:***"),
        ("--user --user:hunter2", "--user --user:***"),
        ("--user : no name", "--user : no name"),
    ],
)
def test_words_that_begin_more_than_once(text: str, masked: str) -> None:
    assert redact(text) == masked
