"""What an option is, the kinds of value it can have, and the daemon's general options.

Every option is declared once and is reachable as a command-line flag and as an INI key.
"""

import ipaddress
import math
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GENERAL = "vpcrouter"
"""The INI section of the general options."""
MULTI = "multi"
"""The health that is several monitors, and its INI section."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: `convert` makes it of text or raises ValueError with a sentence's end."""

    unit: str
    convert: Callable[[str], Any]
    is_switch: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `default` is a value already converted; None means not given.

    `example` is what documents show where there is no default, or one that depends.
    A value that `is_secret` is shown nowhere.
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
        """The default as people read it, with its unit."""
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
        raise ValueError("names a home folder that is not there") from None


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
            # Nothing has the address 0.0.0.0: who says so means the default route.
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
            raise ValueError(f"{part!r} is no host's name, without scheme and port,")
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


def _folder(variable: str, as_root: str, otherwise: Callable[[], Path]) -> Path:
    """The folder that systemd names in `variable`, else root's, else an ordinary user's."""
    named = os.environ.get(variable, "").split(":")[0]
    if named:
        return Path(named)
    return Path(as_root) if os.geteuid() == 0 else otherwise()


def _user_runtime() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "vpcrouter"
    return Path(tempfile.gettempdir()) / f"vpcrouter-{os.geteuid()}"


def _user_state() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "vpcrouter"


def multi_options() -> tuple[Option, ...]:
    """The options of `health = multi`."""
    return (
        Option(
            "multi_plugins",
            TEXT,
            None,
            "with multi: the monitors, separated by colons",
            example="icmpecho:tcp",
        ),
    )


def api_options() -> tuple[Option, ...]:
    """Who may ask the API; it says by itself only where it listens."""
    return (
        Option(
            "api_token_file",
            PATH,
            None,
            "the file with the token that is needed to write to the API, and to read it from "
            "other machines",
            example="/etc/vpcrouter/api-token",
        ),
        Option(
            "api_tls_cert",
            PATH,
            None,
            "the file with the API's certificate and those that vouch for it; it then speaks "
            "HTTPS only",
            example="/etc/vpcrouter/api.pem",
        ),
        Option(
            "api_tls_key",
            PATH,
            None,
            "the file with the key to it",
            example="/etc/vpcrouter/api.key",
        ),
        Option(
            "api_hosts",
            HOST_NAMES,
            (),
            "the names by which the API is asked, beside localhost and its address",
            example="vpcrouter.example.com",
        ),
    )


def general_options() -> tuple[Option, ...]:
    """The daemon's own options; the two folders' defaults depend on who asks."""
    state_dir = _folder("STATE_DIRECTORY", "/var/lib/vpcrouter", _user_state)
    runtime_dir = _folder("RUNTIME_DIRECTORY", "/run/vpcrouter", _user_runtime)
    return (
        Option(
            "mode", TEXT, "configfile", "the watcher: where route specs come from", ("-m", "--mode")
        ),
        Option("health", TEXT, "icmpecho", "the monitor: how hosts are judged", ("-H", "--health")),
        Option(
            "region",
            TEXT,
            None,
            "the AWS region",
            ("-r", "--region"),
            "as boto3 finds it, else this instance's own",
            "us-east-1",
        ),
        Option(
            "vpc",
            TEXT,
            None,
            "the id of the VPC",
            ("-v", "--vpc"),
            "this instance's own",
            "vpc-350d6a51",
        ),
        Option("address", TEXT, "localhost", "the address the API listens on", ("-a", "--address")),
        Option("port", PORT, 33289, "the port the API listens on", ("-p", "--port")),
        *api_options(),
        Option(
            "logfile",
            LOGFILE,
            "-",
            "where events are logged; - is the console",
            ("-l", "--logfile"),
        ),
        Option("verbose", SWITCH, False, "log more"),
        Option(
            "ignore_routes",
            CIDRS,
            (),
            "routes inside these are never deleted; 0.0.0.0/0 stands for the default route alone",
        ),
        Option(
            "route_recheck_interval",
            seconds(0.5),
            30.0,
            "how often all routes are read and put right",
        ),
        Option(
            "delete_limit",
            share(),
            0.5,
            "the largest share of the VPC's instance routes that may be deleted at once "
            "(10 may be at any time); 1 allows all",
        ),
        Option(
            "isolation_share",
            share(0.1),
            0.5,
            "when more than this share of at least 4 hosts fall silent at once, it is we who are "
            "cut off, and nothing is changed; 1 lets all of them fail",
        ),
        Option(
            "flap_count",
            whole(0, 1000),
            5,
            "a host that failed so many times within flap_window_s gets no routes for a time that "
            "grows, unless no other is left; 0 is never",
        ),
        Option(
            "flap_window_s",
            seconds(1.0),
            600.0,
            "the time within which failures are counted; the first time is a tenth of it, "
            "the longest six of it",
        ),
        Option(
            "ec2_burst",
            whole(1, 100_000, "CALLS"),
            50,
            "how many changes of a kind EC2 takes at once before it throttles this account",
        ),
        Option(
            "ec2_rate",
            whole(1, 10_000, "CALLS"),
            5,
            "how many changes of a kind EC2 takes each second after that",
        ),
        Option(
            "silence_limit",
            seconds(5.0, 600.0),
            20.0,
            "a worker that gives no sign of life for so long is replaced",
        ),
        Option(
            "memory_limit",
            whole(64, 1_048_576, "MIB"),
            1024,
            "a worker that asks for more memory than this is replaced",
        ),
        Option(
            "state_dir",
            PATH,
            str(state_dir),
            "where the last accepted route spec and the workers' logs are kept",
            default_text="/var/lib/vpcrouter, or ~/.local/state/vpcrouter for an ordinary user",
            example="/var/lib/vpcrouter",
        ),
        Option(
            "control_socket",
            PATH,
            str(runtime_dir / "control.sock"),
            "the UNIX socket that supervisorctl talks to",
            default_text="/run/vpcrouter/control.sock, or one of an ordinary user's own",
            example="/run/vpcrouter/control.sock",
        ),
    )
