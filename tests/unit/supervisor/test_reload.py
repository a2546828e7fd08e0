"""When the settings are read anew, and what comes of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from vpcrouter.config import settings as config
from vpcrouter.config.settings import Settings
from vpcrouter.model.messages import SETTINGS, SettingsReport
from vpcrouter.supervisor.reload import UNREAD, Reload


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    spec = tmp_path / "spec"
    spec.write_text('{"10.55.16.0/24": ["10.33.20.142"]}')
    flags = ["-v", "vpc-1", "-r", "us-east-1", "-H", "tcp", "-f", str(spec)]
    return config.load("vpcrouter", flags, None)


@pytest.fixture
def reload(settings: Settings) -> Reload:
    return Reload(settings, 0.0)


def but(settings: Settings, **changed: object) -> SettingsReport:
    return SettingsReport(replace(settings, values={**settings.values, **changed}))


def test_nothing_is_read_unasked(reload: Reload) -> None:
    assert reload.begin() is None


def test_one_is_under_way_at_a_time_and_all_asked_for_meanwhile_are_one_more(
    reload: Reload,
) -> None:
    reload.ask()
    reader = reload.begin()
    assert reader is not None
    assert reader.role == SETTINGS
    reload.ask()
    reload.ask()
    assert reload.begin() is None
    reload.end()
    assert reload.begin() is not None
    reload.end()
    assert reload.begin() is None
    assert reload.ended == 2


def test_good_settings_are_those_in_force(reload: Reload, settings: Settings) -> None:
    reload.ask()
    reload.begin()
    workforce = reload.take(but(settings, delete_limit=0.7))
    assert workforce is not None
    assert workforce.specs["reconciler"].values["delete_limit"] == 0.7
    assert reload.end() == ()


def test_why_settings_are_refused_is_known_from_the_end_to_the_next_end(
    reload: Reload, settings: Settings
) -> None:
    for report, faults in (
        (
            SettingsReport(None, ("port: must be a whole number",)),
            ("port: must be a whole number",),
        ),
        (None, UNREAD),
        (
            but(settings, port=77),
            ("port: cannot change from 33289 to 77 while running; restart the daemon",),
        ),
    ):
        reload.ask()
        reload.begin()
        before = reload.faults
        assert report is None or reload.take(report) is None
        assert reload.faults == before
        assert reload.end() == faults
        assert reload.faults == faults


def test_settings_that_systemds_watchdog_would_not_bear_are_refused(
    reload: Reload, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    reload.ask()
    reload.begin()
    assert reload.take(but(settings, silence_limit=90.0)) is None
    (fault,) = reload.end()
    assert fault.startswith("silence_limit: at 90 s ")
