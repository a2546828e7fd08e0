"""Which workers there are, what each is given, and which begin anew for which settings."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit import pigeons
from vpcrouter.config import settings as config
from vpcrouter.config.settings import Settings
from vpcrouter.options.general import general_options
from vpcrouter.options.groups import AccessSettings, ApiSettings, ControlSettings, RoutingSettings
from vpcrouter.supervisor.workforce import diff, settings_reader, workforce

PIGEONS = "tests.unit.pigeons"
OF_PLUGINS = {"vpc", "region", "state_dir", "hold_s", "isolation_share"}
OF_THE_SUPERVISOR = {"mode", "health", "port", "control_socket", "silence_limit"}
"""These decide which workers there are, and what they share with the supervisor."""


@pytest.fixture
def base(tmp_path: Path) -> list[str]:
    spec = tmp_path / "spec"
    spec.write_text('{"10.55.16.0/24": ["10.33.20.142"]}')
    return ["-v", "vpc-1", "-r", "us-east-1", "-H", "tcp", "-f", str(spec)]


def load(*flags: str) -> Settings:
    return config.load("vpcrouter", flags, None)


@pytest.mark.parametrize(
    ("option", "value", "renewed"),
    [
        ("isolation_share", "0.7", {"tcp", "api"}),
        ("delete_limit", "0.7", {"reconciler", "api"}),
        ("state_dir", "/nowhere", {"tcp", "reconciler", "configfile", "control", "api"}),
        ("memory_limit", "777", {"tcp", "reconciler", "configfile", "control", "api"}),
        ("tcp_check_port", "77", {"tcp", "api"}),
        ("silence_limit", "33", {"api"}),
        ("icmp_check_fall", "7", set()),  # of a monitor that is not chosen
    ],
)
def test_only_workers_that_a_change_concerns(
    option: str, value: str, renewed: set[str], base: list[str]
) -> None:
    old = load(*base)
    new = load(*base, f"--{option}", value)
    found = diff(workforce(old, 0.0).specs, workforce(new, 0.0).specs)
    assert {spec.name for spec in found.renew} == renewed
    assert not found.leave
    assert not found.join


def test_who_is_no_more_leaves_and_who_is_new_joins(base: list[str]) -> None:
    old, new = load(*base), load(*base, "-H", "always", "-m", "http")
    found = diff(workforce(old, 0.0).specs, workforce(new, 0.0).specs)
    assert found.leave == {"tcp", "configfile"}
    assert {spec.name for spec in found.join} == {"always"}
    assert {spec.name for spec in found.renew} == {"reconciler", "api"}


def test_each_worker_is_given_what_it_declares(base: list[str]) -> None:
    settings = load(*base, "-H", PIGEONS)
    specs = workforce(settings, 7.0).specs
    assert list(specs) == ["reconciler", "configfile", "pigeons", "api", "control"]
    assert isinstance(specs["reconciler"].values, RoutingSettings)
    assert isinstance(specs["control"].values, ControlSettings)
    api = specs["api"].values
    assert isinstance(api, ApiSettings)
    assert api.started_at == 7.0
    assert api.params["pigeons_feed"] == 5
    own = {option.name for option in pigeons.Pigeons.add_arguments()}
    plugin = specs["pigeons"].values
    assert isinstance(plugin, Mapping)
    assert set(plugin) == own | OF_PLUGINS
    assert settings_reader(settings).values["prog"] == "vpcrouter"


def test_every_general_option_is_somebodys(base: list[str]) -> None:
    specs = workforce(load(*base), 0.0).specs.values()
    given = set(AccessSettings.__slots__) | OF_PLUGINS | OF_THE_SUPERVISOR
    given |= {name for spec in specs for name in getattr(type(spec.values), "__slots__", ())}
    given |= {name for spec in specs for name in type(spec.process).__slots__}
    assert {option.name for option in general_options()} <= given


def test_a_group_whose_value_is_missing_is_not_made() -> None:
    with pytest.raises(KeyError, match="logfile"):
        ControlSettings.of({"state_dir": "/nowhere"})


def test_the_settings_that_a_reader_reads_are_the_same(base: list[str]) -> None:
    settings = load(*base)
    line = settings_reader(settings).values
    again = config.load(line["prog"], line["arguments"], line["default_config"])
    assert again == settings
