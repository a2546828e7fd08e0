"""The daemon's general options."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from vpcrouter.options.kinds import (
    CIDRS,
    HOST_NAMES,
    LOGFILE,
    PATH,
    PORT,
    SWITCH,
    TEXT,
    Option,
    seconds,
    share,
    whole,
)

GENERAL = "vpcrouter"
"""The INI section of the general options."""
MULTI = "multi"
"""The health that is several monitors, and its INI section."""


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
