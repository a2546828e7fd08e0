"""A worker's states: each way from one to another."""

import random
from collections.abc import Callable

import pytest
from supervisor.states import ProcessStates

from vpcrouter.errors import EX_CONFIG
from vpcrouter.supervisor.lifecycle import Lifecycle, LifePolicy, LifeStep

NOW_S = 1000.0
POLICY = LifePolicy(
    startsecs=1.0,
    silence_limit_s=20.0,
    abort_grace_s=1.5,
    stop_grace_s=2.0,
    backoff_min_s=0.1,
    backoff_max_s=5.0,
    early_deaths=4,
)


class LongestPauses(random.Random):
    """Jitter that adds nothing."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def stopped() -> Lifecycle:
    return Lifecycle(POLICY, LongestPauses())


def starting() -> Lifecycle:
    life = stopped()
    life.want(NOW_S)
    life.started(NOW_S)
    return life


def running() -> Lifecycle:
    life = starting()
    life.beat(NOW_S + POLICY.startsecs)
    return life


def stopping() -> Lifecycle:
    life = running()
    life.stop(NOW_S)
    return life


def in_backoff() -> Lifecycle:
    life = running()
    life.exited(NOW_S, 1)
    return life


def fatal() -> Lifecycle:
    life = running()
    life.exited(NOW_S, EX_CONFIG)
    return life


@pytest.mark.parametrize(
    ("make", "state", "is_alive"),
    [
        (stopped, ProcessStates.STOPPED, False),
        (starting, ProcessStates.STARTING, True),
        (running, ProcessStates.RUNNING, True),
        (stopping, ProcessStates.STOPPING, True),
        (in_backoff, ProcessStates.BACKOFF, False),
        (fatal, ProcessStates.FATAL, False),
    ],
)
def test_the_states(make: Callable[[], Lifecycle], state: int, is_alive: bool) -> None:
    assert make().state == state
    assert make().is_alive is is_alive


# Starting


def test_stopped_and_not_wanted_nothing_is_due() -> None:
    assert stopped().due(NOW_S) is None
    assert stopped().deadline_s() is None


@pytest.mark.parametrize("make", [stopped, in_backoff, fatal])
def test_wanted_it_is_started_at_once(make: Callable[[], Lifecycle]) -> None:
    life = make()
    life.want(NOW_S)
    assert life.due(NOW_S) is LifeStep.START


@pytest.mark.parametrize("make", [starting, running, stopping])
def test_wanted_while_alive_changes_nothing(make: Callable[[], Lifecycle]) -> None:
    life = make()
    life.want(NOW_S)
    assert life.due(NOW_S) is None


def test_stopped_to_starting_is_a_new_generation() -> None:
    life = stopped()
    life.want(NOW_S)
    life.started(NOW_S)
    assert life.state == ProcessStates.STARTING
    assert life.generation == 1
    assert life.due(NOW_S) is None


def test_backoff_to_starting_is_a_new_generation() -> None:
    life = in_backoff()
    life.started(NOW_S + 1)
    assert life.state == ProcessStates.STARTING
    assert life.generation == 2


def test_starting_stays_until_it_has_stood_for_startsecs() -> None:
    life = starting()
    life.beat(NOW_S + POLICY.startsecs - 0.01)
    assert life.state == ProcessStates.STARTING


def test_starting_without_a_sign_of_life_is_not_running() -> None:
    life = starting()
    assert life.due(NOW_S + POLICY.startsecs + 1) is None
    assert life.state == ProcessStates.STARTING


def test_starting_to_running_by_a_sign_of_life_after_startsecs() -> None:
    life = starting()
    life.beat(NOW_S + POLICY.startsecs)
    assert life.state == ProcessStates.RUNNING


# Ending by itself


@pytest.mark.parametrize("status", [0, 1, -9])
def test_running_to_backoff_by_an_exit(status: int) -> None:
    life = running()
    life.exited(NOW_S, status)
    assert life.state == ProcessStates.BACKOFF
    assert life.due(NOW_S) is None
    assert life.due(NOW_S + POLICY.backoff_min_s) is LifeStep.START


def test_starting_to_backoff_by_an_exit() -> None:
    life = starting()
    life.exited(NOW_S, 1)
    assert life.state == ProcessStates.BACKOFF
    assert life.early_deaths == 1


@pytest.mark.parametrize("make", [starting, running])
def test_to_fatal_by_the_exit_status_of_wrong_settings(make: Callable[[], Lifecycle]) -> None:
    life = make()
    life.exited(NOW_S, EX_CONFIG)
    assert life.state == ProcessStates.FATAL
    assert life.exit_status == EX_CONFIG
    assert life.deadline_s() is None


def test_starting_to_fatal_by_too_many_early_deaths() -> None:
    life = stopped()
    for _ in range(POLICY.early_deaths):
        assert life.state in (ProcessStates.STOPPED, ProcessStates.BACKOFF)
        life.started(NOW_S)
        life.exited(NOW_S, 1)
    assert life.state == ProcessStates.FATAL
    assert life.due(NOW_S + 1000) is None


def test_running_once_the_early_deaths_are_forgotten() -> None:
    life = stopped()
    for _ in range(POLICY.early_deaths - 1):
        life.started(NOW_S)
        life.exited(NOW_S, 1)
    life.started(NOW_S)
    life.beat(NOW_S + POLICY.startsecs)
    assert life.early_deaths == 0
    life.exited(NOW_S + 100, 1)
    assert life.state == ProcessStates.BACKOFF


def test_pauses_double_up_to_the_longest() -> None:
    life = Lifecycle(LifePolicy(backoff_min_s=0.1, backoff_max_s=1.0), LongestPauses())
    pauses_s = []
    for _ in range(6):
        life.started(NOW_S)
        life.exited(NOW_S, 1)
        pauses_s.append(round((life.deadline_s() or 0) - NOW_S, 6))
    assert pauses_s == [0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


def test_pauses_are_jittered_by_at_most_a_half() -> None:
    pauses_s = set()
    for seed in range(50):
        life = Lifecycle(POLICY, random.Random(seed))  # noqa: S311
        life.started(NOW_S)
        life.exited(NOW_S, 1)
        pauses_s.add((life.deadline_s() or 0) - NOW_S)
    assert len(pauses_s) > 10
    assert min(pauses_s) >= POLICY.backoff_min_s
    assert max(pauses_s) <= POLICY.backoff_min_s * 2


@pytest.mark.parametrize(
    ("status", "last_exit"), [(0, "status 0"), (78, "status 78"), (-9, "signal 9")]
)
def test_how_it_ended_is_told(status: int, last_exit: str) -> None:
    life = running()
    life.exited(NOW_S, status)
    assert life.last_exit == last_exit


# Silence


@pytest.mark.parametrize("make", [starting, running])
def test_silent_for_too_long_it_is_aborted(make: Callable[[], Lifecycle]) -> None:
    life = make()
    life.beat(NOW_S)
    assert life.due(NOW_S + POLICY.silence_limit_s - 0.01) is None
    assert life.due(NOW_S + POLICY.silence_limit_s) is LifeStep.ABORT


def test_until_its_first_sign_of_life_it_has_the_time_that_a_start_takes() -> None:
    impatient = LifePolicy(silence_limit_s=5, start_allowance_s=10)
    life = Lifecycle(impatient, LongestPauses())
    life.started(NOW_S)
    assert life.deadline_s() == NOW_S + 10
    life.beat(NOW_S + 8)
    assert life.deadline_s() == NOW_S + 13


def test_stopped_while_it_starts_it_has_no_more_time_than_any_other() -> None:
    impatient = LifePolicy(silence_limit_s=5, start_allowance_s=10)
    life = Lifecycle(impatient, LongestPauses())
    life.started(NOW_S)
    assert life.due(NOW_S + 4.9, is_held=True) is None
    assert life.due(NOW_S + 5, is_held=False) is None
    assert life.due(NOW_S + 5, is_held=True) is LifeStep.ABORT


def test_a_hung_worker_and_the_start_of_the_next_are_the_longest_silence() -> None:
    assert POLICY.longest_silence_s == pytest.approx(20 + 1.5 + 0.1 + 10)


def test_a_sign_of_life_puts_the_abort_off() -> None:
    life = running()
    life.beat(NOW_S + 10)
    assert life.deadline_s() == NOW_S + 10 + POLICY.silence_limit_s


def test_aborted_and_still_there_it_is_killed() -> None:
    life = running()
    life.aborted(NOW_S)
    assert life.due(NOW_S + POLICY.abort_grace_s - 0.01) is None
    assert life.due(NOW_S + POLICY.abort_grace_s) is LifeStep.KILL


def test_aborted_and_gone_it_is_started_anew() -> None:
    life = running()
    life.aborted(NOW_S)
    life.exited(NOW_S, -6)
    assert life.state == ProcessStates.BACKOFF
    assert life.due(NOW_S + 1) is LifeStep.START


def test_killed_and_still_there_it_is_killed_again() -> None:
    life = running()
    life.aborted(NOW_S)
    life.killed(NOW_S + 2)
    assert life.due(NOW_S + 2) is None
    assert life.due(NOW_S + 3) is LifeStep.KILL


def test_hung_up_and_still_there_it_is_killed() -> None:
    life = running()
    life.hung_up(NOW_S)
    assert life.due(NOW_S) is None
    assert life.due(NOW_S + POLICY.abort_grace_s) is LifeStep.KILL


def test_hung_up_twice_it_is_not_killed_later() -> None:
    life = running()
    life.hung_up(NOW_S)
    life.hung_up(NOW_S + 1)
    assert life.deadline_s() == NOW_S + POLICY.abort_grace_s


def test_a_new_generation_has_none_of_the_last_ones_deadlines() -> None:
    life = running()
    life.aborted(NOW_S)
    life.exited(NOW_S, -6)
    life.started(NOW_S + 50)
    assert life.deadline_s() == NOW_S + 50 + POLICY.silence_limit_s


# Being stopped


@pytest.mark.parametrize("make", [starting, running])
def test_to_stopping(make: Callable[[], Lifecycle]) -> None:
    life = make()
    life.stop(NOW_S)
    assert life.state == ProcessStates.STOPPING
    assert life.due(NOW_S) is None


def test_stopping_and_still_there_it_is_killed() -> None:
    assert stopping().due(NOW_S + POLICY.stop_grace_s) is LifeStep.KILL


@pytest.mark.parametrize("status", [0, 1, -9, EX_CONFIG])
def test_stopping_to_stopped_by_any_exit(status: int) -> None:
    life = stopping()
    life.exited(NOW_S, status)
    assert life.state == ProcessStates.STOPPED
    assert life.deadline_s() is None


def test_stopping_a_sign_of_life_changes_nothing() -> None:
    life = stopping()
    life.beat(NOW_S + 1)
    assert life.state == ProcessStates.STOPPING
    assert life.deadline_s() == NOW_S + POLICY.stop_grace_s


def test_backoff_to_stopped_without_another_start() -> None:
    life = in_backoff()
    life.stop(NOW_S)
    assert life.state == ProcessStates.STOPPED
    assert life.due(NOW_S + 1000) is None


def test_wanted_and_stopped_before_it_started() -> None:
    life = stopped()
    life.want(NOW_S)
    life.stop(NOW_S)
    assert life.state == ProcessStates.STOPPED
    assert life.due(NOW_S) is None


def test_fatal_stays_fatal_when_stopped() -> None:
    life = fatal()
    life.stop(NOW_S)
    assert life.state == ProcessStates.FATAL


@pytest.mark.parametrize(
    ("make", "status", "spawn_error"),
    [
        (starting, 1, "Exited too quickly (process log may have details)"),
        (running, -9, "Exited with signal 9 (process log may have details)"),
        (stopping, -15, ""),
    ],
)
def test_what_went_wrong_is_told_until_the_next_start(
    make: Callable[[], Lifecycle], status: int, spawn_error: str
) -> None:
    life = make()
    life.exited(NOW_S, status)
    assert life.spawn_error == spawn_error
    life.started(NOW_S)
    assert life.spawn_error == ""
