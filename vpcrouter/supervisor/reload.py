"""The settings of a running daemon: who works by them, and what a reload has come to."""

import socket
from collections.abc import Mapping

from vpcrouter.config.settings import Settings
from vpcrouter.model.messages import SettingsReport
from vpcrouter.supervisor import systemd
from vpcrouter.supervisor.child import Child
from vpcrouter.supervisor.lifecycle import LifePolicy
from vpcrouter.supervisor.workforce import (
    Moves,
    Place,
    begun_at,
    moves,
    obstacles,
    places,
    settings_reader,
)


class Reloading:
    """Owned by the supervisor's loop."""

    def __init__(self, settings: Settings, listeners: Mapping[str, socket.socket]) -> None:
        """`listeners` are the sockets, by role, that outlive the workers that serve on them."""
        self.settings = settings
        self.ended = 0
        self.faults: tuple[str, ...] = ()
        self.is_under_way = False
        self.is_wanted_again = False
        self._listeners = listeners

    def children(self) -> list[Child]:
        """All workers for the settings."""
        return [self.child(place) for place in places(self.settings).values()]

    def child(self, place: Place) -> Child:
        listener = self._listeners.get(place.role)
        return Child(place.name, place.role, place.ref, self.policy, listener)

    def reader(self) -> Child:
        """The worker that reads the settings anew."""
        return self.child(settings_reader())

    @property
    def policy(self) -> LifePolicy:
        return _policy(self.settings)

    def take(self, report: SettingsReport) -> Moves | None:
        """Swap the settings, or keep the old ones: then `faults` says why."""
        if report.settings is None:
            self.faults = report.faults
            return None
        new = begun_at(report.settings, self.settings.values["started_at"])
        faults = obstacles(self.settings, new)
        self.faults = (*faults, *systemd.watchdog_faults(_policy(new)))
        if self.faults:
            return None
        found = moves(self.settings, new)
        self.settings = new
        return found


def _policy(settings: Settings) -> LifePolicy:
    return LifePolicy(silence_limit_s=settings.values["silence_limit"])
