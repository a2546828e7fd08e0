"""Gathers settings as written: flags and an INI file become raw text with its source."""

import argparse
import configparser
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from vpcrouter import __version__
from vpcrouter.errors import ConfigError, PluginError
from vpcrouter.options.general import GENERAL, MULTI, general_options, multi_options
from vpcrouter.options.kinds import Option
from vpcrouter.plugins.contract import Monitor, Plugin, Watcher
from vpcrouter.plugins.registry import MONITORS, WATCHERS, Registry

PROGRAM_OPTIONS = frozenset({"config", "check"})
DERIVED = frozenset({"monitors", "shown", "secret", "hold_s", "started_at", "command_line"})
TAKEN = PROGRAM_OPTIONS | DERIVED | {"help", "version", "-h"}
"""Names that no plugin may use for an option or flag."""
HTTP = "http"
"""The mode in which route specs are posted to the API; it has no watcher."""


@dataclass(frozen=True)
class Chosen:
    """The plugins of this run."""

    watcher: type[Watcher] | None
    monitors: tuple[type[Monitor], ...]

    @property
    def plugins(self) -> tuple[type[Plugin], ...]:
        return (*self.monitors, *((self.watcher,) if self.watcher else ()))


@dataclass
class Gathering:
    """Settings being gathered: raw text with its source, and all faults found so far."""

    options: dict[str, tuple[str, Option]] = field(default_factory=dict)
    plugins: dict[tuple[str, str], type[Plugin]] = field(default_factory=dict)
    raw: dict[str, tuple[str, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    is_complete: bool = True
    """Whether flags and file could be read, so that a missing setting is really missing."""
    only_checks: bool = False
    """`--check`: check the settings and exit."""
    checks_log: bool = False
    """Whether a log file that cannot be written is a fault."""

    def declare(self, section: str, options: Iterable[Option]) -> None:
        for option in options:
            taken = {flag for _, other in self.options.values() for flag in other.all_flags}
            names = {option.name, *(flag.removeprefix("--") for flag in option.all_flags)}
            if names & (self.options.keys() | taken | TAKEN):
                self.faults.append(f"plugin {section}: option {option.name} is already in use")
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
            self.faults.append(f"{source}: {ref.target} is not a {kind.__name__.lower()}")
            return None
        try:
            self.declare(plugin.name, plugin.add_arguments())
        except Exception as error:  # a third-party plugin may raise anything
            self.faults.append(f"{source}: {ref.target}: add_arguments failed: {error!r}")
            return None
        self.plugins[key] = plugin
        return plugin


class _FlagParser(argparse.ArgumentParser):
    """Reports a bad command line as one more fault instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError([f"command line: {message}"])


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36, width=100)


def gather(
    prog: str, arguments: Sequence[str], default_config: str | None
) -> tuple[Gathering, Chosen]:
    """The settings of a command line and of the INI file it names, and the chosen plugins.

    A flag beats the file. Prints and exits for `--help`.
    """
    gathering = Gathering()
    gathering.declare(GENERAL, general_options())
    gathering.declare(MULTI, multi_options())
    choosing = _parser(prog, gathering, default_config, with_help=False)
    first, _ = _parse(choosing, arguments, gathering)
    ini = read_ini(first.config, gathering.faults)
    gathering.is_complete = not gathering.faults
    chosen = _load_plugins(gathering, vars(first), ini)
    given, faults = _parse(_parser(prog, gathering, default_config), arguments, gathering)
    gathering.faults += faults
    gathering.is_complete &= "vpc" in given
    gathering.only_checks = given.check
    _take_ini(gathering, first.config, ini)
    for name, text in vars(given).items():
        if text is not None and name not in PROGRAM_OPTIONS:
            gathering.raw[name] = f"--{name}", str(text)
    return gathering, chosen


def _parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str], gathering: Gathering
) -> tuple[argparse.Namespace, list[str]]:
    """The values of the flags, and their faults."""
    try:
        known, unknown = parser.parse_known_args(arguments)
    except ConfigError as error:
        return _config_alone(parser, arguments), list(error.faults)
    flags = [flag for _, option in gathering.options.values() for flag in option.all_flags]
    return known, [f"command line: unknown {word}{_like(word, flags)}" for word in unknown]


def _config_alone(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Only `--config`, when the flags cannot be parsed."""
    alone = _FlagParser(add_help=False, allow_abbrev=False)
    alone.set_defaults(check=False)
    alone.add_argument("--config", nargs="?", default=parser.get_default("config"))
    return alone.parse_known_args(arguments)[0]


def _parser(
    prog: str, gathering: Gathering, default_config: str | None, with_help: bool = True
) -> argparse.ArgumentParser:
    parser = _FlagParser(
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
        help=f"configuration file, INI format (default: {default_config or 'none'})",
    )
    parser.add_argument("--check", action="store_true", help="check the configuration and exit")
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


def read_ini(path: str | None, faults: list[str]) -> Mapping[str, Mapping[str, str]]:
    if path is None:
        return {}
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8"), source=path)
    except OSError as error:
        faults.append(f"{path}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        faults.append(f"{path}: not UTF-8 text")
    except configparser.Error as error:
        # What the parser has read so far is incomplete.
        faults.append(f"{path}: {' '.join(error.message.split())}")
        return {}
    return {name: dict(parser[name]) for name in parser.sections()}


def _load_plugins(
    gathering: Gathering, flags: Mapping[str, Any], ini: Mapping[str, Mapping[str, str]]
) -> Chosen:
    """Load the plugins of this package and the chosen ones."""
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
            gathering.faults.append(f"multi_plugins: names no monitor; available: {known}")
        found = [
            gathering.load(monitors, name, f"multi_plugins {name}") for name in dict.fromkeys(names)
        ]
    return Chosen(
        watcher if watcher and issubclass(watcher, Watcher) else None,
        tuple(monitor for monitor in found if monitor and issubclass(monitor, Monitor)),
    )


def _take_ini(gathering: Gathering, path: str | None, ini: Mapping[str, Mapping[str, str]]) -> None:
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
