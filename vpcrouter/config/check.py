"""Settings checked: each value by itself, then how they go together.

What is wrong follows from the values and from the files that they name: a route spec, a token, a
certificate, a command that is not there is a fault of the settings, and is told with the others.
An address that is a name is looked up, too: who can reach the API depends on it. Nothing else is
asked; what instance metadata must tell is in `locate`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from vpcrouter.api.access import check_access
from vpcrouter.options.groups import AccessSettings
from vpcrouter.options.kinds import Option
from vpcrouter.plugins.contract import Plugin


def convert(
    options: Iterable[Option], raw: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The options' values by name, and for each whose text is none what is wrong with it."""
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
            but = "" if option.is_secret else f", not {text!r}"
            faults[option.name] = f"{source}: {error}{but}"
    return values, faults


def check(values: Mapping[str, Any], plugins: Iterable[type[Plugin]]) -> list[str]:
    """What is wrong with options that are each right by themselves."""
    faults = [fault for plugin in plugins for fault in _faults_of(plugin, values)]
    return [*faults, *check_access(AccessSettings.of(values))]


def _faults_of(plugin: type[Plugin], values: Mapping[str, Any]) -> list[str]:
    try:
        return list(map(str, plugin.check_arguments(values)))
    except Exception as error:  # whatever a foreign plugin does
        return [f"plugin {plugin.name}: its settings cannot be checked: {error!r}"]
