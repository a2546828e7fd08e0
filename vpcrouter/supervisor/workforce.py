"""Which workers a daemon has for its settings, and which of them new settings concern."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vpcrouter.config.settings import Settings
from vpcrouter.logs.redact import shown
from vpcrouter.model.messages import API, CONTROL, MONITOR, RECONCILER, SETTINGS, WATCHER
from vpcrouter.options.groups import (
    AccessSettings,
    ApiSettings,
    CommandLine,
    ControlSettings,
    ProcessSettings,
    RoutingSettings,
    SettingsGroup,
)
from vpcrouter.plugins.registry import WORKERS, PluginRef, Registry
from vpcrouter.supervisor.lifecycle import LifePolicy
from vpcrouter.supervisor.worker import WorkerSpec

FIXED = ("address", "port", "control_socket")
"""What was bound before anything was started stays as it is."""
OF_WATCHERS = ("vpc", "region", "state_dir")
OF_MONITORS = (*OF_WATCHERS, "hold_s", "isolation_share")
"""The general settings that plugins are given beside their own options."""


@dataclass(frozen=True, slots=True)
class Workforce:
    """All workers by name, in the order in which they are started, and how they are watched."""

    specs: Mapping[str, WorkerSpec]
    policy: LifePolicy


def workforce(settings: Settings, started_at: float) -> Workforce:
    """The workers of a daemon that was started at `started_at` (seconds since the epoch)."""
    ours, values = Registry.of(WORKERS), settings.values
    found = [_ours(ours.find(RECONCILER), RoutingSettings.of(values), settings)]
    monitors = {ref.name for ref in settings.monitors}
    if (ref := settings.watcher) is not None:
        name = f"{ref.name}-watcher" if ref.name in monitors else ref.name
        found.append(_plugin(name, WATCHER, ref, OF_WATCHERS, settings))
    for ref in settings.monitors:
        found.append(_plugin(ref.name, MONITOR, ref, OF_MONITORS, settings))
    found.append(_ours(ours.find(API), api_settings(values, started_at), settings))
    found.append(_ours(ours.find(CONTROL), ControlSettings.of(values), settings))
    return Workforce({spec.name: spec for spec in found}, policy_of(settings))


def settings_reader(settings: Settings) -> WorkerSpec:
    """The worker that reads the settings anew, and ends."""
    ref = Registry.of(WORKERS).find(SETTINGS)
    return _ours(ref, CommandLine(*settings.values["command_line"]), settings)


def api_settings(values: Mapping[str, Any], started_at: float) -> ApiSettings:
    """The API's settings; of secrets, it is told that they are there."""
    secret = values["secret"]
    return ApiSettings.of(
        {
            **values,
            "access": AccessSettings.of(values),
            "params": {name: shown(values[name], name in secret) for name in values["shown"]},
            "started_at": started_at,
        }
    )


def _ours(ref: PluginRef, group: SettingsGroup, settings: Settings) -> WorkerSpec:
    """A worker of which there is one; its role is its name."""
    return WorkerSpec(ref.name, ref.name, ref, ProcessSettings.of(settings.values), group)


def _plugin(
    name: str, role: str, ref: PluginRef, general: tuple[str, ...], settings: Settings
) -> WorkerSpec:
    own = (option for option, section in settings.sections.items() if section == ref.name)
    values = {option: settings.values[option] for option in (*general, *own)}
    return WorkerSpec(name, role, ref, ProcessSettings.of(settings.values), values)


def policy_of(settings: Settings) -> LifePolicy:
    return LifePolicy(silence_limit_s=settings.values["silence_limit"])


@dataclass(frozen=True, slots=True)
class WorkforceDiff:
    """Who leaves, who begins anew, who joins; whom the change does not concern is in none."""

    leave: frozenset[str]
    renew: tuple[WorkerSpec, ...]
    join: tuple[WorkerSpec, ...]


def diff(before: Mapping[str, WorkerSpec], after: Mapping[str, WorkerSpec]) -> WorkforceDiff:
    """From the workers there are to those there are to be, each by name."""
    kept = before.keys() & after.keys()
    return WorkforceDiff(
        frozenset(before.keys() - after.keys()),
        tuple(spec for name, spec in after.items() if name in kept and spec != before[name]),
        tuple(spec for name, spec in after.items() if name not in kept),
    )


def obstacles(old: Settings, new: Settings) -> tuple[str, ...]:
    """Why `new` cannot take the place of `old` in a running daemon."""
    return tuple(
        f"{name}: cannot change from {old.values[name]} to {new.values[name]} while running; "
        "restart the daemon"
        for name in FIXED
        if old.values[name] != new.values[name]
    )
