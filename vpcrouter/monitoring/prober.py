"""Interfaces of a prober and of the uplink it sends through: see `scheduled_probes`."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from vpcrouter.monitoring.schedule import Outcome


class Prober(Protocol):
    """Sends probes and reads answers; never waits. Owned by the loop's thread."""

    @property
    def trouble(self) -> str:
        """Why the last unsent probe was not sent."""

    @property
    def answers(self) -> int:
        """How many answers `collect` has returned."""

    def counted(self) -> int | None:
        """How many the kernel received, for other programs, too; None if not available."""

    def fileno(self) -> int:
        """Readable when `collect` has something to return."""

    def set_hosts(self, hosts: Sequence[str]) -> None:
        """Probe these hosts from now on."""

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        """Send a probe to each host, numbered from `first`; return the indexes not sent."""

    def collect(self) -> Sequence[Outcome] | None:
        """Some of the received outcomes; None when there is nothing more to read.

        The times are those of arrival where known.
        """

    def expire(self, probes: Iterable[tuple[int, str]]) -> None:
        """These probes (number and host) have timed out; an answer would be too late."""

    def revive(self, hosts: Iterable[str]) -> None:
        """These hosts have answered; includes all whose earlier probes timed out."""

    def forget(self, serials: Iterable[int]) -> None:
        """These probes are no longer needed."""

    def close(self) -> None: ...


class Uplink(Protocol):
    """This machine's connection to the hosts. Owned by the loop's thread."""

    def fileno(self) -> int:
        """Readable when a link or route has changed."""

    def lost(self, hosts: Sequence[str]) -> str:
        """Why no host is reachable from here, or an empty string; never waits."""
