"""The command `vpcrouterctl`: Supervisor's own client, connected to the local daemon."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from supervisor import supervisorctl
from supervisor.options import ClientOptions

from vpcrouter.cli.daemon import DEFAULT_CONFIG
from vpcrouter.config import settings as config
from vpcrouter.errors import VpcRouterError


def vpcrouterctl() -> None:
    """Run supervisorctl on the configured control socket."""
    try:
        path, words = find(sys.argv[1:], DEFAULT_CONFIG)
    except VpcRouterError as error:
        print(f"vpcrouterctl: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_status)
    options = ClientOptions()
    options.searchpaths = []  # do not read the settings of a supervisord on this machine
    supervisorctl.main(["--serverurl", f"unix://{path}", *words], options)


def find(arguments: Sequence[str], default_config: str) -> tuple[str, list[str]]:
    """The control socket's path, and the remaining arguments for supervisorctl.

    Raises ConfigError when the INI file cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="vpcrouterctl",
        description="Controls the daemon's workers with supervisorctl; the action help lists all.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", metavar="PATH", help=f"configuration file (default: {default_config})"
    )
    parser.add_argument(
        "--control_socket",
        metavar="PATH",
        help="the daemon's control socket (default: from the configuration file)",
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="action ...")
    given, options = parser.parse_known_args(arguments)
    words = [*options, *given.words]
    path = given.config or (default_config if Path(default_config).exists() else None)
    return config.one_value("control_socket", given.control_socket, path), words
