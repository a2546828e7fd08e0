"""A change of one route: what a plan is made of, and what becomes a call to EC2. Pure."""

import enum
from typing import NamedTuple

from vpcrouter.model.view import Route, RouteKey


class Action(enum.StrEnum):
    """What a change does to its route."""

    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"


class Urgency(enum.IntEnum):
    """The order in which changes are made."""

    FAILED = 0
    MISSING = 1
    HOUSEKEEPING = 2
    UNWANTED = 3


class Change(NamedTuple):
    """One call to EC2. `interface` is the new target, None for a delete; `was` the old one.

    A tuple, as a plan may have many thousands.
    """

    urgency: Urgency
    table: str
    cidr: str
    action: Action
    interface: str | None
    host: str | None
    was: str | None
    was_host: str | None = None

    @property
    def key(self) -> RouteKey:
        return RouteKey(self.table, self.cidr)

    def route(self) -> Route | None:
        """The route as it is once the change is made."""
        return None if self.interface is None else Route(self.cidr, self.interface)

    def __str__(self) -> str:
        if self.action is Action.DELETE:
            return f"delete {self.cidr} in {self.table} (to {self.was})"
        was = f" from {self.was_host or self.was}" if self.was else ""
        return f"{self.action} {self.cidr} in {self.table}{was} to {self.host} ({self.interface})"
