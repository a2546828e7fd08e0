"""Groups of settings: each worker gets the settings it uses, and no others.

A worker declares its group as the type of its constructor argument. A reload compares the group:
the worker is restarted only if it has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from vpcrouter.options.values import Values


@dataclass(frozen=True, slots=True)
class SettingsGroup:
    """Base of the groups. Fields have the names of their options and can be indexed by them."""

    def __getitem__(self, name: str, /) -> Any:
        return getattr(self, name)

    @classmethod
    def of(cls, values: Values) -> Self:
        """The group's part of `values`. Raises KeyError for a missing one."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class ProcessSettings(SettingsGroup):
    """The settings of every worker process."""

    memory_limit: int
    logfile: str
    verbose: bool
    state_dir: str
    sandbox: bool


@dataclass(frozen=True, slots=True)
class RoutingSettings(SettingsGroup):
    """The settings of the reconciler."""

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
    """The settings for access to the API."""

    address: str
    api_token_file: str | None
    api_tls_cert: str | None
    api_tls_key: str | None
    api_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiSettings(SettingsGroup):
    """The settings of the API. `params` are all options in effect, with secrets masked.

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
    """The settings of the control worker, which serves supervisorctl: where logs are."""

    state_dir: str
    logfile: str


@dataclass(frozen=True, slots=True)
class CommandLine(SettingsGroup):
    """The settings of the worker that reloads the settings: how the daemon was started."""

    prog: str
    arguments: tuple[str, ...]
    default_config: str | None
