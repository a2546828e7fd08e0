"""The options that all probing monitors have, and the times derived from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vpcrouter.health.detection import detection_sentence, worst_case_detection_s
from vpcrouter.health.isolation import IsolationPolicy
from vpcrouter.health.judge import HealthPolicy
from vpcrouter.options.kinds import Option, seconds, whole

if TYPE_CHECKING:
    from vpcrouter.options.values import Values


@dataclass(frozen=True, slots=True)
class Timing:
    """The timing of probes. All times in seconds."""

    interval_s: float
    timeout_s: float
    fastinter_s: float
    fall: int = 3
    rise: int = 2
    hold_s: float = 20.0
    isolation_share: float = 1.0

    @classmethod
    def of(cls, values: "Values", prefix: str) -> "Timing":
        """The times set by the options of `prefix`, with defaults computed."""
        interval_s = values[f"{prefix}_interval"]
        timeout_s = values[f"{prefix}_timeout"]
        fastinter_s = values[f"{prefix}_fastinter"]
        return cls(
            interval_s,
            min(0.4, 0.8 * interval_s) if timeout_s is None else timeout_s,
            max(0.05, interval_s / 10) if fastinter_s is None else fastinter_s,
            values[f"{prefix}_fall"],
            values[f"{prefix}_rise"],
            values["hold_s"],
            values["isolation_share"],
        )

    @property
    def isolation(self) -> IsolationPolicy:
        """Witnesses are probed in half the time in which a host in doubt can fail."""
        return IsolationPolicy(
            self.isolation_share,
            self.worst_case_s,
            self.interval_s + self.timeout_s,
            self.fastinter_s / 2,
        )

    @property
    def worst_case_s(self) -> float:
        """The longest time it takes to detect a failed host."""
        return worst_case_detection_s(self.interval_s, self.timeout_s, self.fall, self.fastinter_s)

    @property
    def policy(self) -> HealthPolicy:
        return HealthPolicy(self.fall, self.rise, self.hold_s)

    def describe(self) -> str:
        return detection_sentence(self.interval_s, self.timeout_s, self.fall, self.fastinter_s)


def probe_options(prefix: str) -> tuple[Option, ...]:
    """The options of one monitor, named `prefix`_interval and so on."""
    return (
        Option(f"{prefix}_interval", seconds(0.05), 2.0, "how often each host is probed"),
        Option(
            f"{prefix}_timeout",
            seconds(0.01),
            None,
            "how long to wait for the answer to a probe",
            default_text="0.4 s, but at most 0.8 of the interval",
            example="0.4",
        ),
        Option(
            f"{prefix}_fall",
            whole(1, 100),
            3,
            "consecutive misses before a host is considered failed",
        ),
        Option(
            f"{prefix}_rise",
            whole(1, 100),
            2,
            "consecutive answers, with no miss for 10 intervals, before a failed host is "
            "considered healthy",
        ),
        Option(
            f"{prefix}_fastinter",
            seconds(0.01),
            None,
            "how often a host is probed while its state is changing",
            default_text="a tenth of the interval, at least 0.05 s",
            example="0.2",
        ),
    )


def check_probe_options(prefix: str, values: "Values") -> Iterator[str]:
    """A sentence for each violated relation between the options of `prefix`."""
    interval_s, fastinter_s = values[f"{prefix}_interval"], values[f"{prefix}_fastinter"]
    yield from check_timeout(prefix, values)
    if fastinter_s is not None and fastinter_s > interval_s:
        yield (
            f"{prefix}_fastinter ({fastinter_s:g} s) must not be more than "
            f"{prefix}_interval ({interval_s:g} s)"
        )


def check_timeout(prefix: str, values: "Values") -> Iterator[str]:
    """A sentence if the time-out is not shorter than the interval."""
    interval_s, timeout_s = values[f"{prefix}_interval"], values[f"{prefix}_timeout"]
    if timeout_s is not None and timeout_s >= interval_s:
        yield (
            f"{prefix}_timeout ({timeout_s:g} s) must be less than "
            f"{prefix}_interval ({interval_s:g} s)"
        )
