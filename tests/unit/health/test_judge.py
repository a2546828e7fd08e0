"""The judgement of hosts and its merging, as tables and as rules that always hold."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpcrouter.health.detection import detection_sentence, worst_case_detection_s
from vpcrouter.health.judge import HealthPolicy, Judge
from vpcrouter.model.host_state import Health, State, merge
from vpcrouter.model.messages import HealthReport, Hosts

H = "10.0.0.1"
POLICY = HealthPolicy(fall=3, rise=2, hold_s=10.0)
HEALTHY, QUESTIONABLE, FAILED, UNKNOWN = (
    State.HEALTHY,
    State.QUESTIONABLE,
    State.FAILED,
    State.UNKNOWN,
)


def make_judge(policy: HealthPolicy = POLICY) -> Judge:
    judge = Judge(policy)
    judge.set_hosts([H], 0.0)
    return judge


def changes(event: Callable[..., None], judge: Judge, at_s: float, **how: bool) -> bool:
    """Whether such an event of the host changes what the judge reports."""
    judge.records.changed = False
    event(H, at_s, **how)
    return judge.records.changed


def play(judge: Judge, events: str, step_s: float = 1.0, from_s: float = 0.0) -> float:
    """One event every `step_s`; returns the time of the last.

    a answered, q answered to be questionable, m missed, u unsent.
    """
    at_s = from_s
    for event in events:
        at_s += step_s
        before = judge.state(H)
        if event == "q":
            has_changed = changes(judge.answered, judge, at_s, questionable=True)
        else:
            act = {"a": judge.answered, "m": judge.missed, "u": judge.unsent}[event]
            has_changed = changes(act, judge, at_s)
        assert has_changed == (judge.state(H) is not before)
    return at_s


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ("", UNKNOWN),
        ("a", HEALTHY),
        ("m", UNKNOWN),
        ("mm", UNKNOWN),
        ("mmm", FAILED),
        ("mma", HEALTHY),
        ("am", HEALTHY),
        ("ama", HEALTHY),
        ("amm", HEALTHY),
        ("ammm", FAILED),
        ("ammamm", HEALTHY),
        ("ammammm", FAILED),
        ("auu", HEALTHY),
        ("auuu", UNKNOWN),
        ("auuuuuuuu", UNKNOWN),
        ("auuauua", HEALTHY),
        ("auumuum", HEALTHY),
        ("auuua", HEALTHY),
        ("ammuuu", UNKNOWN),
        ("ammuuumm", UNKNOWN),
        ("amumum", FAILED),
        ("mmmuuu", FAILED),
        ("mmmaa", FAILED),
        ("mmm" + "a" * 9, FAILED),
        ("mmm" + "a" * 10, HEALTHY),
        ("mmm" + "a" * 9 + "m" + "a" * 9, FAILED),
        ("mmm" + "a" * 9 + "m" + "a" * 10, HEALTHY),
        ("mmm" + "a" * 9 + "uuu" + "a" * 10, FAILED),
        ("mmm" + "a" * 9 + "uuu" + "a" * 11, HEALTHY),
        ("mmm" + "a" * 10 + "mm", HEALTHY),
        ("q", QUESTIONABLE),
        ("aq", QUESTIONABLE),
        ("qa", HEALTHY),
        ("aqa", HEALTHY),
        ("aqmm", QUESTIONABLE),
        ("aqmmm", FAILED),
        ("mmqmm", QUESTIONABLE),
        ("quu", QUESTIONABLE),
        ("quuu", UNKNOWN),
        ("mmm" + "q" * 9, FAILED),
        ("mmm" + "q" * 10, QUESTIONABLE),
        ("mmm" + "a" * 9 + "q", QUESTIONABLE),
    ],
)
def test_state_after_events(events: str, state: State) -> None:
    judge = make_judge()
    play(judge, events)
    assert judge.state(H) is state
    sets = {
        HEALTHY: judge.records.healthy,
        QUESTIONABLE: judge.records.questionable,
        FAILED: judge.records.failed,
    }
    assert {which for which, hosts in sets.items() if H in hosts} == {state} - {UNKNOWN}
    assert (H in judge.records.failed_since) == (state is FAILED)


@pytest.mark.parametrize(
    ("events", "is_changing", "misses_left"),
    [
        ("", True, 3),
        ("m", True, 2),
        ("a", False, 3),
        ("am", True, 2),
        ("amm", True, 1),
        ("amma", False, 3),
        ("ammm", False, 3),
        ("ammma", False, 3),
        ("auuu", True, 3),
    ],
)
def test_what_is_in_the_balance(events: str, is_changing: bool, misses_left: int) -> None:
    judge = make_judge()
    play(judge, events)
    assert judge.is_changing(H) == is_changing
    assert judge.misses_left(H) == misses_left
    assert not judge.is_changing("10.9.9.9")


def test_rise_is_needed_besides_the_hold() -> None:
    judge = make_judge()
    last_s = play(judge, "mmm")
    assert not changes(judge.answered, judge, last_s + 60)
    assert changes(judge.answered, judge, last_s + 61)


def test_a_miss_between_answers_begins_the_rise_anew() -> None:
    judge = make_judge(HealthPolicy(fall=3, rise=2, hold_s=0.0))
    play(judge, "mmmama")
    assert judge.state(H) is FAILED
    play(judge, "a", from_s=6.0)
    assert judge.state(H) is HEALTHY


def test_failed_since_is_the_failing_miss_and_stays() -> None:
    judge = make_judge()
    play(judge, "ammmmm")
    assert judge.records.failed_since == {H: 4.0}


def test_time_not_watched_does_not_count_for_the_hold() -> None:
    judge = make_judge()
    last_s = play(judge, "mmm" + "a" * 5)
    judge.not_watched()
    assert not changes(judge.answered, judge, last_s + 100)
    assert not changes(judge.answered, judge, last_s + 109)
    assert changes(judge.answered, judge, last_s + 110)


def test_hosts_come_and_go() -> None:
    judge = make_judge()
    play(judge, "ammm")
    judge.set_hosts([H, "10.0.0.2"], 5.0)
    assert judge.state(H) is FAILED
    assert judge.state("10.0.0.2") is UNKNOWN
    judge.set_hosts(["10.0.0.2"], 6.0)
    assert judge.records.failed == frozenset()
    assert judge.records.failed_since == {}
    assert not changes(judge.answered, judge, 7.0)
    assert not changes(judge.missed, judge, 7.0)
    assert not changes(judge.unsent, judge, 7.0)
    judge.set_hosts([H], 8.0)
    assert judge.state(H) is UNKNOWN


def test_steady_hosts_that_go_are_forgotten() -> None:
    judge = make_judge()
    play(judge, "aa")
    judge.set_hosts([], 3.0)
    assert not judge.steady
    judge.set_hosts([H], 4.0)
    assert changes(judge.answered, judge, 5.0)


@pytest.mark.parametrize("seed_first", [True, False])
def test_what_a_predecessor_called_failed_recovers_by_the_rules(seed_first: bool) -> None:
    judge = Judge(POLICY)
    if seed_first:
        judge.seed_failed({H: 1.5, "gone": 1.0})
        judge.set_hosts([H], 2.0)
    else:
        judge.set_hosts([H], 2.0)
        judge.seed_failed({H: 1.5, "gone": 1.0})
    assert judge.records.failed == {H}
    assert judge.records.failed_since == {H: 1.5}
    assert not judge.is_changing(H)
    assert not changes(judge.answered, judge, 100.0)
    assert not changes(judge.answered, judge, 109.9)
    assert changes(judge.answered, judge, 110.0)


def test_a_seed_does_not_undo_a_judgement() -> None:
    judge = make_judge()
    judge.answered(H, 1.0)
    judge.seed_failed({H: 0.5})
    assert judge.state(H) is HEALTHY


EVENTS = st.lists(st.tuples(st.sampled_from("amuq"), st.floats(0.001, 5.0)), max_size=80)


@given(EVENTS, st.integers(1, 4), st.integers(1, 4))
def test_rules_that_always_hold(events: list[tuple[str, float]], fall: int, rise: int) -> None:
    judge = make_judge(HealthPolicy(fall, rise, hold_s=7.0))
    now_s, last_miss_s = 0.0, -1.0
    misses = answers = 0
    for event, pause_s in events:
        now_s += pause_s
        before = judge.state(H)
        if event == "a":
            judge.answered(H, now_s)
            answers, misses = answers + 1, 0
        elif event == "m":
            judge.missed(H, now_s)
            answers, misses, last_miss_s = 0, misses + 1, now_s
        else:
            judge.unsent(H, now_s)
        after = judge.state(H)
        if after is FAILED and before is not FAILED:
            assert misses >= fall
        if before is FAILED and after is not FAILED:
            assert after is HEALTHY
            assert answers >= rise
            assert now_s - last_miss_s >= 7.0
        if event == "u":
            assert after in (before, UNKNOWN)
            assert (before is FAILED) == (after is FAILED)
        known = [judge.records.healthy, judge.records.questionable, judge.records.failed]
        assert sum(H in hosts for hosts in known) == (after is not UNKNOWN)


@given(st.lists(st.integers(2, 6)))
def test_single_lost_packets_never_fail_a_host(gaps: list[int]) -> None:
    judge = make_judge(HealthPolicy(fall=2))
    play(judge, "a" + "".join("m" + "a" * (gap - 1) for gap in gaps))
    assert judge.state(H) is HEALTHY


A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def report(name: str, healthy: str = "", questionable: str = "", failed: str = "") -> HealthReport:
    names = {"A": A, "B": B, "C": C}
    of = [frozenset(names[letter] for letter in part) for part in (healthy, questionable, failed)]
    return HealthReport(name, of[0], of[1], of[2], dict.fromkeys(of[2], 5.0))


@pytest.mark.parametrize(
    ("reports", "monitors", "state"),
    [
        ([], ["icmp"], UNKNOWN),
        ([], [], UNKNOWN),
        ([report("icmp", "A")], [], UNKNOWN),
        ([report("icmp", "A")], ["icmp"], HEALTHY),
        ([report("icmp", "A")], ["icmp", "tcp"], UNKNOWN),
        ([report("icmp", "A"), report("tcp")], ["icmp", "tcp"], UNKNOWN),
        ([report("icmp", "A"), report("tcp", "A")], ["icmp", "tcp"], HEALTHY),
        ([report("icmp", "A"), report("tcp", "", "A")], ["icmp", "tcp"], QUESTIONABLE),
        ([report("icmp", "A"), report("tcp", "", "", "A")], ["icmp", "tcp"], FAILED),
        ([report("icmp", "", "A"), report("tcp", "", "", "A")], ["icmp", "tcp"], FAILED),
        ([report("tcp", "", "", "A")], ["icmp", "tcp"], FAILED),
        ([report("tcp", "", "A")], ["icmp", "tcp"], QUESTIONABLE),
        ([report("icmp", "B")], ["icmp"], UNKNOWN),
    ],
)
def test_merged_state(reports: list[HealthReport], monitors: list[str], state: State) -> None:
    assert merge(reports, [A], monitors).state(A) is state


def test_health_is_the_same_whether_or_not_a_monitor_judged_the_very_set_of_hosts() -> None:
    hosts = Hosts({A, B, C})
    icmp = replace(report("icmp", "AC", "", "B"), judged=hosts)
    tcp = report("tcp", "AB")
    assert merge([icmp], hosts, ["icmp"]) == merge([icmp], {A, B, C}, ["icmp"])
    both = merge([icmp, tcp], hosts, ["icmp", "tcp"])
    assert both == merge([icmp, tcp], {A, B, C}, ["icmp", "tcp"])
    assert [both.healthy, both.failed, both.presumed] == [frozenset({each}) for each in (A, B, C)]


def test_merge_keeps_to_the_hosts_asked_for() -> None:
    merged = merge([report("icmp", "A", "B", "C")], [B], ["icmp"])
    assert merged == Health(questionable=frozenset({B}))


def test_merge_tells_the_earliest_failure() -> None:
    early = HealthReport("tcp", failed=frozenset({A, B}), failed_since_at={A: 3.0})
    merged = merge([report("icmp", "", "", "A"), early], [A, B], ["icmp", "tcp"])
    assert merged.failed == {A, B}
    assert merged.failed_since == {A: 3.0}


@pytest.mark.parametrize(("fall", "worst_s"), [(1, 1.4), (2, 1.8), (3, 1.9), (5, 2.1)])
def test_worst_case_detection(fall: int, worst_s: float) -> None:
    assert worst_case_detection_s(1.0, 0.4, fall, 0.1) == pytest.approx(worst_s)
    assert f"{worst_s:g} s" in detection_sentence(1.0, 0.4, fall, 0.1)


def test_what_only_some_monitors_call_healthy_is_presumed() -> None:
    """A monitor that is away, or new, has no say; one that says otherwise has."""
    reports = [report("icmp", "ABC"), report("tcp", "A", "", "C")]
    merged = merge(reports, [A, B, C], ["icmp", "tcp"])
    assert merged.healthy == {A}
    assert merged.presumed == {B}
    assert merged.failed == {C}
    assert merged.state(B) is State.UNKNOWN


def test_without_a_look_at_other_hosts_the_last_miss_fails_a_host_at_once() -> None:
    judge = make_judge()
    at_s = play(judge, "amm")
    assert not judge.has_doubts
    assert list(judge.witnesses(at_s)) == []
    judge.missed(H, at_s)
    assert judge.records.changed
    assert judge.records.failed == {H}
