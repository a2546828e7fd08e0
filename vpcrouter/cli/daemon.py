"""The commands: `vpcrouterd` for systemd, `vpcrouter` for the foreground."""

import contextlib
import faulthandler
import os
import socket
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from vpcrouter import __version__
from vpcrouter.api.access import refuse_open
from vpcrouter.config import settings as config
from vpcrouter.control import socket as control_socket
from vpcrouter.errors import ConfigError, UnavailableError, VpcRouterError
from vpcrouter.logs import setup as logs
from vpcrouter.logs.redact import redact
from vpcrouter.logs.text import escaped
from vpcrouter.model.messages import API, CONTROL
from vpcrouter.options.groups import AccessSettings
from vpcrouter.supervisor import sandbox, systemd
from vpcrouter.supervisor.reload import Reload
from vpcrouter.supervisor.supervisor import Supervisor
from vpcrouter.supervisor.workforce import workforce

DEFAULT_CONFIG = "/etc/vpcrouter.ini"
BACKLOG = 64

log = logs.get(__name__)


def vpcrouterd() -> None:
    """Run the daemon with an INI file."""
    _exit(_main("vpcrouterd", sys.argv[1:], DEFAULT_CONFIG))


def vpcrouter() -> None:
    """Run the daemon in the foreground, configured by flags."""
    _exit(_main("vpcrouter", sys.argv[1:], None))


def _exit(status: int) -> NoReturn:
    """Exit at once: a plugin was imported for its options, and the interpreter would wait for its
    threads for ever.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)


def _main(prog: str, arguments: Sequence[str], default_config: str | None) -> int:
    try:
        settings = config.load(prog, arguments, default_config)
        if settings.values["check"]:
            print("configuration OK")  # noqa: T201
            return 0
        return _run(settings)
    except VpcRouterError as error:
        for line in str(error).splitlines():
            print(f"{prog}: {escaped(redact(line))}", file=sys.stderr)  # noqa: T201
        return error.exit_status


def _run(settings: config.Settings) -> int:
    faulthandler.enable()
    sandbox.conceal()
    values = settings.values
    logs.set_up(values["logfile"], values["verbose"], logs.SUPERVISOR, values["state_dir"])
    with control_socket.listening(values["control_socket"]) as control:
        listener = _listen(values["address"], values["port"])
        refuse_open(listener.getsockname()[0], AccessSettings.of(values))
        held = {API: listener, CONTROL: control}
        started_at = time.time()
        workers = workforce(settings, started_at)
        if faults := systemd.watchdog_faults(workers.policy):
            raise ConfigError(faults)
        where = _url(listener, "http" if values["api_tls_cert"] is None else "https")
        log.info("starting", version=__version__, vpc=values["vpc"], api=where)
        _say_what_is_missing(values["sandbox"])
        try:
            return Supervisor(workers, Reload(settings, started_at), held).run()
        finally:
            logs.finish()


def _say_what_is_missing(is_wanted: bool) -> None:
    if not is_wanted:
        log.warning("workers are not confined: sandbox = no")
    elif missing := sandbox.unavailable():
        log.warning("workers are confined in part only; the system does not allow it", **missing)


def _url(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def _listen(address: str, port: int) -> socket.socket:
    """The API's listening socket; held by the supervisor so that it outlives the API's process.

    Raises UnavailableError if it cannot be bound.
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
            "set another --address or --port, or stop the process that uses it"
        ) from None
    return listener
