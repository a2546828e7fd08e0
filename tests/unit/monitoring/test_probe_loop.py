"""Who is probed when, what counts, and the loop around it; time is played, never slept."""

import contextlib
import struct
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.unit.echoing import reply_packet, reply_slot
from vpcrouter.health.detection import worst_case_detection_s
from vpcrouter.health.judge import Judge
from vpcrouter.ipc.mailbox import StopWorker
from vpcrouter.model.host_state import State
from vpcrouter.model.messages import HealthReport, HostList, Message
from vpcrouter.monitoring import icmp, raw_sockets
from vpcrouter.monitoring.echo_packets import V4, V6, EchoCodec, Version, checksum
from vpcrouter.monitoring.icmp import EchoLine
from vpcrouter.monitoring.probe_loop import CHUNK, ProbeLoop
from vpcrouter.monitoring.schedule import NEVER_S, Outcome, Schedule
from vpcrouter.monitoring.timing import Timing, check_probe_options, probe_options
from vpcrouter.plugins.contract import Monitor
from workers.always import Always
from workers.http import Http
from workers.icmpecho import IcmpEcho
from workers.script import Script
from workers.tcp import Tcp

TIMING = Timing(interval_s=1.0, timeout_s=0.4, fastinter_s=0.1, hold_s=10.0)
RTT_S = 0.001
ALIVE = Callable[[str, float], bool | None]


class Net:
    """A Prober on a played network, and the clock and mailbox of a ProbeLoop.

    `alive(host, now_s)` says what becomes of a probe: answered, lost, or (None) not sent.
    """

    def __init__(self, alive: ALIVE, timing: Timing = TIMING) -> None:
        self.now_s = 1000.0
        self.began_s = self.now_s
        self.alive = alive
        self.trouble = "no route"
        self.answers = 0
        self.invented = 0
        """So many answers the kernel has never seen."""
        self.reports: list[tuple[float, HealthReport]] = []
        self.probes: list[tuple[float, str]] = []
        self.expired: list[int] = []
        self.forgotten: list[int] = []
        self.mail: dict[type[Message], Message] = {}
        self.watched: set[int] = set()
        self.stall_s = 0.0
        self.until_s = 0.0
        self._coming: list[Outcome] = []
        self.loop = ProbeLoop("icmpecho", timing, self, clock=lambda: self.now_s)

    # A Prober

    def fileno(self) -> int:
        return 99

    def set_hosts(self, hosts: Sequence[str]) -> None:
        self.hosts = hosts

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        unsent = []
        for index, host in enumerate(hosts):
            self.probes.append((self.now_s - self.began_s, host))
            fate = self.alive(host, self.now_s - self.began_s)
            if fate is None:
                unsent.append(index)
            elif fate:
                self._coming.append((first + index, True, self.now_s + RTT_S))
        return unsent

    def collect(self) -> Sequence[Outcome] | None:
        here = [outcome for outcome in self._coming if outcome[2] <= self.now_s]
        self._coming = [outcome for outcome in self._coming if outcome[2] > self.now_s]
        self.answers += len(here)
        return here or None

    def counted(self) -> int:
        waiting = sum(at_s <= self.now_s for _, _, at_s in self._coming)
        return self.answers + waiting - self.invented

    def expire(self, probes: Iterable[tuple[int, str]]) -> None:
        self.expired += [serial for serial, _ in probes]

    def revive(self, hosts: Iterable[str]) -> None:
        pass

    def forget(self, serials: Iterable[int]) -> None:
        self.forgotten += serials

    def close(self) -> None:
        self.closed = True

    # A Mailbox

    def watch(self, fd: int) -> None:
        self.watched.add(fd)

    def unwatch(self, fd: int) -> None:
        self.watched.discard(fd)

    def take(self, kind: type[Message]) -> Message | None:
        return self.mail.pop(kind, None)

    def post(self, message: HealthReport) -> None:
        self.reports.append((self.now_s - self.began_s, message))

    def wait(self, timeout_s: float) -> set[int]:
        if self.mail:
            return set()
        wake_s = self.now_s + timeout_s
        if self.watched and self._coming:
            wake_s = min(wake_s, *(outcome[2] for outcome in self._coming))
        if wake_s > self.until_s:
            self.now_s = self.until_s
            raise StopWorker
        self.now_s = wake_s + self.stall_s
        self.stall_s = 0.0
        return set()

    # The test's side

    def run(self, seconds: float) -> None:
        self.until_s = self.now_s + seconds
        self.loop._woken_s = self.now_s  # it was waiting when the last run ended
        with contextlib.suppress(StopWorker):
            while True:
                self.loop.turn(self)  # type: ignore[arg-type]

    def use(self, *hosts: str) -> None:
        self.mail[HostList] = HostList(hosts)

    def state(self, host: str) -> str:
        last = self.reports[-1][1]
        for name in ("healthy", "questionable", "failed"):
            if host in getattr(last, name):
                return name
        return "unknown"

    def ever_failed(self) -> set[str]:
        return {host for _, report in self.reports for host in report.failed}

    def failed_at_s(self, host: str) -> float:
        return next(at_s for at_s, report in self.reports if host in report.failed)


def all_alive(_host: str, _now_s: float) -> bool:
    return True


def names(count: int) -> tuple[str, ...]:
    return tuple(f"10.0.{i >> 8}.{i & 255}" for i in range(count))


def test_probes_are_spread_over_the_interval() -> None:
    net = Net(all_alive)
    net.use(*names(100))
    net.run(11.0)
    slots = Counter(int(at_s * 10) for at_s, _ in net.probes if 1.0 <= at_s < 11.0)
    assert set(slots.values()) <= {9, 10, 11}
    per_host = Counter(host for at_s, host in net.probes if 1.0 <= at_s < 11.0)
    assert set(per_host.values()) <= {9, 10, 11}


def test_each_host_is_probed_every_interval() -> None:
    net = Net(all_alive)
    net.use(*names(2000))
    net.run(10.0)
    times: dict[str, list[float]] = {}
    for at_s, host in net.probes:
        times.setdefault(host, []).append(at_s)
    assert len(times) == 2000
    gaps = [b - a for of_one in times.values() for a, b in pairwise(of_one)]
    assert max(gaps) < TIMING.interval_s + 0.15


def test_new_hosts_are_probed_at_once_and_reported_together() -> None:
    net = Net(all_alive)
    net.use(*names(50))
    net.run(0.1)
    assert net.reports[-1][1].healthy == set(names(50))
    assert len(net.reports) <= 3
    net.use(*names(60))
    net.run(0.1)
    assert net.reports[-1][1].healthy == set(names(60))


def test_a_start_with_many_hosts_is_no_burst() -> None:
    net = Net(all_alive)
    net.use(*names(10_000))
    net.run(0.25)
    assert 2_000 < len(net.probes) < 8_500
    net.run(0.75)
    assert len(net.reports[-1][1].healthy) == 10_000


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_silent_hosts_are_found_within_the_worst_case(count: int) -> None:
    died_s = 2.345
    dead = set(names(count)[::3])
    net = Net(lambda host, now_s: host not in dead or now_s < died_s)
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

    class Small(Net):
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
    net = Net(lambda _host, now_s: now_s < 2.0)
    net.use("10.0.0.1")
    net.run(20.0)
    while_falling = [at_s for at_s, _ in net.probes if 2.0 <= at_s < net.failed_at_s("10.0.0.1")]
    assert len(while_falling) == 3
    afterwards = [at_s for at_s, _ in net.probes if at_s >= net.failed_at_s("10.0.0.1")]
    assert 15 <= len(afterwards) <= 18


def test_dead_hosts_cost_live_ones_no_probe() -> None:
    hosts = names(300)
    live = hosts[::10]
    net = Net(lambda host, _now_s: host in live)
    net.use(*hosts)
    net.run(20.0)
    probes = Counter(host for _, host in net.probes)
    assert all(19 <= probes[host] <= 22 for host in live)
    assert net.reports[-1][1].healthy == set(live)
    assert net.reports[-1][1].failed == set(hosts) - set(live)


class Slow(Net):
    """To send a probe takes `cost_s`."""

    cost_s = 40e-6

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        self.now_s += self.cost_s * len(hosts)
        return super().send(hosts, first)


@pytest.mark.parametrize("count", [1, 1_000])
def test_a_monitor_with_too_much_to_do_is_late_by_a_round_only(count: int) -> None:
    """It makes half of the probes that it should, and those of hosts in doubt are not last."""
    died_s = 2.345
    hosts = names(5_000)
    dead = set(hosts[:: 5_000 // count])
    timing = Timing(0.1, 0.08, 0.05, hold_s=1.0)
    net = Slow(lambda host, now_s: host not in dead or now_s < died_s, timing)
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
    class Slower(Slow):
        cost_s = 0.0005

    net = Slower(all_alive, Timing(0.1, 0.08, 0.05, hold_s=1.0))
    with capture_logs() as logs:
        net.use(*names(400))
        net.run(35.0)
        net.use(*names(100))
        net.run(25.0)
    told = [(log["event"], log.get("reason")) for log in logs if "time for all" in log["event"]]
    assert told == [
        (
            "there is no time for all probes; deaths are found later than promised",
            "each host is probed every 0.2 s instead of 0.1 s: probe fewer hosts, or less often",
        ),
        ("there is time for all probes again", None),
    ]


def test_answers_that_never_came_are_told_of_until_all_have_come_again() -> None:
    """The kernel's own counters tell; what it has seen beside ours says nothing."""
    net = Net(all_alive)
    net.use(*names(3))
    with capture_logs() as logs:
        net.run(25)
        assert not net.reports[-1][1].doubt
        for _ in range(3):
            net.invented += 2
            net.run(5)
        assert "but the kernel has seen" in net.reports[-1][1].doubt
        net.run(20)
        assert not net.reports[-1][1].doubt
        net.invented -= 1000
        net.run(20)
    told = [log["log_level"] for log in logs if "answers" in log["event"]]
    assert told == ["error", "info"]
    assert not any(report.failed for _, report in net.reports)


def test_recovery_takes_the_hold() -> None:
    net = Net(lambda _host, now_s: now_s < 2.0 or now_s >= 6.0)
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
    net = Net(alive, timing)
    net.use(*names(count))
    net.run(40.0)
    assert not net.ever_failed()


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.5, 5.0)), min_size=1, max_size=12))
def test_our_own_lateness_is_no_hosts_failure(stalls: list[tuple[float, float]]) -> None:
    net = Net(all_alive)
    net.use(*names(20))
    for running_s, stall_s in stalls:
        net.run(running_s)
        net.stall_s = stall_s
    net.run(3.0)
    assert not net.ever_failed()
    assert net.reports[-1][1].healthy == set(names(20))


def test_probes_under_way_are_forgiven_after_lateness() -> None:
    net = Net(lambda _host, now_s: not 2.0 <= now_s < 6.0)
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
    net = Net(lambda _host, now_s: not 2.0 <= now_s < 4.5)
    net.use("10.0.0.1")
    net.run(6.0)
    assert net.state("10.0.0.1") == "failed"
    net.stall_s = 60.0
    net.run(69.0)
    assert net.state("10.0.0.1") == "failed"
    net.run(5.0)
    assert net.state("10.0.0.1") == "healthy"


def test_after_lateness_no_host_is_probed_twice_at_once() -> None:
    net = Net(all_alive)
    net.use(*names(10))
    net.run(2.0)
    net.stall_s = 30.0
    net.run(31.0)
    after = Counter(host for at_s, host in net.probes if at_s > 30.0)
    assert max(after.values()) <= 2


def test_unsent_probes_make_hosts_unknown_never_failed() -> None:
    net = Net(lambda _host, now_s: None if 5.0 <= now_s < 15.0 else True)
    net.use(*names(10))
    net.run(4.9)
    assert net.state("10.0.0.1") == "healthy"
    with capture_logs() as logs:
        net.run(9.1)
    assert [log["event"] for log in logs] == ["probes cannot be sent"]
    assert logs[0]["reason"] == "no route"
    assert net.state("10.0.0.1") == "unknown"
    probes = Counter(host for at_s, host in net.probes if 5.0 <= at_s < 14.0)
    assert max(probes.values()) <= 10, "no hurry while nothing can be sent"
    with capture_logs() as logs:
        net.run(4.0)
    assert [log["event"] for log in logs] == ["all probes are sent again"]
    assert net.reports[-1][1].healthy == set(names(10))
    assert not net.ever_failed()


def test_a_failed_host_stays_failed_while_nothing_can_be_sent() -> None:
    net = Net(lambda _host, now_s: True if now_s < 1.0 else False if now_s < 5.0 else None)
    net.use("10.0.0.1")
    net.run(20.0)
    assert net.state("10.0.0.1") == "failed"


def test_a_predecessors_failures_are_kept() -> None:
    net = Net(all_alive)
    net.mail[HealthReport] = HealthReport(
        "icmpecho", failed=frozenset({"10.0.0.1"}), changed_s={"10.0.0.1": 7.0}
    )
    net.use("10.0.0.0", "10.0.0.1")
    net.run(9.0)
    assert net.state("10.0.0.0") == "healthy"
    assert net.state("10.0.0.1") == "failed"
    assert net.reports[-1][1].changed_s == {"10.0.0.1": 7.0}
    net.run(5.0)
    assert net.state("10.0.0.1") == "healthy"


def test_hosts_that_go_leave_the_report_and_are_not_probed() -> None:
    net = Net(lambda host, _now_s: host != "10.0.0.1")
    net.use(*names(3))
    net.run(0.3)
    net.use("10.0.0.0")
    net.run(5.0)
    assert net.reports[-1][1].healthy == {"10.0.0.0"}
    assert net.reports[-1][1].failed == frozenset()
    assert {host for at_s, host in net.probes if at_s > 0.3} == {"10.0.0.0"}


def test_the_same_hosts_again_change_nothing() -> None:
    net = Net(all_alive)
    for _ in range(100):
        net.use(*names(4))
        net.run(0.1)
    assert 36 <= len(net.probes) <= 46
    assert len(net.reports) <= 3


def test_nothing_to_do_without_hosts() -> None:
    net = Net(all_alive)
    net.run(100.0)
    assert not net.probes
    net.use("10.0.0.1")
    net.run(0.1)
    net.use()
    net.run(10.0)
    assert len(net.probes) == 1
    assert net.reports[-1][1] == HealthReport("icmpecho")


def test_reports_of_a_large_change_are_few() -> None:
    net = Net(lambda _host, now_s: now_s < 2.0)
    net.use(*names(10_000))
    net.run(5.0)
    assert len(net.reports[-1][1].failed) == 10_000
    assert len([at_s for at_s, _ in net.reports if at_s > 2.0]) < 2.2 / 0.020


def test_few_hosts_wake_by_answers_and_many_by_ticks() -> None:
    net = Net(all_alive)
    net.use(*names(10))
    net.run(1.0)
    assert net.watched == {99}
    net.use(*names(1000))
    net.run(1.0)
    assert net.watched == set()


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


# Options


def defaults(**changed: float | None) -> dict[str, float | None]:
    values = {option.name: option.default for option in probe_options("x")}
    general = {"hold_s": 7.0, "isolation_share": 0.6}
    return values | {f"x_{name}": value for name, value in changed.items()} | general


@pytest.mark.parametrize(
    ("changed", "timing"),
    [
        ({}, Timing(2.0, 0.4, 0.2, 3, 2, 7.0, 0.6)),
        ({"interval": 1.0}, Timing(1.0, 0.4, 0.1, 3, 2, 7.0, 0.6)),
        ({"interval": 0.25}, Timing(0.25, 0.2, 0.05, 3, 2, 7.0, 0.6)),
        (
            {"timeout": 1.5, "fastinter": 0.5, "fall": 1, "rise": 9},
            Timing(2.0, 1.5, 0.5, 1, 9, 7.0, 0.6),
        ),
    ],
)
def test_times_that_follow_from_options(changed: dict[str, float], timing: Timing) -> None:
    made = Timing.of(defaults(**changed), "x")
    assert made == timing
    assert made.policy.hold_s == 7.0


@pytest.mark.parametrize(
    ("changed", "faults"),
    [
        ({}, []),
        ({"timeout": 1.9}, []),
        ({"timeout": 2.0}, ["x_timeout (2 s) must be less than x_interval (2 s)"]),
        ({"fastinter": 2.0}, []),
        (
            {"interval": 1.0, "fastinter": 1.5},
            ["x_fastinter (1.5 s) must not be more than x_interval (1 s)"],
        ),
    ],
)
def test_relations_between_options(changed: dict[str, float], faults: list[str]) -> None:
    assert list(check_probe_options("x", defaults(**changed))) == faults


# Echo packets


@pytest.mark.parametrize(("version", "name"), [(V4, "ipv4"), (V6, "ipv6")])
@pytest.mark.parametrize(("hosts", "warns"), [(1024, False), (1025, True)])
def test_a_small_neighbour_table_is_warned_of(
    hosts: int,
    warns: bool,
    version: Version,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "net" / name / "neigh" / "default"
    folder.mkdir(parents=True)
    (folder / "gc_thresh3").write_text("1024\n")
    monkeypatch.setattr(icmp, "SYSCTLS", tmp_path)
    with capture_logs() as logs:
        icmp.warn_of_small_neighbour_table(version, hosts)
    assert [f"net.{name}.neigh.default.gc_thresh3" in log["event"] for log in logs] == [
        True
    ] * warns


SECRET = b"8 bytes!"
SOURCE = bytes([10, 0, 0, 7])


@given(st.integers(0, 2**64 - 1), st.binary(min_size=4, max_size=4), st.integers(0, 0xFFFF))
def test_probes_have_a_right_checksum(serial: int, address: bytes, ident: int) -> None:
    codec = EchoCodec(ident, SECRET)
    (packet,) = codec.requests([codec.tail(address)], [serial])
    assert checksum(packet) == 0
    assert packet[0] == V4.request_kind
    assert int.from_bytes(packet[6:8], "big") == serial & 0xFFFF


@pytest.mark.parametrize(
    ("offset", "value", "counts"),
    [
        (None, b"", True),
        (20, bytes([V4.request_kind]), False),
        (12, bytes([10, 0, 0, 8]), False),
        (26, b"\xff\xff", False),
        (48, bytes([10, 0, 0, 8]), False),
        (56, b"8 bytes?", False),
        (22, b"\0\0", False),
        (32, b"\1", False),
    ],
)
def test_only_genuine_replies_count(offset: int | None, value: bytes, counts: bool) -> None:
    codec = EchoCodec(4711, SECRET)
    slot = reply_slot(codec, SOURCE, 70_000)
    if offset is not None:
        slot[offset : offset + len(value)] = value
    replies = codec.replies(memoryview(slot), [codec.version.reply_bytes], [1.5])
    assert replies == ([(70_000, True, 1.5)] if counts else [])


SOURCE_6 = bytes([0x20, 1, *bytes(13), 7])


@pytest.mark.parametrize(
    ("offset", "value", "counts"),
    [
        (None, b"", True),
        (28, bytes([V6.request_kind]), False),
        (29, b"\1", False),
        (23, b"\x08", False),
        (34, b"\xff\xff", False),
        (71, b"\x08", False),
        (72, b"8 bytes?", False),
    ],
)
def test_only_genuine_replies_count_over_ipv6(
    offset: int | None, value: bytes, counts: bool
) -> None:
    codec = EchoCodec(4711, SECRET, V6)
    (echo,) = codec.requests([codec.tail(SOURCE_6)], [70_000])
    assert (echo[0], len(echo)) == (V6.request_kind, V6.echo.size)
    slot = reply_slot(codec, SOURCE_6, 70_000)
    assert len(slot) == V6.reply.size
    if offset is not None:
        slot[offset : offset + len(value)] = value
    replies = codec.replies(memoryview(slot), [codec.version.reply_bytes], [1.5])
    assert replies == ([(70_000, True, 1.5)] if counts else [])


@pytest.mark.parametrize(
    ("monitor", "options", "worst_s"),
    [
        (IcmpEcho, {}, 3.0),
        (Tcp, {"tcp_check_interval": 0.1}, 0.31),
        (Http, {"http_check_interval": 1.0, "http_check_fall": 5}, 2.1),
        (Script, {"script_command": "/bin/true", "script_interval": 10.0, "script_fall": 1}, 15.0),
        (Always, {}, None),
    ],
)
def test_the_api_is_told_the_worst_case(
    monitor: type[Monitor], options: dict[str, object], worst_s: float | None
) -> None:
    values = {option.name: option.default for option in monitor.add_arguments()}
    info = monitor(values | options | {"hold_s": 9.0, "isolation_share": 0.5}).get_info()
    assert info.get("worst_case_detection_s") == worst_s


class Late:
    """In place of a raw socket: a reply to one probe, stamped by the kernel's wall clock."""

    def __init__(self, packet: bytes, stamped_s: float) -> None:
        self._waiting = [(packet, struct.pack("=qq", int(stamped_s), 0))]

    def fileno(self) -> int:
        return -1

    def recvmsg_into(self, buffers: list[memoryview], _size: int) -> tuple[object, ...]:
        if not self._waiting:
            raise BlockingIOError
        packet, stamp = self._waiting.pop()
        buffers[0][: len(packet)] = packet
        return len(packet), [(1, raw_sockets.SO_TIMESTAMPNS, stamp)], 0, ("10.0.0.7", 0)


@pytest.mark.parametrize(
    ("jump_s", "at_s"),
    [(0.0, 1003.0), (-3600.0, 1000.0), (3600.0, 1000.0)],
    ids=["no jump", "back", "ahead"],
)
def test_a_wall_clock_that_jumps_makes_no_answer_late(
    jump_s: float, at_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read 5 s after the last reading, the reply came 2 s ago, and the clock was set since."""
    codec = EchoCodec(4711, SECRET)
    packet = reply_packet(codec, SOURCE, 1)
    now_s, wall_ahead_s = 1000.0, 5000.0
    sock = Late(packet, 1003.0 + wall_ahead_s)
    monkeypatch.setattr(icmp, "open_echo_socket", lambda *_: sock)
    monkeypatch.setattr(time, "time", lambda: now_s + wall_ahead_s)
    line = EchoLine(codec, lambda: now_s, fast=False)
    line._wall_ahead_s = wall_ahead_s
    now_s, wall_ahead_s = 1005.0, wall_ahead_s + jump_s
    assert line.collect() == [(1, True, at_s)]
