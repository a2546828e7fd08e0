"""What befalls one host by real kernels' doing, and is undone again."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from tests.net.rules import Unresolved
from tests.net.testbed import Testbed


class Deed(ABC):
    @abstractmethod
    def begin(self, bed: Testbed, host: str) -> None: ...

    @abstractmethod
    def end(self, bed: Testbed, host: str) -> None: ...


@dataclass(frozen=True)
class Route(Deed):
    """A route that refuses what is for the host: the monitor's machine's, or the far router's.

    `kind` is unreachable, prohibit, throw or blackhole (ip-route(8)).
    """

    side: str
    kind: str

    def begin(self, bed: Testbed, host: str) -> None:
        bed.route(self.side, "add", host, self.kind)

    def end(self, bed: Testbed, host: str) -> None:
        bed.route(self.side, "del", host, self.kind)


class AddressGone(Deed):
    """No machine has the address of an on-link host any more."""

    def begin(self, bed: Testbed, host: str) -> None:
        bed.net.address("del", host)

    def end(self, bed: Testbed, host: str) -> None:
        bed.net.address("add", host)


class NoNeighbour(Deed):
    """Nobody answers ARP, or neighbour discovery, for an on-link host."""

    def begin(self, bed: Testbed, host: str) -> None:
        bed.rules({host: Unresolved()})
        bed.forget_neighbour(host)

    def end(self, bed: Testbed, host: str) -> None:
        bed.rules({host: None})


class FullQueue(Deed):
    """As many connections wait for a narrow host as may, and none is accepted."""

    def begin(self, bed: Testbed, host: str) -> None:
        bed.fill_queue(host)

    def end(self, bed: Testbed, host: str) -> None:
        bed.drain_queue(host)
