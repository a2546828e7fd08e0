"""Settings: gathered from flags and an INI file and checked as a whole; all faults at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vpcrouter.aws.imds import NEEDED, Metadata
from vpcrouter.config.check import check, check_logfile, convert
from vpcrouter.config.gather import Chosen, Gathering, gather, read_ini
from vpcrouter.errors import ConfigError
from vpcrouter.options.general import GENERAL, MULTI, general_options
from vpcrouter.plugins.registry import PluginRef

HOLD_INTERVALS = 10
HOLD_INTERVALS_OF_SEVERAL = 20


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked settings: every option's value by name, and the plugins they choose.

    In addition to the options, `values` has `check` (check only), `monitors` (the names of the
    chosen ones), `hold_s` (a failed host is healthy after this many seconds without a failure),
    `shown` (the options that apply to this run), `secret` (those whose values must not be shown)
    and `command_line` (for a reload).
    Without a watcher, route specs are posted to the API.
    """

    values: Mapping[str, Any]
    watcher: PluginRef | None
    monitors: tuple[PluginRef, ...]
    sections: Mapping[str, str] = field(default_factory=dict)
    """The INI section of each option."""


def load(
    prog: str, arguments: Sequence[str], default_config: str | None, *, is_reload: bool = False
) -> Settings:
    """Make settings of a command line and the INI file it names.

    A flag beats the file. Raises ConfigError with every fault; prints and exits for `--help`.
    A log file that cannot be written is a fault for `--check` and a reload; it stops no start.
    """
    gathering, chosen = gather(prog, arguments, default_config)
    gathering.checks_log = is_reload or gathering.only_checks
    values = _checked(gathering, chosen)
    _locate(values)
    values["monitors"] = tuple(monitor.name for monitor in chosen.monitors)
    values["hold_s"] = _hold_s(values, chosen)
    values["shown"] = _shown(gathering, chosen)
    values["secret"] = tuple(n for n, (_, option) in gathering.options.items() if option.is_secret)
    values["command_line"] = prog, tuple(arguments), default_config
    watcher = PluginRef.to(chosen.watcher) if chosen.watcher else None
    sections = {name: section for name, (section, _) in gathering.options.items()}
    return Settings(values, watcher, tuple(map(PluginRef.to, chosen.monitors)), sections)


def _checked(gathering: Gathering, chosen: Chosen) -> dict[str, Any]:
    """All options' values. Raises ConfigError with every fault."""
    options = [option for _, option in gathering.options.values()]
    values, refused = convert(options, gathering.raw)
    values["check"] = gathering.only_checks
    faults = [*gathering.faults, *refused.values()]
    if gathering.is_complete:
        found = check(values, chosen.plugins)
        if gathering.checks_log:
            found += check_logfile(values["logfile"])
        if not values["vpc"] and (faults or found):
            found.insert(0, f"vpc: {NEEDED.format('vpc')}")
        # An option whose text is invalid has been reported already.
        faults += [fault for fault in found if re.split(r"\W", fault, maxsplit=1)[0] not in refused]
    if faults:
        raise ConfigError(faults)
    return values


def _locate(values: dict[str, Any]) -> None:
    """Query instance metadata for the VPC if it is not set, once everything else is valid.

    The region is not queried here: only `aws` knows whether boto3 finds one. Raises ConfigError.
    """
    if not values["vpc"]:
        values["vpc"] = Metadata().vpc()


def _hold_s(values: Mapping[str, Any], chosen: Chosen) -> float:
    """A failed host has to pass checks for longer when several monitors check it."""
    intervals = HOLD_INTERVALS_OF_SEVERAL if values["health"] == MULTI else HOLD_INTERVALS
    return intervals * max(monitor.interval_s(values) for monitor in chosen.monitors)


def _shown(gathering: Gathering, chosen: Chosen) -> tuple[str, ...]:
    """The options that apply to this run: the general ones and those of the chosen plugins."""
    sections = {GENERAL, *(plugin.name for plugin in chosen.plugins)}
    if len(chosen.monitors) > 1:
        sections.add(MULTI)
    return tuple(name for name, (its, _) in gathering.options.items() if its in sections)


def one_value(name: str, flag: str | None, path: str | None) -> Any:
    """One general option's value; the other settings are not checked.

    Raises ConfigError when the INI file cannot be read or the value is wrong.
    """
    option = next(option for option in general_options() if option.name == name)
    raw: dict[str, tuple[str, str]] = {}
    faults: list[str] = []
    if flag is not None:
        raw[name] = f"--{name}", flag
    elif name in (in_file := read_ini(path, faults).get(GENERAL, {})):
        raw[name] = f"{path}: [{GENERAL}] {name}", in_file[name]
    values, refused = convert([option], raw)
    if faults or refused:
        raise ConfigError([*faults, *refused.values()])
    return values[name]
