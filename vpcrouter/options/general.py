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
"""The value of `health` that combines several monitors, and its INI section."""


def _folder(variable: str, as_root: str, otherwise: Callable[[], Path]) -> Path:
    """The folder that systemd names in `variable`, else root's, else an unprivileged user's."""
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
            "monitors to use with health = multi, separated by colons",
            example="icmpecho:tcp",
        ),
    )


def api_options() -> tuple[Option, ...]:
    """The options for access to the API."""
    return (
        Option(
            "api_token_file",
            PATH,
            None,
            "file with the bearer token required to write to the API, and to read it from other "
            "machines",
            example="/etc/vpcrouter/api-token",
        ),
        Option(
            "api_tls_cert",
            PATH,
            None,
            "file with the API's TLS certificate and its intermediates; the API then serves HTTPS "
            "only",
            example="/etc/vpcrouter/api.pem",
        ),
        Option(
            "api_tls_key",
            PATH,
            None,
            "file with the private key of api_tls_cert",
            example="/etc/vpcrouter/api.key",
        ),
        Option(
            "api_hosts",
            HOST_NAMES,
            (),
            "host names the API is reached by, besides localhost and its address",
            example="vpcrouter.example.com",
        ),
    )


def general_options() -> tuple[Option, ...]:
    """The daemon's own options; the defaults of the two folders depend on the user."""
    state_dir = _folder("STATE_DIRECTORY", "/var/lib/vpcrouter", _user_state)
    runtime_dir = _folder("RUNTIME_DIRECTORY", "/run/vpcrouter", _user_runtime)
    return (
        Option(
            "mode", TEXT, "configfile", "watcher: where the route spec comes from", ("-m", "--mode")
        ),
        Option("health", TEXT, "icmpecho", "monitor: how hosts are checked", ("-H", "--health")),
        Option(
            "region",
            TEXT,
            None,
            "AWS region",
            ("-r", "--region"),
            "from boto3's configuration, else this instance's region",
            "us-east-1",
        ),
        Option(
            "vpc",
            TEXT,
            None,
            "VPC id",
            ("-v", "--vpc"),
            "this instance's VPC",
            "vpc-350d6a51",
        ),
        Option("address", TEXT, "localhost", "address the API listens on", ("-a", "--address")),
        Option("port", PORT, 33289, "port the API listens on", ("-p", "--port")),
        *api_options(),
        Option(
            "logfile",
            LOGFILE,
            "-",
            "file to log to; - logs to stderr",
            ("-l", "--logfile"),
        ),
        Option("verbose", SWITCH, False, "log debug messages, too"),
        Option(
            "ignore_routes",
            CIDRS,
            (),
            "routes inside these networks are never deleted; 0.0.0.0/0 means the default route "
            "only",
        ),
        Option(
            "route_recheck_interval",
            seconds(0.5),
            30.0,
            "how often all routes are read and corrected",
        ),
        Option(
            "delete_limit",
            share(),
            0.5,
            "largest share of the VPC's instance routes that may be deleted at once (up to 10 are "
            "always allowed); 1 disables the limit",
        ),
        Option(
            "isolation_share",
            share(0.1),
            0.5,
            "when more than this share of at least 4 hosts stop answering at once, the monitor is "
            "isolated and no route is changed; 1 disables this, and all hosts may fail",
        ),
        Option(
            "flap_count",
            whole(0, 1000),
            5,
            "hold down a host that fails this often within the window, longer each time, while "
            "another host is available; 0 disables",
        ),
        Option(
            "flap_window_s",
            seconds(1.0),
            600.0,
            "window for counting failures; the first hold-down lasts 1/10 of it, the longest 6 "
            "times",
        ),
        Option(
            "ec2_burst",
            whole(1, 100_000, "CALLS"),
            50,
            "number of changes of one kind EC2 accepts at once before it throttles the account",
        ),
        Option(
            "ec2_rate",
            whole(1, 10_000, "CALLS"),
            5,
            "number of changes of one kind EC2 accepts per second after that",
        ),
        Option(
            "silence_limit",
            seconds(5.0, 600.0),
            20.0,
            "a worker without a heartbeat for this long is replaced",
        ),
        Option(
            "memory_limit",
            whole(64, 1_048_576, "MIB"),
            1024,
            "memory limit of each worker; a worker that exceeds it is replaced",
        ),
        Option(
            "sandbox",
            SWITCH,
            True,
            "confine each worker to the files and system calls it needs, as far as the kernel can "
            "(seccomp, Landlock)",
        ),
        Option(
            "state_dir",
            PATH,
            str(state_dir),
            "directory for the last accepted route spec and the workers' logs",
            default_text="/var/lib/vpcrouter, or ~/.local/state/vpcrouter for an unprivileged user",
            example="/var/lib/vpcrouter",
        ),
        Option(
            "control_socket",
            PATH,
            str(runtime_dir / "control.sock"),
            "UNIX socket that supervisorctl connects to",
            default_text="/run/vpcrouter/control.sock, or in the user's runtime directory for an "
            "unprivileged user",
            example="/run/vpcrouter/control.sock",
        ),
    )
