"""Checks settings: each value by itself, then their combination.

The check covers the values and the files that they name: a bad or missing route spec, token,
certificate or command is a fault of the settings and is reported with the others. A host name in
`address` is resolved, because who can reach the API depends on it. Nothing else is looked up;
instance metadata is queried in `locate`.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vpcrouter.api.access import check_access
from vpcrouter.options.groups import AccessSettings
from vpcrouter.options.kinds import Option
from vpcrouter.plugins.contract import Plugin


def convert(
    options: Iterable[Option], raw: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The options' values by name, and the faults of those whose text is invalid."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for option in options:
        values[option.name] = option.default
        if option.name not in raw:
            continue
        source, text = raw[option.name]
        try:
            values[option.name] = option.kind.convert(text.strip())
        except ValueError as error:
            faults[option.name] = f"{source}: {error}{_but(str(error), option, text)}"
    return values, faults


def _but(fault: str, option: Option, text: str) -> str:
    """The value, unless it is a secret or the fault quotes the part of it that is wrong."""
    if option.is_secret or fault.startswith("'"):
        return ""
    return f", not {text!r}" if fault.startswith("must ") else f": {text!r}"


def check(values: Mapping[str, Any], plugins: Iterable[type[Plugin]]) -> list[str]:
    """The faults of options that are each valid by themselves."""
    faults = [fault for plugin in plugins for fault in _faults_of(plugin, values)]
    return [*faults, *check_access(AccessSettings.of(values))]


def check_logfile(path: str) -> Iterator[str]:
    """Why lines cannot be appended to it. It is not created: the daemon may be another user."""
    if path == "-":
        return
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK))
    except FileNotFoundError:
        folder = Path(path).parent
        if not folder.is_dir():
            yield f"logfile: {path}: {folder} is not a directory"
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield f"logfile: {path}: cannot be created in {folder}"
    except OSError as error:
        yield f"logfile: {path}: {error.strerror}"


def _faults_of(plugin: type[Plugin], values: Mapping[str, Any]) -> list[str]:
    try:
        return list(map(str, plugin.check_arguments(values)))
    except Exception as error:  # a third-party plugin may raise anything
        return [f"plugin {plugin.name}: check_arguments failed: {error!r}"]
