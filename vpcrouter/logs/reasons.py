"""The reasons of failed health checks, logged when they change."""

from collections.abc import Iterable

from vpcrouter.logs import setup as logs

log = logs.get(__name__)


class Reasons:
    """The last reason of each host that has one."""

    def __init__(self, monitor: str) -> None:
        self._monitor = monitor
        self._of: dict[str, str] = {}

    def note(self, host: str, reason: str) -> None:
        """Record why the check of `host` failed."""
        is_new = self._of.get(host) != reason
        self._of[host] = reason
        (log.warning if is_new else log.debug)(
            "health check failed", monitor=self._monitor, host=host, reason=reason
        )

    def clear(self, host: str) -> None:
        """Record that the check of `host` passed."""
        if self._of.pop(host, None) is not None:
            log.info("health check passes again", monitor=self._monitor, host=host)

    def keep(self, hosts: Iterable[str]) -> None:
        """Forget all but these hosts."""
        for host in self._of.keys() - set(hosts):
            del self._of[host]
