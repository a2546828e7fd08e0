"""What a monitor of many hosts probes with, and through: see `scheduled_probes`."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from vpcrouter.monitoring.schedule import Outcome


class Prober(Protocol):
    """Sends probes and reads answers; never waits. Owned by the loop's thread."""

    @property
    def trouble(self) -> str:
        """Why the last probe that was not sent was not."""

    @property
    def answers(self) -> int:
        """How many answers `collect` has told of."""

    def counted(self) -> int | None:
        """How many the kernel has seen, others' among them; None where it does not say."""

    def fileno(self) -> int:
        """Readable when `collect` has something."""

    def set_hosts(self, hosts: Sequence[str]) -> None:
        """These hosts are probed from now on."""

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        """Send a probe to each host, numbered from `first`; return the indexes not sent."""

    def collect(self) -> Sequence[Outcome] | None:
        """Some of what came in; None when there is nothing more to read.

        The times are of the arrival where that is known.
        """

    def expire(self, probes: Iterable[tuple[int, str]]) -> None:
        """These probes (number and host) timed out; an answer would come too late."""

    def revive(self, hosts: Iterable[str]) -> None:
        """These hosts answered; each whose probe had timed out is among them."""

    def forget(self, serials: Iterable[int]) -> None:
        """These probes are of no interest any more."""

    def close(self) -> None: ...


class Uplink(Protocol):
    """Our own way to the hosts. Owned by the loop's thread."""

    def fileno(self) -> int:
        """Readable when something of it has changed."""

    def lost(self, hosts: Sequence[str]) -> str:
        """Why none of the hosts can be reached from here, or nothing; never waits."""
