"""Which workers a daemon has for its settings, and which of them new settings concern."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vpcrouter.config.settings import Settings
from vpcrouter.model.messages import API, CONTROL, MONITOR, RECONCILER, SETTINGS, WATCHER
from vpcrouter.options.general import GENERAL
from vpcrouter.plugins.registry import WORKERS, PluginRef, Registry

FIXED = ("address", "port", "control_socket")
"""What was bound before anything was started stays as it is."""
OF_ALL = frozenset({"logfile", "verbose", "memory_limit", "state_dir"})
OF_PLUGINS = OF_ALL | {"vpc", "region"}
OF_MONITORS = OF_PLUGINS | {"hold_s", "isolation_share"}
OF_SUPERVISOR = frozenset({"silence_limit", "started_at", "check", "shown", *FIXED})
OF_API = frozenset({"api_token_file", "api_tls_cert", "api_tls_key", "api_hosts"})


@dataclass(frozen=True, slots=True)
class Place:
    """One worker: its name, role and class, and those of its settings that concern it."""

    name: str
    role: str
    ref: PluginRef
    concern: Mapping[str, Any]


def places(settings: Settings) -> dict[str, Place]:
    """All workers by name, in the order in which they are started."""
    workers = Registry.of(WORKERS)
    values = settings.values

    def some(names: frozenset[str], section: str = "") -> dict[str, Any]:
        own = {name for name, its in settings.sections.items() if its == section}
        return {name: values[name] for name in sorted(names | own) if name in values}

    general = {name for name, its in settings.sections.items() if its == GENERAL}
    routing = frozenset(general | {"monitors"}) - OF_SUPERVISOR - OF_API - OF_MONITORS | OF_PLUGINS
    found = [Place("reconciler", RECONCILER, workers.find("reconciler"), some(routing))]
    monitors = {ref.name for ref in settings.monitors}
    if (ref := settings.watcher) is not None:
        name = f"{ref.name}-watcher" if ref.name in monitors else ref.name
        found.append(Place(name, WATCHER, ref, some(OF_PLUGINS, ref.name)))
    for ref in settings.monitors:
        found.append(Place(ref.name, MONITOR, ref, some(OF_MONITORS, ref.name)))
    found += [
        Place("api", API, workers.find("api"), dict(values)),
        Place("control", CONTROL, workers.find("control"), some(OF_ALL)),
    ]
    return {place.name: place for place in found}


@dataclass(frozen=True, slots=True)
class Moves:
    """What new settings mean for the workers: who leaves, who begins anew, who joins."""

    leave: frozenset[str]
    renew: frozenset[str]
    join: tuple[Place, ...]
    all: Mapping[str, Place]


def moves(old: Settings, new: Settings) -> Moves:
    """Workers that the change does not concern are in none of the parts but `all`."""
    before, after = places(old), places(new)
    return Moves(
        frozenset(before.keys() - after.keys()),
        frozenset(name for name in before.keys() & after.keys() if before[name] != after[name]),
        tuple(place for name, place in after.items() if name not in before),
        after,
    )


def settings_reader() -> Place:
    """The worker that reads the settings anew, and ends."""
    return Place(SETTINGS, SETTINGS, Registry.of(WORKERS).find("settings"), {})


def obstacles(old: Settings, new: Settings) -> tuple[str, ...]:
    """Why `new` cannot take the place of `old` in a running daemon."""
    return tuple(
        f"{name}: cannot change from {old.values[name]} to {new.values[name]} while running; "
        "restart the daemon"
        for name in FIXED
        if old.values[name] != new.values[name]
    )


def begun_at(settings: Settings, started_at: float) -> Settings:
    """The settings of a daemon that was started at `started_at` (seconds since the epoch)."""
    return replace(settings, values={**settings.values, "started_at": started_at})
