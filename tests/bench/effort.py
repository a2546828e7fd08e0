"""How much is measured: all of it takes over two hours, CI has a minute."""

from collections.abc import Collection
from dataclasses import dataclass

FULL_RUNS = 100
SHORT_RUNS = 10


@dataclass(frozen=True, slots=True)
class Effort:
    """What follows from the number of runs of each failover.

    `rows` has the failovers that are measured, if not all are, by hosts and interval in seconds.
    """

    runs: int = FULL_RUNS
    rows: Collection[tuple[int, float]] = ()

    @property
    def is_short(self) -> bool:
        """Whether it is only to show that everything can be measured."""
        return self.runs < SHORT_RUNS

    @property
    def share(self) -> float:
        return min(1.0, self.runs / FULL_RUNS)

    @property
    def crowds(self) -> tuple[int, ...]:
        """Numbers of hosts at which failovers are measured."""
        return (100,) if self.is_short else (2, 1_000, 5_000)

    @property
    def failovers(self) -> list[tuple[int, float]]:
        """Numbers of hosts and intervals at which they are measured."""
        intervals_s = (0.1,) if self.is_short else (0.1, 1.0)
        every = [(hosts, each_s) for each_s in intervals_s for hosts in self.crowds]
        return [row for row in every if not self.rows or row in self.rows]

    @property
    def probed_hosts(self) -> int:
        return 1_000 if self.is_short else 10_000

    @property
    def rounds(self) -> int:
        """So many times each prober probes all hosts."""
        return 3 if self.is_short else 10

    @property
    def bursts(self) -> tuple[int, ...]:
        """Numbers of routes that one host carries."""
        return (1, 20) if self.is_short else (1, 50, 250, 1_000)

    @property
    def watched_probes(self) -> int:
        """So many probes are watched for a false failure, idle and busy."""
        return 100_000 if self.is_short else round(10_000_000 * self.share)

    @property
    def large_runs(self) -> int:
        """Failovers in a VPC that takes seconds to read."""
        return max(1, self.runs // 2)

    @property
    def starts(self) -> int:
        return 1 if self.is_short else 5

    @property
    def memory_s(self) -> float:
        """For so long memory is to stay as it is."""
        return 5.0 if self.is_short else 3_600 * self.share

    @property
    def looks(self) -> int:
        """So many looks at a VPC are measured."""
        return 3 if self.is_short else 50

    @property
    def interfaces(self) -> tuple[int, ...]:
        """Numbers of interfaces in a VPC."""
        return (500, 5_000) if self.is_short else (500, 5_000, 20_000)

    @property
    def growth(self) -> tuple[int, ...]:
        """Numbers of hosts that are simulated."""
        return (100, 1_000) if self.is_short else (100, 1_000, 5_000, 20_000, 50_000, 200_000)
