"""Verifies changes although reads may be older than the write.

EC2 is eventually consistent: for seconds a describe can show the old route, and a stale
answer can follow a fresh one. So the old value, read soon after a change was accepted, counts
as a stale read, and any other value as a change made by somebody else. A read that began before the
change was accepted can only show that it was made, however long the read then took.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from vpcrouter.model.view import RouteKey, View
from vpcrouter.routing.change import Change

SETTLE_S = 10.0


@dataclass(frozen=True, slots=True)
class Expectation:
    """A change that EC2 accepted at `accepted_s`, and when it was seen (both monotonic)."""

    change: Change
    accepted_s: float
    seen_s: float | None = None


class Expectations:
    """The accepted changes of the last `SETTLE_S` seconds."""

    def __init__(self) -> None:
        self._by_key: dict[RouteKey, Expectation] = {}

    def accept(self, change: Change, now_s: float) -> None:
        self._by_key[change.key] = Expectation(change, now_s)

    def correct(
        self, view: View, now_s: float, took_s: float = 0.0
    ) -> tuple[View, tuple[Expectation, ...]]:
        """`view` with stale reads corrected, and the changes that it shows for the first time.

        Reading it `took_s` until now.
        """
        began_s = now_s - took_s
        self._forget_old(began_s)
        routes = {table.id: table.routes for table in view.tables}
        overlay = []
        seen = []
        for key, expected in self._by_key.items():
            route = routes.get(key.table, {}).get(key.cidr)
            shown = route.target if route else None
            if shown == expected.change.interface:
                if expected.seen_s is None:
                    seen.append(replace(expected, seen_s=now_s))
            elif key.table in routes and (
                shown == expected.change.was or expected.accepted_s > began_s
            ):
                overlay.append((key, expected.change.route()))
        for each in seen:
            self._by_key[each.change.key] = each
        return view.with_routes(overlay), tuple(seen)

    def unseen(self) -> bool:
        """Whether an accepted change has not been verified yet."""
        return any(expected.seen_s is None for expected in self._by_key.values())

    def _forget_old(self, read_s: float) -> None:
        self._by_key = {
            key: expected
            for key, expected in self._by_key.items()
            if read_s - expected.accepted_s < SETTLE_S
        }


def changed(view: View, changes: Iterable[Change]) -> View:
    """`view` as it is once `changes` are made."""
    routes: Mapping[RouteKey, Change] = {change.key: change for change in changes}
    return view.with_routes((key, change.route()) for key, change in routes.items())
