"""Generates docs/configuration.md and etc/vpcrouter.ini from the option declarations.

`make docs` runs it; a test fails when either file is stale.
"""

import textwrap
from collections.abc import Iterable
from pathlib import Path

from vpcrouter.options.general import GENERAL, MULTI, general_options, multi_options
from vpcrouter.options.kinds import Option
from vpcrouter.plugins.contract import Plugin
from vpcrouter.plugins.registry import MONITORS, WATCHERS, Registry

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
INI = ROOT / "etc" / "vpcrouter.ini"

PAGE_HEAD = """\
# Configuration

Every option can be given as a flag or in the INI file: `--route_recheck_interval 10`, or
`route_recheck_interval = 10` in section `[vpcrouter]`; a plugin's options are in the section
named after it. Flags override the file. Durations are in seconds, fractions allowed. All errors
are reported at once, an invalid value with its file, section and option, and end the daemon with
exit status 78; `--check` validates the configuration and exits.

`vpcrouterd` reads `/etc/vpcrouter.ini` unless `--config` names another file; `vpcrouter` reads a
file only with `--config`. Generated from the option declarations by `make docs`.
"""
INI_HEAD = """\
# vpcrouterd --config /etc/vpcrouter.ini
#
# Every option is listed with its default, or an example, commented out. The same names work as
# flags (--route_recheck_interval 10), and flags override this file. Durations are in seconds,
# fractions allowed. Validate a change with: vpcrouterd --config /etc/vpcrouter.ini --check
"""
UNITS = {"SECONDS": " (seconds)", "MIB": " (MiB)"}
KINDS = {WATCHERS: "Mode", MONITORS: "Health"}


def sections() -> Iterable[tuple[str, str, list[Option]]]:
    """Section, its title, and its options, in the order in which they are shown."""
    yield GENERAL, "General options", list(general_options())
    yield MULTI, "Health `multi`", list(multi_options())
    for group, kind in KINDS.items():
        registry = Registry.of(group)
        for name in sorted(registry.targets):
            ref = registry.find(name)
            plugin = ref.load()
            if ref.target.startswith("workers.") and issubclass(plugin, Plugin):
                yield plugin.name, f"{kind} `{plugin.name}`", list(plugin.add_arguments())


def page() -> str:
    """docs/configuration.md."""
    parts = [PAGE_HEAD]
    for section, title, options in sections():
        if not options:
            continue
        rows = [
            f"| `{', '.join(option.all_flags)}` | {_cell(_sentence(option))} "
            f"| {_cell(option.shown_default)} |"
            for option in options
        ]
        columns = "| option | description | default |\n|---|---|---|"
        parts.append(
            "\n".join([f"## {title}", f"Section `[{section}]`.", "", columns, *rows]) + "\n"
        )
    return "\n".join(parts)


def ini() -> str:
    """etc/vpcrouter.ini."""
    parts = [INI_HEAD]
    parts += [
        "\n".join([f"[{section}]", *map(_entry, options)]).rstrip() + "\n"
        for section, _, options in sections()
        if options
    ]
    return "\n".join(parts)


def _entry(option: Option) -> str:
    lines = textwrap.wrap(_sentence(option), 92)
    if option.example or option.default is None:
        lines.append(f"Default: {option.shown_default}.")
    comment = "".join(f"# {line}\n" for line in lines)
    return f"{comment}#{option.name} = {option.example or _value(option)}".rstrip() + "\n"


def _value(option: Option) -> str:
    """The default as the file has it, without its unit."""
    if isinstance(option.default, float):
        return f"{option.default:g}"
    return "" if option.default in (None, ()) else option.shown_default


def _sentence(option: Option) -> str:
    unit = UNITS.get(option.kind.unit, "")
    return f"{option.help[0].upper()}{option.help[1:]}{unit}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
    INI.write_text(ini())
