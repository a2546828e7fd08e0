"""When hosts fall silent together: which of them may fail, and when the monitor is isolated."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.played_network import RTT_S, TIMING, Alive, PlayedNetwork, names
from vpcrouter.health.detection import worst_case_detection_s
from vpcrouter.health.isolation import IsolationPolicy, isolation_of_all, isolation_reasons
from vpcrouter.health.judge import Judge
from vpcrouter.model.host_state import State
from vpcrouter.model.messages import HealthReport, HostList
from vpcrouter.monitoring.check_rounds import CheckRounds
from vpcrouter.monitoring.lanes import TICK_S
from vpcrouter.monitoring.timing import Timing

WITH_ISOLATION = replace(TIMING, isolation_share=0.5)
SHIPPED = Timing(2.0, 0.4, 0.2, isolation_share=0.5)
WORST_S = worst_case_detection_s(1.0, 0.4, 3, 0.1)
DIED_S = 5.345


def run(alive: Alive, count: int, seconds: float, timing: Timing = WITH_ISOLATION) -> PlayedNetwork:
    net = PlayedNetwork(alive, timing)
    net.use(*names(count))
    net.run(seconds)
    return net


def dying(dead: Collection[str], at_s: float = DIED_S) -> Callable[[str, float], bool]:
    gone = frozenset(dead)
    return lambda host, now_s: host not in gone or now_s < at_s


def was_isolated(net: PlayedNetwork) -> bool:
    return any(report.isolated for _, report in net.reports)


@pytest.mark.parametrize("timing", [WITH_ISOLATION, SHIPPED, replace(WITH_ISOLATION, fall=1)])
@pytest.mark.parametrize("count", [4, 5, 30, 1000])
def test_not_even_the_first_host_fails_when_all_fall_silent(count: int, timing: Timing) -> None:
    net = run(lambda _host, now_s: now_s < DIED_S or now_s >= 60.0, count, 59.0, timing)
    assert not net.ever_failed()
    last = net.reports[-1][1]
    witnesses = min(count, 256)
    assert last.isolated == f"{witnesses} of {witnesses} hosts not answering"
    assert not last.healthy, "nothing is known of them"
    at_s = next(at_s for at_s, report in net.reports if report.isolated)
    assert at_s - DIED_S < timing.worst_case_s + timing.timeout_s + 0.1
    net.run(20.0)
    assert net.reports[-1][1] == HealthReport("icmpecho", frozenset(names(count)))
    assert not net.ever_failed()


def test_while_isolated_hosts_are_probed_no_oftener_than_ever() -> None:
    net = run(lambda _host, now_s: now_s < DIED_S, 100, 60.0)
    probes = sum(20.0 <= at_s < 60.0 for at_s, _ in net.probes)
    assert 3900 <= probes <= 4100


@pytest.mark.parametrize("count", [4, 50, 1000])
@pytest.mark.parametrize("fall", [1, 2, 3])
def test_one_dead_host_fails_as_soon_as_without_isolation(count: int, fall: int) -> None:
    dead = names(count)[count // 2]
    took_s = []
    for share in (0.5, 1.0):
        timing = replace(TIMING, fall=fall, isolation_share=share)
        net = run(dying([dead]), count, 10.0, timing)
        assert net.ever_failed() == {dead}
        took_s.append(net.failed_at_s(dead))
        assert not was_isolated(net)
    # With one miss only, the others are first asked then: an answer's way, and a turn.
    assert took_s[0] - took_s[1] <= (2 * TICK_S + RTT_S if fall == 1 else RTT_S)


@pytest.mark.parametrize("count", [6, 9, 12, 300, 3000])
@pytest.mark.parametrize("timing", [WITH_ISOLATION, SHIPPED])
@pytest.mark.parametrize("are_neighbours", [True, False])
def test_one_zone_of_three_fails(count: int, timing: Timing, are_neighbours: bool) -> None:
    hosts = names(count)
    zone = hosts[: count // 3] if are_neighbours else hosts[::3]
    net = run(dying(zone), count, 12.0, timing)
    assert net.ever_failed() == set(zone)
    assert not was_isolated(net)
    slowest_s = max(net.failed_at_s(host) for host in zone) - DIED_S
    assert slowest_s <= timing.worst_case_s + timing.fastinter_s / 2 + 3 * TICK_S


@pytest.mark.parametrize(
    ("count", "dead", "fail"),
    [(3, 3, True), (4, 2, True), (4, 3, False), (5, 2, True), (5, 3, False), (100, 51, False)],
)
def test_more_than_the_share_of_at_least_four(count: int, dead: int, fail: bool) -> None:
    net = run(dying(names(count)[:dead]), count, 15.0)
    assert net.ever_failed() == (set(names(count)[:dead]) if fail else set())
    assert was_isolated(net) is not fail


def test_a_share_of_one_lets_all_fail() -> None:
    net = run(dying(names(9)), 9, 15.0, TIMING)
    assert net.ever_failed() == set(names(9))
    assert not was_isolated(net)


def test_hosts_that_failed_long_before_count_on_neither_side() -> None:
    first, second, third = names(10)[:4], names(10)[4:7], names(10)[7:9]
    died = {**dict.fromkeys(first, 5.0), **dict.fromkeys(second, 30.0), **dict.fromkeys(third, 60)}
    net = run(lambda host, now_s: now_s < died.get(host, 999.0), 10, 59.0)
    assert net.ever_failed() == {*first, *second}, "3 of the 6 left are no more than half"
    assert not was_isolated(net)
    net.run(20.0)
    assert net.ever_failed() == {*first, *second, *third}, "of three, silence says nothing"


def test_those_that_fail_one_after_the_other_fail_at_once() -> None:
    died = {host: DIED_S + 0.3 * number for number, host in enumerate(names(10))}
    net = run(lambda host, now_s: now_s < died[host], 10, 30.0)
    assert was_isolated(net)
    assert len(net.ever_failed()) <= 5, "the first ones, while the others answered"
    assert not net.reports[-1][1].failed, "they fell with the others"


def test_what_stays_dead_fails_once_the_others_are_back() -> None:
    dead = names(10)[:2]
    net = run(lambda host, now_s: now_s < DIED_S or (now_s >= 30.0 and host not in dead), 10, 45.0)
    assert net.ever_failed() == set(dead)
    assert net.failed_at_s(dead[0]) >= 30.0 + 0.9
    assert net.reports[-1][1].healthy == set(names(10)) - set(dead)
    assert not net.reports[-1][1].isolated


def test_too_few_that_answer_are_not_probes_that_come_back() -> None:
    back = names(10)[:4]
    net = run(lambda host, now_s: now_s < DIED_S or (now_s >= 30.0 and host in back), 10, 60.0)
    last = net.reports[-1][1]
    assert last.isolated
    assert last.healthy == set(back)
    assert not net.ever_failed()


def test_hosts_of_which_none_ever_answered_do_not_fail_either() -> None:
    net = run(lambda _host, now_s: now_s >= 20.0, 6, 19.0)
    assert net.reports[-1][1].isolated
    net.run(5.0)
    assert net.reports[-1][1] == HealthReport("icmpecho", frozenset(names(6)))
    assert not net.ever_failed()


def test_new_hosts_that_never_answered_say_nothing_of_us() -> None:
    net = run(lambda host, _now_s: host in names(4), 10, 10.0)
    assert net.ever_failed() == set(names(10)[4:])
    assert not was_isolated(net)


def test_a_new_generation_is_as_isolated_as_the_last_one() -> None:
    net = PlayedNetwork(lambda _host, now_s: now_s >= 20.0, WITH_ISOLATION)
    long_ago = frozenset({"10.0.0.2"})
    net.mail[HealthReport] = HealthReport(
        "icmpecho", failed=long_ago, failed_since_at={"10.0.0.2": 7.0}, isolated="nobody answers"
    )
    net.use(*names(3))
    net.run(19.0)
    assert net.reports[-1][1].isolated == "nobody answers"
    assert net.ever_failed() == long_ago
    net.run(5.0)
    assert net.reports[-1][1].healthy == set(names(3)) - long_ago
    assert not net.reports[-1][1].isolated


def test_our_own_lateness_with_hosts_in_doubt_condemns_nobody() -> None:
    net = run(lambda _host, now_s: now_s < DIED_S or now_s >= 6.3, 20, 6.25)
    net.stall_s = 3.0
    net.run(20.0)
    assert not net.ever_failed()
    assert not net.reports[-1][1].isolated


def test_silence_of_a_witness_is_no_miss() -> None:
    """One host dies; the others lose just what they are asked because of it."""
    dead = names(8)[0]
    asked: list[str] = []

    def alive(host: str, now_s: float) -> bool:
        if host == dead:
            return now_s < DIED_S
        # Each has its turn at its own place in the round; what comes elsewhere was asked.
        place = (now_s % 1.0) * 8 % 8
        is_asked = now_s > DIED_S and abs(place - names(8).index(host)) > 0.2
        asked.extend([host] * is_asked)
        return not is_asked

    net = run(alive, 8, 20.0, replace(WITH_ISOLATION, fall=2))
    assert asked
    assert not net.ever_failed() - {dead}


class Link:
    """An Uplink whose fate the test plays."""

    why = ""

    def fileno(self) -> int:
        return 77

    def lost(self, hosts: Collection[str]) -> str:
        return self.why


def with_link(alive: Alive, count: int) -> tuple[PlayedNetwork, Link]:
    link = Link()
    net = PlayedNetwork(alive, WITH_ISOLATION, link)
    net.use(*names(count))
    return net, link


def tell(net: PlayedNetwork, link: Link, why: str) -> None:
    """Let the loop hear of the link in its next turn."""
    link.why = why
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(net, "wait", lambda _timeout_s: {link.fileno()})
        net.loop.turn(net)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [2, 30])
def test_without_our_own_link_nobody_fails_however_few_they_are(count: int) -> None:
    net, link = with_link(lambda _host, now_s: now_s < 5.0 or now_s >= 20.0, count)
    net.run(5.0)
    tell(net, link, "local interface eth0 is down")
    net.run(14.0)
    assert net.reports[-1][1] == HealthReport("icmpecho", isolated="local interface eth0 is down")
    tell(net, link, "")
    net.run(0.5)
    assert net.reports[-1][1].isolated, "until probes come back"
    net.run(5.0)
    assert net.reports[-1][1] == HealthReport("icmpecho", frozenset(names(count)))
    assert not net.ever_failed()


def test_answers_do_not_count_before_the_link_is_back() -> None:
    net, link = with_link(lambda _host, _now_s: True, 5)
    net.run(5.0)
    tell(net, link, "down")
    net.run(5.0)
    assert net.reports[-1][1].isolated
    tell(net, link, "")
    assert not net.reports[-1][1].isolated


def test_the_link_is_looked_at_before_a_host_fails() -> None:
    """News of a lost carrier may come late."""
    net, link = with_link(lambda _host, now_s: now_s < 5.0, 2)
    net.run(5.0)
    link.why = "down"
    net.run(10.0)
    assert net.reports[-1][1].isolated == "down"
    assert not net.ever_failed()


@given(
    st.integers(4, 40),
    st.floats(0.0, 1.0),
    st.integers(1, 4),
    st.floats(4.0, 6.0),
    st.randoms(use_true_random=False),
)
def test_those_that_fall_together_fail_together_or_not_at_all(
    count: int, share: float, fall: int, at_s: float, rng: random.Random
) -> None:
    dead = rng.sample(names(count), round(share * count))
    net = run(dying(dead, at_s), count, at_s + 5.0, replace(WITH_ISOLATION, fall=fall))
    if len(dead) > count / 2:
        assert not net.ever_failed()
        assert was_isolated(net)
    else:
        assert net.ever_failed() == set(dead)
        assert not was_isolated(net)


# A monitor that checks all hosts in one call


def check_rounds(hosts: Sequence[str], share: float | None = 0.5) -> tuple[CheckRounds, set[str]]:
    failing: set[str] = set()
    checks = CheckRounds(1.0, 0.0, lambda _hosts: (failing, ()), share)
    checks.turn((), hosts)
    return checks, failing


@pytest.mark.parametrize("dead", [names(9)[:3], names(9)[6:], names(9)[::3]])
def test_one_zone_fails_in_one_check(dead: tuple[str, ...]) -> None:
    checks, failing = check_rounds(names(9))
    failing.update(dead)
    checks.round()
    assert checks.report("m").failed == set(dead)


@pytest.mark.parametrize("dead", [names(9)[:5], names(9)[4:], names(9)])
def test_most_of_them_do_not(dead: tuple[str, ...]) -> None:
    checks, failing = check_rounds(names(9))
    failing.update(dead)
    for _ in range(3):
        checks.round()
        assert not checks.report("m").failed
        assert checks.report("m").isolated
    failing.clear()
    checks.round()
    assert checks.report("m") == HealthReport("m", frozenset(names(9)))


def test_who_passes_on_somebodys_word_is_never_isolated() -> None:
    checks, failing = check_rounds(names(9), None)
    failing.update(names(9))
    checks.round()
    assert checks.report("m").failed == set(names(9))


# The judge itself


def test_a_host_that_is_gone_is_no_witness() -> None:
    judge = Judge(WITH_ISOLATION.policy, WITH_ISOLATION.isolation)
    judge.set_hosts(names(5), 0.0)
    for host in names(5):
        judge.answered(host, 1.0)
    for _ in range(3):
        judge.missed(names(5)[0], 2.0)
    judge.records.changed = False
    judge.settle(2.0)
    assert not judge.records.changed, "who else answers is not yet known"
    judge.set_hosts(names(3), 2.0)
    judge.records.changed = False
    judge.settle(2.0)
    assert judge.records.changed
    assert judge.state(names(5)[0]) is State.FAILED


def test_witnesses_are_few_and_the_same_whatever_the_order() -> None:
    def asked(hosts: Collection[str]) -> set[str]:
        judge = Judge(WITH_ISOLATION.policy, IsolationPolicy(0.5, 1.0, 1.0, witnesses=10))
        judge.set_hosts(hosts, 0.0)
        for host in hosts:
            judge.answered(host, 1.0)
        for _ in range(3):
            judge.missed("10.0.0.0", 2.0)
        return set(judge.witnesses(2.0))

    assert 9 <= len(asked(names(500))) <= 10
    assert asked(names(500)) == asked(names(500)[::-1])


# All monitors together


def word(name: str, isolated: str = "", probes: bool = True) -> HealthReport:
    return HealthReport(name, isolated=isolated, probes=probes)


@pytest.mark.parametrize(
    ("reports", "holds"),
    [
        ([], False),
        ([word("tcp")], False),
        ([word("tcp", "x")], True),
        ([word("tcp", "x"), word("icmpecho")], False),
        ([word("tcp", "x"), word("icmpecho", "y")], True),
        ([word("tcp", "x"), word("ec2status", probes=False)], True),
        ([word("ec2status", probes=False)], False),
    ],
)
def test_all_that_probe_must_be_isolated_to_hold(reports: list[HealthReport], holds: bool) -> None:
    assert (isolation_of_all(reports) is not None) is holds


def test_reasons_name_their_monitors() -> None:
    reports = [word("tcp", "x"), word("icmpecho", "y")]
    assert isolation_reasons(reports) == ["icmpecho: y", "tcp: x"]
    assert "icmpecho: y; tcp: x" in str(isolation_of_all(reports))


def test_one_that_is_away_is_still_isolated() -> None:
    left = word("tcp", "x").without_positive_verdicts()
    assert left.isolated == "x"
    assert left.probes


def test_a_list_of_hosts_that_comes_later_ends_nothing() -> None:
    net = PlayedNetwork(lambda _host, _now_s: False, WITH_ISOLATION)
    net.mail[HealthReport] = HealthReport("icmpecho", isolated="x")
    net.run(2.0)
    net.mail[HostList] = HostList(names(2))
    net.run(2.0)
    assert net.reports[-1][1].isolated == "x"


def test_a_host_in_doubt_to_which_nothing_can_be_sent_any_more_does_not_fail() -> None:
    doubted, *others = names(6)
    lost: list[float] = []

    def alive(host: str, now_s: float) -> bool | None:
        if host != doubted or now_s < DIED_S:
            return True
        if len(lost) == WITH_ISOLATION.fall - 1:  # one more miss would fail it
            return None
        lost.append(now_s)
        return False

    net = run(alive, 6, 60.0, replace(WITH_ISOLATION, fastinter_s=0.5))
    assert len(lost) == WITH_ISOLATION.fall - 1
    assert not net.ever_failed()
    last = net.reports[-1][1]
    assert last.healthy == set(others), "nothing is known of the other any more"


def test_hosts_that_failed_just_before_our_link_did_are_unknown_too() -> None:
    failed, *others = names(6)
    net, link = with_link(dying({failed}), 6)
    net.run(DIED_S + WORST_S + 0.1)
    assert net.reports[-1][1].failed == {failed}
    tell(net, link, "interface ens5 is down")
    last = net.reports[-1][1]
    assert (last.isolated, last.failed) == ("interface ens5 is down", frozenset())
    assert not last.healthy, f"nothing is known of {others} either"
