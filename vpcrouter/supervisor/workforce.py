"""Which workers a daemon has for its settings, and which of them new settings concern."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vpcrouter.config.settings import Settings
from vpcrouter.model.messages import API, CONTROL, MONITOR, RECONCILER, SETTINGS, WATCHER
from vpcrouter.options.general import GENERAL
from vpcrouter.plugins.registry import WORKERS, Registry
from vpcrouter.supervisor.lifecycle import LifePolicy
from vpcrouter.supervisor.worker import WorkerSpec

FIXED = ("address", "port", "control_socket")
"""What was bound before anything was started stays as it is."""
OF_ALL = frozenset({"logfile", "verbose", "memory_limit", "state_dir"})
OF_PLUGINS = OF_ALL | {"vpc", "region"}
OF_MONITORS = OF_PLUGINS | {"hold_s", "isolation_share"}
OF_SUPERVISOR = frozenset({"silence_limit", "started_at", "check", "shown", *FIXED})
OF_API = frozenset({"api_token_file", "api_tls_cert", "api_tls_key", "api_hosts"})


@dataclass(frozen=True, slots=True)
class Workforce:
    """All workers by name, in the order in which they are started, and how they are watched."""

    specs: Mapping[str, WorkerSpec]
    policy: LifePolicy


def workforce(settings: Settings, started_at: float) -> Workforce:
    """The workers of a daemon that was started at `started_at` (seconds since the epoch)."""
    workers = Registry.of(WORKERS)
    values = {**settings.values, "started_at": started_at}

    def some(names: frozenset[str], section: str = "") -> dict[str, Any]:
        own = {name for name, its in settings.sections.items() if its == section}
        return {name: values[name] for name in sorted(names | own) if name in values}

    general = {name for name, its in settings.sections.items() if its == GENERAL}
    routing = frozenset(general | {"monitors"}) - OF_SUPERVISOR - OF_API - OF_MONITORS | OF_PLUGINS
    found = [WorkerSpec("reconciler", RECONCILER, workers.find("reconciler"), some(routing))]
    monitors = {ref.name for ref in settings.monitors}
    if (ref := settings.watcher) is not None:
        name = f"{ref.name}-watcher" if ref.name in monitors else ref.name
        found.append(WorkerSpec(name, WATCHER, ref, some(OF_PLUGINS, ref.name)))
    for ref in settings.monitors:
        found.append(WorkerSpec(ref.name, MONITOR, ref, some(OF_MONITORS, ref.name)))
    found += [
        WorkerSpec("api", API, workers.find("api"), values),
        WorkerSpec("control", CONTROL, workers.find("control"), some(OF_ALL)),
    ]
    return Workforce({spec.name: spec for spec in found}, policy_of(settings))


def settings_reader(settings: Settings) -> WorkerSpec:
    """The worker that reads the settings anew, and ends."""
    values = {name: settings.values[name] for name in (*OF_ALL, "command_line")}
    return WorkerSpec(SETTINGS, SETTINGS, Registry.of(WORKERS).find("settings"), values)


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
