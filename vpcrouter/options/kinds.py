"""Options, and the kinds of their values.

Every option is declared once and is reachable as a command-line flag and as an INI key.
"""

import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: `convert` parses text or raises ValueError with the end of a sentence."""

    unit: str
    convert: Callable[[str], Any]
    is_switch: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `default` is a converted value; None means not given.

    `example` is shown in documents if there is no default, or one that depends on the system.
    A value that `is_secret` is never shown.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    flags: tuple[str, ...] = ()
    default_text: str = ""
    example: str = ""
    is_secret: bool = False

    @property
    def all_flags(self) -> tuple[str, ...]:
        return self.flags or (f"--{self.name}",)

    @property
    def shown_default(self) -> str:
        """The default for display, with its unit."""
        if self.default_text:
            return self.default_text
        if self.default is None:
            return "none"
        if self.kind.is_switch:
            return "yes" if self.default else "no"
        if isinstance(self.default, tuple):
            return ",".join(map(str, self.default)) or "none"
        return f"{self.default:g} s" if self.kind.unit == "SECONDS" else str(self.default)


def _text(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _path(value: str) -> str:
    if "\0" in value:
        raise ValueError("must be a path, without zero bytes")
    try:
        return str(Path(_text(value)).expanduser().absolute())
    except RuntimeError:  # ~nobody-of-this-name
        raise ValueError("names a home directory that does not exist") from None


def _logfile(value: str) -> str:
    return value if value == "-" else _path(value)


def _switch(value: str) -> bool:
    word = value.lower()
    if word in {"yes", "true", "on", "1"}:
        return True
    if word in {"no", "false", "off", "0"}:
        return False
    raise ValueError("must be yes or no")


def _cidrs(value: str) -> tuple[str, ...]:
    found: list[str] = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        try:
            # No host has the address 0.0.0.0: it means the default route.
            named = "0.0.0.0/0" if part == "0.0.0.0" else part  # noqa: S104
            found.append(str(ipaddress.ip_network(named, strict=False)))
        except ValueError:
            raise ValueError(f"{part!r} is neither an IP address nor a CIDR") from None
    return tuple(dict.fromkeys(found))


def _hosts(value: str) -> tuple[str, ...]:
    found: list[str] = []
    for part in filter(None, (part.strip().lower().rstrip(".") for part in value.split(","))):
        bare = part.removeprefix("[").removesuffix("]")
        if not HOST_NAME.fullmatch(part) and not _is_ip(bare):
            raise ValueError(f"{part!r} must be a host name without scheme and port")
        found.append(bare)
    return tuple(dict.fromkeys(found))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?")
TEXT = Kind("TEXT", _text)
PATH = Kind("PATH", _path)
LOGFILE = Kind("PATH", _logfile)
SWITCH = Kind("", _switch, is_switch=True)
CIDRS = Kind("CIDR,IP,...", _cidrs)
HOST_NAMES = Kind("NAME,...", _hosts)


def seconds(minimum: float, maximum: float = 86_400.0) -> Kind:
    """A duration in seconds, fractions allowed, from `minimum` to `maximum`."""

    def convert(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError("must be a number of seconds") from None
        if math.isnan(number) or not minimum <= number <= maximum:
            raise ValueError(f"must be from {minimum:g} to {maximum:g} seconds")
        return number

    return Kind("SECONDS", convert)


def whole(minimum: int, maximum: int, unit: str = "N") -> Kind:
    """A whole number from `minimum` to `maximum`."""

    def convert(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError("must be a whole number") from None
        if not minimum <= number <= maximum:
            raise ValueError(f"must be from {minimum} to {maximum}")
        return number

    return Kind(unit, convert)


def share(minimum: float = 0.0) -> Kind:
    """A share from `minimum` to 1."""

    def convert(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"must be a number from {minimum:g} to 1") from None
        if not minimum <= number <= 1:
            raise ValueError(f"must be from {minimum:g} to 1")
        return number

    return Kind("SHARE", convert)


PORT = whole(0, 65_535, "PORT")
