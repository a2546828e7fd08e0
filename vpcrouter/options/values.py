"""The type of option values once they are read."""

from typing import Any, Protocol


class Values(Protocol):
    """Option values by name."""

    def __getitem__(self, name: str, /) -> Any: ...
