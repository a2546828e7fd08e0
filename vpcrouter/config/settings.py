"""Settings: gathered from flags and an INI file, checked as a whole, reported all at once."""

import argparse
import configparser
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from vpcrouter import __version__
from vpcrouter.api.access import check_access
from vpcrouter.aws.imds import NEEDED, Metadata
from vpcrouter.errors import ConfigError, PluginError
from vpcrouter.options.general import GENERAL, MULTI, general_options, multi_options
from vpcrouter.options.kinds import Option
from vpcrouter.plugins.contract import Monitor, Plugin, Watcher
from vpcrouter.plugins.registry import MONITORS, WATCHERS, PluginRef, Registry

PROGRAM_OPTIONS = frozenset({"config", "check"})
DERIVED = frozenset({"monitors", "shown", "secret", "hold_s", "started_at", "command_line"})
TAKEN = PROGRAM_OPTIONS | DERIVED | {"help", "version", "-h"}
"""What no plugin's option or flag can be called."""
HTTP = "http"
"""The mode in which the API takes the route specs: there is no watcher."""
HOLD_INTERVALS = 10
HOLD_INTERVALS_OF_SEVERAL = 20


@dataclass(frozen=True)
class Settings:
    """Checked settings: every option's value by name, and the plugins they choose.

    Beside the options, `values` has `check` (only check, don't run), `monitors` (the names of
    those chosen), `hold_s` (so many seconds without a failure make a failed host healthy),
    `shown` (the options that count in this run), `secret` (those whose values nobody may see)
    and `command_line` (how to read them anew).
    Without a watcher, the API takes route specs.
    """

    values: Mapping[str, Any]
    watcher: PluginRef | None
    monitors: tuple[PluginRef, ...]
    sections: Mapping[str, str] = field(default_factory=dict)
    """The INI section of each option."""


@dataclass(frozen=True)
class _Chosen:
    """The plugins of this run."""

    watcher: type[Watcher] | None
    monitors: tuple[type[Monitor], ...]

    @property
    def plugins(self) -> tuple[type[Plugin], ...]:
        return (*self.monitors, *((self.watcher,) if self.watcher else ()))

    def hold_s(self, values: Mapping[str, Any]) -> float:
        """It takes longer to trust a host again when several monitors look at it."""
        intervals = HOLD_INTERVALS_OF_SEVERAL if values["health"] == MULTI else HOLD_INTERVALS
        return intervals * max(monitor.interval_s(values) for monitor in self.monitors)


@dataclass
class _Gathering:
    """Settings on their way: raw text with its source, and all faults found so far."""

    options: dict[str, tuple[str, Option]] = field(default_factory=dict)
    plugins: dict[tuple[str, str], type[Plugin]] = field(default_factory=dict)
    raw: dict[str, tuple[str, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """The options whose text is no value."""

    def declare(self, section: str, options: Iterable[Option]) -> None:
        for option in options:
            taken = {flag for _, other in self.options.values() for flag in other.all_flags}
            names = {option.name, *(flag.removeprefix("--") for flag in option.all_flags)}
            if names & (self.options.keys() | taken | TAKEN):
                self.faults.append(f"plugin {section}: option {option.name} is taken")
            else:
                self.options[option.name] = section, option

    def load(self, registry: Registry, name: str, source: str) -> type[Plugin] | None:
        """Load a plugin and declare its options, once."""
        key = registry.group, name
        if key in self.plugins:
            return self.plugins[key]
        try:
            ref = registry.find(name)
            plugin = ref.load()
        except PluginError as error:
            self.faults.append(f"{source}: {error}")
            return None
        kind = {WATCHERS: Watcher, MONITORS: Monitor}[registry.group]
        if not (issubclass(plugin, Plugin) and issubclass(plugin, kind)):
            self.faults.append(f"{source}: {ref.target} is no {kind.__name__.lower()}")
            return None
        try:
            self.declare(plugin.name, plugin.add_arguments())
        except Exception as error:  # whatever a foreign plugin does
            self.faults.append(f"{source}: {ref.target} declares no options: {error!r}")
            return None
        self.plugins[key] = plugin
        return plugin


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line as one more fault instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError([f"command line: {message}"])


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36, width=100)


def load(prog: str, arguments: Sequence[str], default_config: str | None) -> Settings:
    """Make settings of a command line and the INI file it names.

    A flag beats the file. Raises ConfigError with every fault; prints and exits for `--help`.
    """
    gathering = _Gathering()
    gathering.declare(GENERAL, general_options())
    gathering.declare(MULTI, multi_options())
    choosing = _parser(prog, gathering, default_config, with_help=False)
    first, _ = _parse(choosing, arguments, gathering)
    ini = _read_ini(first.config, gathering.faults)
    is_all_read = not gathering.faults
    chosen = _load_plugins(gathering, vars(first), ini)
    given, faults = _parse(_parser(prog, gathering, default_config), arguments, gathering)
    gathering.faults += faults
    is_all_read &= "vpc" in given
    _take_ini(gathering, first.config, ini)
    for name, text in vars(given).items():
        if text is not None and name not in PROGRAM_OPTIONS:
            gathering.raw[name] = f"--{name}", str(text)
    values = _convert(gathering)
    values["check"] = given.check
    if is_all_read:
        for fault in _check(values, chosen, not gathering.faults):
            if re.split(r"\W", fault, maxsplit=1)[0] not in gathering.refused:  # else told already
                gathering.faults.append(fault)
    if gathering.faults:
        raise ConfigError(gathering.faults)
    values["monitors"] = tuple(monitor.name for monitor in chosen.monitors)
    values["hold_s"] = chosen.hold_s(values)
    values["shown"] = _shown(gathering, chosen)
    values["secret"] = tuple(n for n, (_, option) in gathering.options.items() if option.is_secret)
    watcher = PluginRef.to(chosen.watcher) if chosen.watcher else None
    values["command_line"] = prog, tuple(arguments), default_config
    sections = {name: section for name, (section, _) in gathering.options.items()}
    return Settings(values, watcher, tuple(map(PluginRef.to, chosen.monitors)), sections)


def _check(values: dict[str, Any], chosen: _Chosen, is_good: bool) -> list[str]:
    """What is wrong with options that are each right by themselves.

    The VPC, where it is not told, is asked for last, and only if all else `is_good`.
    """
    faults = [fault for plugin in chosen.plugins for fault in _faults_of(plugin, values)]
    faults += check_access(values)
    if values["vpc"] or faults or not is_good:
        return faults if values["vpc"] else [f"vpc: {NEEDED.format('vpc')}", *faults]
    try:
        values["vpc"] = Metadata().vpc()
    except ConfigError as error:
        return list(error.faults)
    return []


def _faults_of(plugin: type[Plugin], values: Mapping[str, Any]) -> list[str]:
    try:
        return list(map(str, plugin.check_arguments(values)))
    except Exception as error:  # whatever a foreign plugin does
        return [f"plugin {plugin.name}: its settings cannot be checked: {error!r}"]


def one_value(name: str, flag: str | None, path: str | None) -> Any:
    """One general option's value, whatever else the settings say.

    Raises ConfigError when the INI file cannot be read or the value is wrong.
    """
    option = next(option for option in general_options() if option.name == name)
    gathering = _Gathering({name: (GENERAL, option)})
    if flag is not None:
        gathering.raw[name] = f"--{name}", flag
    else:
        in_file = _read_ini(path, gathering.faults).get(GENERAL, {})
        if name in in_file:
            gathering.raw[name] = f"{path}: [{GENERAL}] {name}", in_file[name]
    values = _convert(gathering)
    if gathering.faults:
        raise ConfigError(gathering.faults)
    return values[name]


def _parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str], gathering: _Gathering
) -> tuple[argparse.Namespace, list[str]]:
    """What the flags say, and what is wrong with them."""
    try:
        known, unknown = parser.parse_known_args(arguments)
    except ConfigError as error:
        return _config_alone(parser, arguments), list(error.faults)
    flags = [flag for _, option in gathering.options.values() for flag in option.all_flags]
    return known, [f"command line: unknown {word}{_like(word, flags)}" for word in unknown]


def _config_alone(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """What file is named, where no more can be made of the flags."""
    alone = _Parser(add_help=False, allow_abbrev=False)
    alone.set_defaults(check=False)
    alone.add_argument("--config", nargs="?", default=parser.get_default("config"))
    return alone.parse_known_args(arguments)[0]


def _parser(
    prog: str, gathering: _Gathering, default_config: str | None, with_help: bool = True
) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=prog,
        description="Keeps every route table of an AWS VPC pointing each CIDR at a healthy host.",
        allow_abbrev=False,
        add_help=with_help,
        formatter_class=_Formatter,
    )
    parser.add_argument(
        "--config",
        metavar="PATH",
        default=default_config,
        help=f"the INI file with settings (default: {default_config or 'none'})",
    )
    parser.add_argument("--check", action="store_true", help="check the settings, then exit")
    if with_help:
        parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    groups: dict[str, argparse._ArgumentGroup] = {}
    for section, option in gathering.options.values():
        if section not in groups:
            title = "general options" if section == GENERAL else f"options of {section}"
            groups[section] = parser.add_argument_group(title)
        text = f"{option.help} (default: {option.shown_default})".replace("%", "%%")
        how: dict[str, Any] = {"metavar": option.kind.unit}
        if option.kind.is_switch:
            how = {"action": "store_const", "const": "yes"}
            if option.default:
                how = {"nargs": "?", "const": "yes", "metavar": "no"}
        groups[section].add_argument(*option.all_flags, dest=option.name, help=text, **how)
    return parser


def _read_ini(path: str | None, faults: list[str]) -> Mapping[str, Mapping[str, str]]:
    if path is None:
        return {}
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"), source=path)
    except OSError as error:
        faults.append(f"{path}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        faults.append(f"{path}: is not UTF-8 text")
    except configparser.Error as error:
        # What it has read so far is half-made.
        faults.append(f"{path}: {' '.join(error.message.split())}")
        return {}
    return {name: dict(parser[name]) for name in parser.sections()}


def _load_plugins(
    gathering: _Gathering, flags: Mapping[str, Any], ini: Mapping[str, Mapping[str, str]]
) -> _Chosen:
    """Load what comes with the package and what is chosen."""
    watchers, monitors = Registry.of(WATCHERS), Registry.of(MONITORS)
    for registry in (watchers, monitors):
        for name, target in registry.targets.items():
            if target.startswith("workers."):
                gathering.load(registry, name, f"plugin {name}")

    def said(name: str) -> str:
        section, option = gathering.options[name]
        return str(flags.get(name) or ini.get(section, {}).get(name) or option.default or "")

    watcher = None
    if (mode := said("mode")) != HTTP:
        watcher = gathering.load(watchers.beside(HTTP), mode, f"mode {mode}")
    if (health := said("health")) != MULTI:
        found = [gathering.load(monitors.beside(MULTI), health, f"health {health}")]
    else:
        names = [name for name in said("multi_plugins").split(":") if name]
        if not names:
            known = ", ".join(sorted(monitors.targets))
            gathering.faults.append(f"multi_plugins: names no monitor; there is: {known}")
        found = [
            gathering.load(monitors, name, f"multi_plugins {name}") for name in dict.fromkeys(names)
        ]
    return _Chosen(
        watcher if watcher and issubclass(watcher, Watcher) else None,
        tuple(monitor for monitor in found if monitor and issubclass(monitor, Monitor)),
    )


def _take_ini(
    gathering: _Gathering, path: str | None, ini: Mapping[str, Mapping[str, str]]
) -> None:
    sections = {section for section, _ in gathering.options.values()}
    for section, entries in ini.items():
        if section not in sections:
            gathering.faults.append(
                f"{path}: unknown section [{section}]{_like(section, sections)}"
            )
            continue
        known = {name for name, (its, _) in gathering.options.items() if its == section}
        for name, text in entries.items():
            place = f"{path}: [{section}] {name}"
            if name in known:
                gathering.raw[name] = place, text
            else:
                gathering.faults.append(f"{place}: unknown option{_like(name, known)}")


def _like(name: str, known: Iterable[str]) -> str:
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {similar[0]}?" if similar else ""


def _convert(gathering: _Gathering) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, (_, option) in gathering.options.items():
        values[name] = option.default
        if name not in gathering.raw:
            continue
        source, text = gathering.raw[name]
        try:
            values[name] = option.kind.convert(text.strip())
        except ValueError as error:
            but = "" if option.is_secret else f", not {text!r}"
            gathering.faults.append(f"{source}: {error}{but}")
            gathering.refused.add(name)
    return values


def _shown(gathering: _Gathering, chosen: _Chosen) -> tuple[str, ...]:
    """The options that count in this run: the general ones and those of the chosen plugins."""
    sections = {GENERAL, *(plugin.name for plugin in chosen.plugins)}
    if len(chosen.monitors) > 1:
        sections.add(MULTI)
    return tuple(name for name, (its, _) in gathering.options.items() if its in sections)
