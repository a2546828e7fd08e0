"""What AWS sets for an account: quotas, how long changes take, and whose a resource is.

Guarded by the caller: the WSGI layer serialises every call into moto.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields

MOST_ROUTES = 1000


@dataclass
class Account:
    """Quotas ("Amazon VPC quotas"), and how long instances and prefix lists are in between states.

    `routes_per_table` counts IPv4 and IPv6 apart.  With `instance_s` 0 an instance is at once what
    it is to be; a prefix list is so at the next call, as nobody's call ever sees it done.
    """

    routes_per_table: int = 500
    route_tables: int = 200
    prefix_lists: int = 100
    instance_s: float = 0.0
    prefix_list_s: float = 0.0
    owners: dict[str, str] = field(default_factory=dict)
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def change(self, **changes: float) -> None:
        """Set some of the numbers.

        Raises:
            ValueError: there is no such number, or it can't be that.
        """
        names = {each.name for each in fields(self) if each.type in ("int", "float")}
        if unknown := changes.keys() - names:
            raise ValueError(f"an account has no {', '.join(sorted(unknown))}")
        if changes.get("routes_per_table", 0) > MOST_ROUTES or min(changes.values()) < 0:
            raise ValueError(f"an account can't have {changes}")
        for name, value in changes.items():
            setattr(self, name, value)

    def owner_of(self, resource_id: str, default: str) -> str:
        """The account that owns a VPC, an instance or an interface."""
        return self.owners.get(resource_id, default)

    def later(self, after_s: float, finish: Callable[[], None]) -> None:
        """Have `finish` called by the first `settle` after that time."""
        self._later.append((time.monotonic() + after_s, finish))

    def settle(self) -> bool:
        """Finish what is due; whether anything was."""
        now = time.monotonic()
        due = [finish for at, finish in self._later if at <= now]
        self._later = [item for item in self._later if item[0] > now]
        for finish in due:
            finish()
        return bool(due)

    def reset(self) -> None:
        """As at the start."""
        self.__init__()  # type: ignore[misc]


ACCOUNT = Account()
