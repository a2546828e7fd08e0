"""The commands: `vpcrouterd` as systemd runs it, `vpcrouter` for the foreground."""

import socket
import sys
import time
from collections.abc import Sequence

from vpcrouter import __version__, config, control_socket
from vpcrouter import log as logs
from vpcrouter.child import Child
from vpcrouter.errors import ConfigError, UnavailableError, VpcRouterError
from vpcrouter.lifecycle import LifePolicy
from vpcrouter.messages import API, CONTROL, MONITOR, RECONCILER, WATCHER
from vpcrouter.plugins import WORKERS, Registry
from vpcrouter.supervisor import Supervisor

DEFAULT_CONFIG = "/etc/vpcrouter.ini"
BACKLOG = 64

log = logs.get(__name__)


def vpcrouterd() -> None:
    """Run the daemon on an INI file."""
    sys.exit(_main("vpcrouterd", sys.argv[1:], DEFAULT_CONFIG))


def vpcrouter() -> None:
    """Run the daemon in the foreground, told by flags."""
    sys.exit(_main("vpcrouter", sys.argv[1:], None))


def _main(prog: str, arguments: Sequence[str], default_config: str | None) -> int:
    try:
        settings = config.load(prog, arguments, default_config)
        if settings.values["check"]:
            print("the settings are good")  # noqa: T201
            return 0
        return _run(settings)
    except VpcRouterError as error:
        for line in str(error).splitlines():
            print(f"{prog}: {line}", file=sys.stderr)  # noqa: T201
        return error.exit_status


def _run(settings: config.Settings) -> int:
    values = {**settings.values, "started_at": time.time()}
    try:
        logs.set_up(values["logfile"], values["verbose"], logs.SUPERVISOR, values["state_dir"])
    except OSError as error:
        raise ConfigError([f"logfile: {values['logfile']}: {error.strerror}"]) from None
    with control_socket.listening(values["control_socket"]) as control:
        listener = _listen(values["address"], values["port"])
        children = _children(settings, listener, control)
        where = "http://{}:{}/".format(*listener.getsockname()[:2])
        log.info("starting", version=__version__, vpc=values["vpc"], api=where)
        try:
            return Supervisor(children, values).run()
        finally:
            logs.finish()


def _children(
    settings: config.Settings, listener: socket.socket, control: socket.socket
) -> list[Child]:
    """The workers, in the order in which they are started."""
    policy = LifePolicy(silence_limit_s=settings.values["silence_limit"])
    workers = Registry.of(WORKERS)
    watcher, monitors = settings.watcher, settings.monitors
    watcher_name = watcher.name if watcher else ""
    if watcher_name in {ref.name for ref in monitors}:
        watcher_name += "-watcher"
    return [
        Child("reconciler", RECONCILER, workers.find("reconciler"), policy),
        *([Child(watcher_name, WATCHER, watcher, policy)] if watcher else []),
        *(Child(ref.name, MONITOR, ref, policy) for ref in monitors),
        Child("api", API, workers.find("api"), policy, listener),
        Child("control", CONTROL, workers.find("control"), policy, control),
    ]


def _listen(address: str, port: int) -> socket.socket:
    """The API's listening socket; held open here so that it outlives the API's process.

    Raises UnavailableError when it cannot be had.
    """
    try:
        family, kind, proto, _, where = min(
            socket.getaddrinfo(address, port, type=socket.SOCK_STREAM), key=lambda found: found[0]
        )
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        raise UnavailableError(
            f"the API cannot listen on {address} port {port}: {error.strerror}; "
            "choose others with --address and --port, or end what is there"
        ) from None
    return listener
