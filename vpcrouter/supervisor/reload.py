"""Reloading the settings: when it may start, and its result."""

from vpcrouter.config.settings import Settings
from vpcrouter.model.messages import SettingsReport
from vpcrouter.supervisor import systemd
from vpcrouter.supervisor.worker import WorkerSpec
from vpcrouter.supervisor.workforce import (
    Workforce,
    obstacles,
    settings_reader,
    workforce,
)

UNREAD = ("could not read the configuration; see the log of the settings worker",)


class Reload:
    """The settings in force and their reload: one at a time, with at most one more queued.

    Owned by the supervisor's loop. For each reload the supervisor calls `begin`, which returns the
    worker that reads the settings; `take` with that worker's report; and `end` once the worker
    has exited.
    """

    def __init__(self, settings: Settings, started_at: float) -> None:
        """`started_at`: when the daemon was started (seconds since the epoch)."""
        self._settings = settings
        self._started_at = started_at
        self._is_asked = False
        self._is_under_way = False
        self._found: tuple[str, ...] = ()
        self.ended = 0
        self.faults: tuple[str, ...] = ()
        """Of the last completed reload."""

    def ask(self) -> None:
        """Request a reload; it starts as soon as possible."""
        self._is_asked = True

    def begin(self) -> WorkerSpec | None:
        """The worker that reads the settings, if a reload starts now."""
        if self._is_under_way or not self._is_asked:
            return None
        self._is_asked, self._is_under_way, self._found = False, True, UNREAD
        return settings_reader(self._settings)

    def take(self, report: SettingsReport) -> Workforce | None:
        """The workers for the new settings; None if the old settings stay in force.

        Raises an exception, and has changed nothing, for what are no settings.
        """
        new: Settings | None = report.settings
        if new is None:
            self._found = report.faults
            return None
        if not isinstance(new, Settings):
            raise TypeError(f"settings are a {type(new).__name__}")
        workers = workforce(new, self._started_at)
        self._found = (
            *obstacles(self._settings, new),
            *systemd.watchdog_faults(workers.policy),
        )
        if self._found:
            return None
        self._settings = new
        return workers

    def end(self) -> tuple[str, ...]:
        """The reading worker has exited. Returns why the old settings stay in force, or nothing."""
        self._is_under_way = False
        self.ended += 1
        self.faults = self._found
        return self.faults
