"""The command `vpcrouterctl`: Supervisor's own client, talking to this machine's daemon."""

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
    """Run supervisorctl on the control socket that the settings name."""
    try:
        path, words = find(sys.argv[1:], DEFAULT_CONFIG)
    except VpcRouterError as error:
        print(f"vpcrouterctl: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_status)
    options = ClientOptions()
    options.searchpaths = []  # supervisord's own settings are another daemon's
    supervisorctl.main(["--serverurl", f"unix://{path}", *words], options)


def find(arguments: Sequence[str], default_config: str) -> tuple[str, list[str]]:
    """The control socket's path, and the words that are left for supervisorctl.

    Raises ConfigError when the INI file cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="vpcrouterctl",
        description="Runs supervisorctl on the daemon; help shows its actions.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="PATH", help=f"(default: {default_config})")
    parser.add_argument("--control_socket", metavar="PATH", help="(default: as the INI file says)")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="action ...")
    given, options = parser.parse_known_args(arguments)
    words = [*options, *given.words]
    path = given.config or (default_config if Path(default_config).exists() else None)
    return config.one_value("control_socket", given.control_socket, path), words
