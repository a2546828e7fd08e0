"""Logging: one event a line as key=value, to stderr or a file, from every process alike."""

import logging
import logging.handlers
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

CONSOLE = "-"


def set_up(logfile: str, verbose: bool, worker: str) -> None:
    """Send this process's events to `logfile` (`-`: stderr), each marked with `worker`.

    A file is opened for appending and opened anew once logrotate has moved it away.
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
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "worker", "event"], bool_as_flag=False
            ),
        ],
    )
    handler: logging.Handler = (
        logging.StreamHandler(sys.stderr)
        if logfile == CONSOLE
        else logging.handlers.WatchedFileHandler(logfile)
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for ours in ("vpcrouter", "workers"):
        logging.getLogger(ours).setLevel(logging.DEBUG if verbose else logging.INFO)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of one module: `log = get(__name__)`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger
