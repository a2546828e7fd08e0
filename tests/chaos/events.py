"""What a plan is made of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """`what` is done to `of`, at `at_s` of the burst, for `for_s`; `number` seeds the details."""

    at_s: float
    kind: str
    what: str
    of: str = ""
    for_s: float = 0.0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Burst:
    """Faults that come close together; a quiet gap follows."""

    number: int
    theme: str
    events: tuple[Event, ...]
