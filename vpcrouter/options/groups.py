"""Settings as workers are given them: each what concerns it, and no more.

A worker names its group as the type that it is made with. What a worker is given is also what a
reload compares: it is begun anew when that has changed, and only then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from vpcrouter.options.values import Values


@dataclass(frozen=True, slots=True)
class SettingsGroup:
    """Base of the groups. A field has the name of its option, and is found by it, too."""

    def __getitem__(self, name: str, /) -> Any:
        return getattr(self, name)

    @classmethod
    def of(cls, values: Values) -> Self:
        """The group's part of `values`. Raises KeyError for one that is not there."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class ProcessSettings(SettingsGroup):
    """What every worker's process is set up with, whatever runs in it."""

    memory_limit: int
    logfile: str
    verbose: bool
    state_dir: str


@dataclass(frozen=True, slots=True)
class RoutingSettings(SettingsGroup):
    """The reconciler's."""

    region: str | None
    vpc: str
    monitors: tuple[str, ...]
    ignore_routes: tuple[str, ...]
    route_recheck_interval: float
    delete_limit: float
    flap_count: int
    flap_window_s: float
    ec2_burst: int
    ec2_rate: int


@dataclass(frozen=True, slots=True)
class AccessSettings(SettingsGroup):
    """Who may ask the API."""

    address: str
    api_token_file: str | None
    api_tls_cert: str | None
    api_tls_key: str | None
    api_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiSettings(SettingsGroup):
    """The API's. `params` are all options that count, as others may see them.

    `started_at` is when the daemon was started (seconds since the epoch).
    """

    access: AccessSettings
    mode: str
    vpc: str
    state_dir: str
    monitors: tuple[str, ...]
    ignore_routes: tuple[str, ...]
    params: Mapping[str, Any]
    started_at: float


@dataclass(frozen=True, slots=True)
class ControlSettings(SettingsGroup):
    """Those of the one that serves supervisorctl: where logs are."""

    state_dir: str
    logfile: str


@dataclass(frozen=True, slots=True)
class CommandLine(SettingsGroup):
    """Those of the one that reads the settings anew: how the daemon was started."""

    prog: str
    arguments: tuple[str, ...]
    default_config: str | None
