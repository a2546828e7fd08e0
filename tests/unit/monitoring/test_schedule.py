"""Who is probed when, and what of a probe counts."""

import pytest

from tests.unit.played_network import TIMING, names
from vpcrouter.health.judge import Judge
from vpcrouter.model.host_state import State
from vpcrouter.monitoring.lanes import NEVER_S
from vpcrouter.monitoring.schedule import Schedule


def make_schedule(*hosts: str) -> Schedule:
    schedule = Schedule(TIMING, Judge(TIMING.policy))
    schedule.set_hosts(hosts, 0.0)
    return schedule


def send_one(schedule: Schedule, now_s: float) -> int:
    batch = schedule.take(now_s, 10)
    assert batch is not None
    assert len(batch.hosts) == 1
    schedule.sent(batch, (), now_s)
    return batch.first


def test_a_probe_is_judged_once() -> None:
    schedule = make_schedule("h")
    serial = send_one(schedule, 0.0)
    schedule.collected([(serial, False, 0.1), (serial, False, 0.2), (serial, False, 0.3)], 0.3)
    assert schedule.judge.misses_left("h") == 2
    assert schedule.expire(5.0) == []
    schedule.collected([(serial, True, 0.1), (77, True, 0.1)], 5.0)
    assert schedule.judge.state("h") is State.UNKNOWN


def test_an_answer_counts_by_its_arrival_not_by_when_it_was_read() -> None:
    in_time, too_late = make_schedule("h"), make_schedule("h")
    for schedule, arrival_s in ((in_time, 0.39), (too_late, 0.41)):
        serial = send_one(schedule, 0.0)
        schedule.collected([(serial, True, arrival_s)], 0.45)
    assert in_time.judge.state("h") is State.HEALTHY
    assert too_late.judge.state("h") is State.UNKNOWN
    assert too_late.judge.misses_left("h") == 2


def test_late_answers_count_after_our_own_lateness() -> None:
    schedule = make_schedule("h")
    serial = send_one(schedule, 0.0)
    schedule.collected([(serial, True, 3.0)], 3.0, lenient=True)
    assert schedule.judge.state("h") is State.HEALTHY


def test_an_answer_withdraws_earlier_probes() -> None:
    schedule = make_schedule("h")
    first = send_one(schedule, 0.0)
    second = send_one(schedule, 0.1)
    schedule.collected([(second, True, 0.11)], 0.11)
    assert schedule.take_withdrawn() == [first]
    assert schedule.take_revived() == ["h"]
    assert schedule.expire(9.0) == []
    assert schedule.judge.state("h") is State.HEALTHY


def test_an_outcome_may_be_that_it_was_not_sent() -> None:
    schedule = make_schedule("h")
    for at_s in (0.0, 0.1, 0.2):
        serial = send_one(schedule, at_s)
        schedule.collected([(serial, None, at_s)], at_s)
    assert schedule.unsent == 3
    assert schedule.judge.misses_left("h") == 3
    assert schedule.take(0.3, 10) is None, "left the fast lane"


def test_the_second_probe_goes_out_at_once() -> None:
    schedule = make_schedule("h")
    schedule.collected([(send_one(schedule, 0.0), True, 0.0)], 0.0)
    assert schedule.expire(1.0) == []
    serial = send_one(schedule, 1.0)
    assert schedule.next_due_s(1.0) == pytest.approx(1.4)
    assert schedule.expire(1.4) == [(serial, "h")]
    assert schedule.judge.is_changing("h")
    assert schedule.next_due_s(1.4) <= 1.4
    send_one(schedule, 1.4)
    assert schedule.next_due_s(1.4) == pytest.approx(1.5)


def test_however_late_a_round_is_only_one_round() -> None:
    hosts = names(10)
    schedule = make_schedule(*hosts)
    batch = schedule.take(0.0, 100)
    assert batch is not None
    schedule.sent(batch, (), 0.0)
    schedule.collected([(serial, True, 0.0) for serial in range(10)], 0.0)
    batch = schedule.take(7.5, 100)
    assert batch is not None
    assert sorted(batch.hosts) == sorted(hosts)
    assert schedule.take(7.5, 100) is None


def test_without_hosts_nothing_is_due() -> None:
    assert make_schedule().next_due_s(0.0) == NEVER_S
