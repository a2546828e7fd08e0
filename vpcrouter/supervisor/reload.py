"""Reading the settings anew: when, and what has come of it."""

from vpcrouter.config.settings import Settings
from vpcrouter.model.messages import SettingsReport
from vpcrouter.supervisor import systemd
from vpcrouter.supervisor.worker import WorkerSpec
from vpcrouter.supervisor.workforce import (
    Workforce,
    obstacles,
    policy_of,
    settings_reader,
    workforce,
)

UNREAD = ("the settings could not be read",)


class Reload:
    """The settings in force, and the reload of them: one at a time, and one more if asked.

    Owned by the supervisor's loop. For each reload it is asked to `begin`, which gives the worker
    that reads the settings; to `take` what that worker reports; and, when the worker has ended,
    to `end`.
    """

    def __init__(self, settings: Settings, started_at: float) -> None:
        """`started_at`: when the daemon was (seconds since the epoch)."""
        self._settings = settings
        self._started_at = started_at
        self._is_asked = False
        self._is_under_way = False
        self._found: tuple[str, ...] = ()
        self.ended = 0
        self.faults: tuple[str, ...] = ()
        """Of the last reload that has ended."""

    def ask(self) -> None:
        """Have a reload, as soon as one can begin."""
        self._is_asked = True

    def begin(self) -> WorkerSpec | None:
        """The worker that reads the settings, if it is to be started now."""
        if self._is_under_way or not self._is_asked:
            return None
        self._is_asked, self._is_under_way, self._found = False, True, UNREAD
        return settings_reader(self._settings)

    def take(self, report: SettingsReport) -> Workforce | None:
        """The workers for the new settings; None where the old ones stay in force."""
        new: Settings | None = report.settings
        if new is None:
            self._found = report.faults
            return None
        self._found = (
            *obstacles(self._settings, new),
            *systemd.watchdog_faults(policy_of(new)),
        )
        if self._found:
            return None
        self._settings = new
        return workforce(new, self._started_at)

    def end(self) -> tuple[str, ...]:
        """The one that reads has ended. Why the old settings stay in force, or nothing."""
        self._is_under_way = False
        self.ended += 1
        self.faults = self._found
        return self.faults
