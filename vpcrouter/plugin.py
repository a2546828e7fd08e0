"""The API for watcher and monitor plugins: everything they import from vpcrouter.

The names in `__all__` are stable, as documented in docs/plugins.md, until the next major version.
All other modules may change at any time. `vpcrouter.testing` has helpers for plugin tests.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vpcrouter.errors import ConfigError, SpecError
from vpcrouter.ipc.mailbox import Mailbox, StopWorker
from vpcrouter.logs.setup import get as get_logger
from vpcrouter.model.spec import MAX_SPEC_BYTES, Document, parse_spec
from vpcrouter.monitoring.check_rounds import CheckRounds, Source
from vpcrouter.monitoring.monitor_loop import MonitorLoop
from vpcrouter.options.kinds import CIDRS, PATH, SWITCH, TEXT, Kind, Option, seconds, share, whole
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Monitor, Watcher

__all__ = [  # noqa: RUF022 - in the order of docs/plugins.md
    # every plugin
    "Values",
    "Mailbox",
    "StopWorker",
    "ConfigError",
    "get_logger",
    # options
    "Option",
    "Kind",
    "TEXT",
    "PATH",
    "SWITCH",
    "CIDRS",
    "seconds",
    "whole",
    "share",
    # watchers
    "Watcher",
    "Document",
    "SpecError",
    "parse_spec",
    "MAX_SPEC_BYTES",
    # watchers of keys in etcd
    "EtcdFollower",
    "EtcdAccess",
    "EtcdKeys",
    "etcd_urls",
    # monitors
    "Monitor",
    "MonitorLoop",
    "CheckRounds",
    "Source",
    # monitors that probe each host on its own schedule
    "ProbingMonitor",
    "Prober",
    "Outcome",
]

if TYPE_CHECKING:
    from vpcrouter.etcd.follower import EtcdAccess, EtcdFollower, EtcdKeys, etcd_urls
    from vpcrouter.monitoring.prober import Prober
    from vpcrouter.monitoring.schedule import Outcome
    from vpcrouter.plugins.probing_monitor import ProbingMonitor
else:
    # Loaded on first use, because most plugins need none: urllib3 alone is large. Hidden from
    # type checkers, for which this function would make every name valid.
    _ON_USE = {
        "vpcrouter.etcd.follower": {"EtcdAccess", "EtcdFollower", "EtcdKeys", "etcd_urls"},
        "vpcrouter.monitoring.prober": {"Prober"},
        "vpcrouter.monitoring.schedule": {"Outcome"},
        "vpcrouter.plugins.probing_monitor": {"ProbingMonitor"},
    }

    def __getattr__(name: str) -> object:
        for module, names in _ON_USE.items():
            if name in names:
                return getattr(import_module(module), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
