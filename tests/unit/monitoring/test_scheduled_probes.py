"""Probes of many hosts, each in its own time: what is probed, and what counts."""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.unit.played_network import RTT_S, TIMING, PlayedNetwork, SlowNetwork, all_alive, names
from vpcrouter.health.detection import worst_case_detection_s
from vpcrouter.monitoring.scheduled_probes import CHUNK
from vpcrouter.monitoring.timing import Timing


def test_probes_are_spread_over_the_interval() -> None:
    net = PlayedNetwork(all_alive)
    net.use(*names(100))
    net.run(11.0)
    slots = Counter(int(at_s * 10) for at_s, _ in net.probes if 1.0 <= at_s < 11.0)
    assert set(slots.values()) <= {9, 10, 11}
    per_host = Counter(host for at_s, host in net.probes if 1.0 <= at_s < 11.0)
    assert set(per_host.values()) <= {9, 10, 11}


def test_each_host_is_probed_every_interval() -> None:
    net = PlayedNetwork(all_alive)
    net.use(*names(2000))
    net.run(10.0)
    times: dict[str, list[float]] = {}
    for at_s, host in net.probes:
        times.setdefault(host, []).append(at_s)
    assert len(times) == 2000
    gaps = [b - a for of_one in times.values() for a, b in pairwise(of_one)]
    assert max(gaps) < TIMING.interval_s + 0.15


def test_new_hosts_are_probed_at_once_and_reported_together() -> None:
    net = PlayedNetwork(all_alive)
    net.use(*names(50))
    net.run(0.1)
    assert net.reports[-1][1].healthy == set(names(50))
    assert len(net.reports) <= 3
    net.use(*names(60))
    net.run(0.1)
    assert net.reports[-1][1].healthy == set(names(60))


def test_a_start_with_many_hosts_is_no_burst() -> None:
    net = PlayedNetwork(all_alive)
    net.use(*names(10_000))
    net.run(0.25)
    assert 2_000 < len(net.probes) < 8_500
    net.run(0.75)
    assert len(net.reports[-1][1].healthy) == 10_000


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_silent_hosts_are_found_within_the_worst_case(count: int) -> None:
    died_s = 2.345
    dead = set(names(count)[::3])
    net = PlayedNetwork(lambda host, now_s: host not in dead or now_s < died_s)
    net.use(*names(count))
    net.run(5.0)
    assert net.ever_failed() == dead
    worst_s = worst_case_detection_s(1.0, 0.4, 3, 0.1)
    took_s = sorted(net.failed_at_s(host) - died_s for host in dead)
    assert took_s[-1] <= worst_s + 0.05
    assert took_s[0] >= 0.9 - RTT_S
    if count > 100:
        assert took_s[len(took_s) // 2] < 1.45


def test_answers_are_read_while_more_probes_are_sent() -> None:
    """A socket that holds those to one chunk loses none."""

    class Small(PlayedNetwork):
        def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
            unsent = super().send(hosts, first)
            self._coming = [(serial, up, self.now_s) for serial, up, _ in self._coming][:CHUNK]
            return unsent

    net = Small(all_alive, Timing(0.1, 0.08, 0.05, hold_s=1.0))
    net.use(*names(5_000))
    net.run(2.0)
    assert len(net.reports[-1][1].healthy) == 5_000
    assert not net.expired


def test_a_dead_host_is_probed_no_more_than_is_needed() -> None:
    net = PlayedNetwork(lambda _host, now_s: now_s < 2.0)
    net.use("10.0.0.1")
    net.run(20.0)
    while_falling = [at_s for at_s, _ in net.probes if 2.0 <= at_s < net.failed_at_s("10.0.0.1")]
    assert len(while_falling) == 3
    afterwards = [at_s for at_s, _ in net.probes if at_s >= net.failed_at_s("10.0.0.1")]
    assert 15 <= len(afterwards) <= 18


def test_dead_hosts_cost_live_ones_no_probe() -> None:
    hosts = names(300)
    live = hosts[::10]
    net = PlayedNetwork(lambda host, _now_s: host in live)
    net.use(*hosts)
    net.run(20.0)
    probes = Counter(host for _, host in net.probes)
    assert all(19 <= probes[host] <= 22 for host in live)
    assert net.reports[-1][1].healthy == set(live)
    assert net.reports[-1][1].failed == set(hosts) - set(live)


@pytest.mark.parametrize("count", [1, 1_000])
def test_a_monitor_with_too_much_to_do_is_late_by_a_round_only(count: int) -> None:
    """It makes half of the probes that it should, and those of hosts in doubt are not last."""
    died_s = 2.345
    hosts = names(5_000)
    dead = set(hosts[:: 5_000 // count])
    timing = Timing(0.1, 0.08, 0.05, hold_s=1.0)
    net = SlowNetwork(lambda host, now_s: host not in dead or now_s < died_s, timing)
    net.use(*hosts)
    net.run(4.0)
    assert net.ever_failed() == dead
    took_s = max(net.failed_at_s(host) for host in dead) - died_s
    rate = 2 if count > 1 else 1  # when many are in doubt, half of the probes are the others'
    worst_s = worst_case_detection_s(len(hosts) * net.cost_s * rate, 0.08, 3, 0.05)
    assert took_s <= worst_s + 0.05
    others = Counter(host for at_s, host in net.probes if at_s >= 3.0 and host not in dead)
    assert min(others[host] for host in hosts if host not in dead) >= 4


def test_too_much_to_do_is_told_once_and_when_it_is_over() -> None:
    class Slower(SlowNetwork):
        cost_s = 0.0005

    net = Slower(all_alive, Timing(0.1, 0.08, 0.05, hold_s=1.0))
    with capture_logs() as logs:
        net.use(*names(400))
        net.run(35.0)
        net.use(*names(100))
        net.run(25.0)
    told = [(log["event"], log.get("reason")) for log in logs if "schedule" in log["event"]]
    assert told == [
        (
            "probe schedule overrun; detection is slower than configured",
            "each host is probed every 0.2 s instead of 0.1 s: probe fewer hosts, or less often",
        ),
        ("probe schedule back on time", None),
    ]


def test_answers_that_never_came_are_told_of_until_all_have_come_again() -> None:
    """The kernel's own counters tell; what it has seen beside ours says nothing."""
    net = PlayedNetwork(all_alive)
    net.use(*names(3))
    with capture_logs() as logs:
        net.run(25)
        assert not net.reports[-1][1].doubt
        for _ in range(3):
            net.invented += 2
            net.run(5)
        assert "but the kernel received" in net.reports[-1][1].doubt
        net.run(20)
        assert not net.reports[-1][1].doubt
        net.invented -= 1000
        net.run(20)
    told = [log["log_level"] for log in logs if "answers" in log["event"]]
    assert told == ["error", "info"]
    assert not any(report.failed for _, report in net.reports)


def test_recovery_takes_the_hold() -> None:
    net = PlayedNetwork(lambda _host, now_s: now_s < 2.0 or now_s >= 6.0)
    net.use("10.0.0.1")
    net.run(30.0)
    assert net.state("10.0.0.1") == "healthy"
    last_lost_s = max(at_s for at_s, _ in net.probes if 2.0 <= at_s < 6.0)
    healthy_s = max(at_s for at_s, _ in net.reports)
    assert last_lost_s + 10.0 <= healthy_s <= last_lost_s + 12.0


@given(st.sets(st.integers(0, 200), max_size=60), st.integers(1, 5))
def test_one_lost_packet_never_fails_a_host(lost: set[int], count: int) -> None:
    """Of each host, never two probes in a row are lost."""
    sent: Counter[str] = Counter()
    was_lost: dict[str, bool] = {}

    def alive(host: str, _now_s: float) -> bool:
        sent[host] += 1
        was_lost[host] = sent[host] in lost and not was_lost.get(host, True)
        return not was_lost[host]

    timing = Timing(1.0, 0.4, 0.1, fall=2, hold_s=10.0)
    net = PlayedNetwork(alive, timing)
    net.use(*names(count))
    net.run(40.0)
    assert not net.ever_failed()


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.5, 5.0)), min_size=1, max_size=12))
def test_our_own_lateness_is_no_hosts_failure(stalls: list[tuple[float, float]]) -> None:
    net = PlayedNetwork(all_alive)
    net.use(*names(20))
    for running_s, stall_s in stalls:
        net.run(running_s)
        net.stall_s = stall_s
    net.run(3.0)
    assert not net.ever_failed()
    assert net.reports[-1][1].healthy == set(names(20))


def test_probes_under_way_are_forgiven_after_lateness() -> None:
    net = PlayedNetwork(lambda _host, now_s: not 2.0 <= now_s < 6.0)
    net.use(*names(10))
    net.run(2.3)
    assert not net.expired
    net.stall_s = 4.0
    with capture_logs() as logs:
        net.run(5.0)
    assert net.forgotten
    assert not net.expired
    (late,) = [log for log in logs if "late" in log["event"]]
    assert late["late_s"] == 4.0
    assert len(net.reports[-1][1].healthy) == 10


def test_a_stop_does_not_shorten_a_recovery() -> None:
    net = PlayedNetwork(lambda _host, now_s: not 2.0 <= now_s < 4.5)
    net.use("10.0.0.1")
    net.run(6.0)
    assert net.state("10.0.0.1") == "failed"
    net.stall_s = 60.0
    net.run(69.0)
    assert net.state("10.0.0.1") == "failed"
    net.run(5.0)
    assert net.state("10.0.0.1") == "healthy"


def test_after_lateness_no_host_is_probed_twice_at_once() -> None:
    net = PlayedNetwork(all_alive)
    net.use(*names(10))
    net.run(2.0)
    net.stall_s = 30.0
    net.run(31.0)
    after = Counter(host for at_s, host in net.probes if at_s > 30.0)
    assert max(after.values()) <= 2


def test_unsent_probes_make_hosts_unknown_never_failed() -> None:
    net = PlayedNetwork(lambda _host, now_s: None if 5.0 <= now_s < 15.0 else True)
    net.use(*names(10))
    net.run(4.9)
    assert net.state("10.0.0.1") == "healthy"
    with capture_logs() as logs:
        net.run(9.1)
    assert [log["event"] for log in logs] == ["could not send probes"]
    assert logs[0]["reason"] == "no route"
    assert net.state("10.0.0.1") == "unknown"
    probes = Counter(host for at_s, host in net.probes if 5.0 <= at_s < 14.0)
    assert max(probes.values()) <= 10, "no hurry while nothing can be sent"
    with capture_logs() as logs:
        net.run(4.0)
    assert [log["event"] for log in logs] == ["all probes sent again"]
    assert net.reports[-1][1].healthy == set(names(10))
    assert not net.ever_failed()


def test_a_failed_host_stays_failed_while_nothing_can_be_sent() -> None:
    net = PlayedNetwork(
        lambda _host, now_s: True if now_s < 1.0 else False if now_s < 5.0 else None
    )
    net.use("10.0.0.1")
    net.run(20.0)
    assert net.state("10.0.0.1") == "failed"
