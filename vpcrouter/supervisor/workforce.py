"""The workers that follow from the settings, and those that a reload affects."""

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
"""Sockets are bound before any worker starts, and cannot change while the daemon runs."""
OF_WATCHERS = ("vpc", "region", "state_dir")
OF_MONITORS = (*OF_WATCHERS, "hold_s", "isolation_share")
"""The general settings that plugins get in addition to their own options."""


@dataclass(frozen=True, slots=True)
class Workforce:
    """All workers by name, in start order, and how they are supervised."""

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
    """The worker that rereads the settings and exits."""
    ref = Registry.of(WORKERS).find(SETTINGS)
    return _ours(ref, CommandLine(*settings.values["command_line"]), settings)


def api_settings(values: Mapping[str, Any], started_at: float) -> ApiSettings:
    """The API's settings; secrets are masked."""
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
    """A built-in worker; its role is its name."""
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
    """The workers to remove, restart and add; unaffected ones are in none of these."""

    leave: frozenset[str]
    renew: tuple[WorkerSpec, ...]
    join: tuple[WorkerSpec, ...]


def diff(before: Mapping[str, WorkerSpec], after: Mapping[str, WorkerSpec]) -> WorkforceDiff:
    """What leads from the workers `before` to those `after`, each by name."""
    kept = before.keys() & after.keys()
    return WorkforceDiff(
        frozenset(before.keys() - after.keys()),
        tuple(spec for name, spec in after.items() if name in kept and spec != before[name]),
        tuple(spec for name, spec in after.items() if name not in kept),
    )


def obstacles(old: Settings, new: Settings) -> tuple[str, ...]:
    """Why `new` cannot replace `old` in a running daemon."""
    return tuple(
        f"{name}: cannot change from {old.values[name]} to {new.values[name]} while running; "
        "restart the daemon"
        for name in FIXED
        if old.values[name] != new.values[name]
    )
