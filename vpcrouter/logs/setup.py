"""Logging: one event per line as key=value, to stderr or a file, from every process.

Why structlog: docs/decisions/0012-structlog.md.
"""

import logging
from collections.abc import MutableMapping
from functools import partialmethod
from typing import Any

import structlog

from vpcrouter.logs.background import BackgroundHandler
from vpcrouter.logs.main_log import FileLog, StderrLog
from vpcrouter.logs.redact import redact
from vpcrouter.logs.text import MAX_LINE, bounded, escaped, shortened_within
from vpcrouter.logs.worker_log import OwnLog

CONSOLE = "-"
SUPERVISOR = "supervisor"


def set_up(
    logfile: str,
    verbose: bool,
    worker: str,
    state_dir: str | None = None,
    package: str = "vpcrouter",
) -> None:
    """Send this process's events to `logfile` (`-`: stderr), each marked with `worker`.

    Third-party code logs warnings and above, a plugin's own `package` as much as vpcrouter.
    With `state_dir`, the process also keeps its own log there, for `supervisorctl tail`. Neither
    has to be writable, and no log call waits for them or raises.
    """

    def mark(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Any:
        event["worker"] = worker
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        mark,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = _formatter(shared)
    # All processes share the file and the folder: only one of them says that one is lost.
    complain_at = logging.WARNING if worker == SUPERVISOR else logging.DEBUG
    handlers: list[BackgroundHandler] = [
        StderrLog() if logfile == CONSOLE else FileLog(logfile, complain_at)
    ]
    if state_dir is not None:
        handlers.append(OwnLog(OwnLog.path_of(state_dir, worker), complain_at))
    root = logging.getLogger()
    root.handlers[:] = handlers
    for handler in handlers:
        handler.setFormatter(formatter)
    root.setLevel(logging.WARNING)
    for ours in ("vpcrouter", "workers", package):
        logging.getLogger(ours).setLevel(logging.DEBUG if verbose else logging.INFO)
    # It warns about a file that the systemd unit hides and that is not needed here.
    logging.getLogger("pyroute2.netlink.rtnl.tcmsg").setLevel(logging.ERROR)
    for handler in handlers:
        handler.start()


def _formatter(shared: list[structlog.typing.Processor]) -> logging.Formatter:
    """The same lines for foreign code's events as for ours.

    Nothing secret is in them and nothing that is not printable, and they are of bounded length.
    """
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            lambda _logger, _method, event: bounded(event),
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "worker", "event"], bool_as_flag=False
            ),
            lambda _logger, _method, line: shortened_within(escaped(redact(str(line))), MAX_LINE),
        ],
    )


def finish() -> None:
    """Flush the last lines before the process exits; waits for a moment at most."""
    for handler in _handlers():
        handler.finish()


def problems() -> list[str]:
    """Why lines of this process are lost or go elsewhere."""
    return [handler.problem for handler in _handlers() if handler.problem]


def _handlers() -> list[BackgroundHandler]:
    return [each for each in logging.getLogger().handlers if isinstance(each, BackgroundHandler)]


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of one module: `log = get(__name__)`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


class Later:
    """A logger that defers its lines until `flush`, so that urgent work comes first."""

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._lines: list[tuple[int, str, dict[str, Any]]] = []

    def log(self, level: int, event: str, **facts: Any) -> None:
        self._lines.append((level, event, facts))

    info = partialmethod(log, logging.INFO)
    warning = partialmethod(log, logging.WARNING)
    error = partialmethod(log, logging.ERROR)

    def flush(self) -> None:
        """Write all lines in order."""
        lines, self._lines = self._lines, []
        for level, event, facts in lines:
            self._log.log(level, event, **facts)
