"""The states of a worker, as Supervisor defines them, and all transitions between them.

Pure: time is an argument; the supervisor acts on what `due` returns.
"""

import enum
import random
from dataclasses import dataclass

from supervisor.states import ProcessStates

from vpcrouter.backoff import backoff_s, jittered_s
from vpcrouter.errors import EX_CONFIG


class LifeStep(enum.Enum):
    """What the supervisor has to do now."""

    START = "start"
    ABORT = "abort"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class LifePolicy:
    """Durations in seconds. After `early_deaths` failed starts in a row a worker is FATAL."""

    startsecs: float = 1.0
    silence_limit_s: float = 20.0
    abort_grace_s: float = 1.0
    stop_grace_s: float = 2.0
    backoff_min_s: float = 0.1
    backoff_max_s: float = 10.0
    early_deaths: int = 10
    fatal_retry_s: float = 60.0
    start_allowance_s: float = 10.0

    @property
    def longest_silence_s(self) -> float:
        """From a hung worker's last heartbeat to the first one of its next generation."""
        return (
            self.silence_limit_s + self.abort_grace_s + self.backoff_min_s + self.start_allowance_s
        )


class Lifecycle:
    """One worker's state over its generations."""

    def __init__(self, policy: LifePolicy, rng: random.Random) -> None:
        self.policy = policy
        self.state: int = ProcessStates.STOPPED
        self.generation = 0
        self.early_deaths = 0
        self.last_exit = ""
        self.exit_status = 0
        self.spawn_error = ""
        self._rng = rng
        self._started_s = 0.0
        self._beat_s = 0.0
        self._has_beaten = False
        self._next_start_s: float | None = None
        self._kill_s: float | None = None

    @property
    def is_alive(self) -> bool:
        return self.state in (ProcessStates.STARTING, ProcessStates.RUNNING, ProcessStates.STOPPING)

    def want(self, now_s: float) -> None:
        """STOPPED, EXITED, FATAL → a start is due at once."""
        if not self.is_alive:
            self.early_deaths = 0
            self._next_start_s = now_s

    def retry(self, now_s: float) -> None:
        """FATAL → another start attempt after `fatal_retry_s`."""
        if self.state == ProcessStates.FATAL:
            self.early_deaths = 0
            self._next_start_s = now_s + self.policy.fatal_retry_s

    def started(self, now_s: float) -> None:
        """→ STARTING."""
        self.state = ProcessStates.STARTING
        self.generation += 1
        self._started_s = self._beat_s = now_s
        self._has_beaten = False
        self._next_start_s = self._kill_s = None
        self.spawn_error = ""

    def beat(self, now_s: float) -> None:
        """A heartbeat. STARTING → RUNNING once it has run for `startsecs`."""
        self._beat_s = now_s
        self._has_beaten = True
        if (
            self.state == ProcessStates.STARTING
            and now_s - self._started_s >= self.policy.startsecs
        ):
            self.state = ProcessStates.RUNNING
            self.early_deaths = 0

    def stop(self, now_s: float) -> None:
        """STARTING, RUNNING → STOPPING; BACKOFF → STOPPED."""
        self._next_start_s = None
        if self.state in (ProcessStates.STARTING, ProcessStates.RUNNING):
            self.state = ProcessStates.STOPPING
            self._kill_s = now_s + self.policy.stop_grace_s
        elif self.state == ProcessStates.BACKOFF:
            self.state = ProcessStates.STOPPED

    def exited(self, now_s: float, status: int) -> None:
        """The process has exited: STOPPING → STOPPED; STARTING, RUNNING → BACKOFF or FATAL."""
        self._kill_s = None
        self.exit_status = status
        self.last_exit = f"signal {-status}" if status < 0 else f"status {status}"
        if self.state == ProcessStates.STARTING:
            self.spawn_error = "Exited too quickly (process log may have details)"
        elif self.state == ProcessStates.RUNNING:
            self.spawn_error = f"Exited with {self.last_exit} (process log may have details)"
        if self.state == ProcessStates.STOPPING:
            self.state = ProcessStates.STOPPED
        elif status == EX_CONFIG or self._is_too_early():
            self.state = ProcessStates.FATAL
        else:
            self._back_off(now_s)

    def _is_too_early(self) -> bool:
        if self.state != ProcessStates.STARTING:
            return False
        self.early_deaths += 1
        return self.early_deaths >= self.policy.early_deaths

    def _back_off(self, now_s: float) -> None:
        policy = self.policy
        delay_s = backoff_s(self.early_deaths + 1, policy.backoff_min_s, policy.backoff_max_s)
        self.state = ProcessStates.BACKOFF
        self._next_start_s = now_s + jittered_s(delay_s, self._rng.uniform)

    def due(self, now_s: float, *, is_held: bool = False) -> LifeStep | None:
        """The step that is due; the caller reports it with `started`, `aborted` or `killed`.

        `is_held`: its process is stopped (SIGSTOP), so the start allowance does not apply.
        """
        deadline_s = self.deadline_s(is_held=is_held)
        if deadline_s is None or now_s < deadline_s:
            return None
        if self._next_start_s is not None:
            return LifeStep.START
        return LifeStep.KILL if self._kill_s is not None else LifeStep.ABORT

    def hung_up(self, now_s: float) -> None:
        """Its channel is closed; SIGKILL follows if it does not exit."""
        if self._kill_s is None:
            self._kill_s = now_s + self.policy.abort_grace_s

    def aborted(self, now_s: float) -> None:
        """SIGABRT was sent after a lost heartbeat; SIGKILL follows if it does not exit."""
        self._kill_s = now_s + self.policy.abort_grace_s

    def killed(self, now_s: float) -> None:
        """SIGKILL was sent; it is repeated until the process is gone."""
        self._kill_s = now_s + 1.0

    def deadline_s(self, *, is_held: bool = False) -> float | None:
        """When the next step is due unless something happens before."""
        if self._next_start_s is not None:
            return self._next_start_s
        if self._kill_s is not None:
            return self._kill_s
        if self.state in (ProcessStates.STARTING, ProcessStates.RUNNING):
            limit_s = self.policy.silence_limit_s
            if not self._has_beaten and not is_held:
                limit_s = max(limit_s, self.policy.start_allowance_s)
            return self._beat_s + limit_s
        return None
