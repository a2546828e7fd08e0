"""The icmpecho monitor against real kernels' echo replies."""

import errno
import signal
import socket
import statistics
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.net.conftest import HOSTS_SIDE, HOSTS_SIDE_6, Net
from tests.net.monitor import MonitorProcess
from tests.waiting import wait_until
from vpcrouter.errors import EX_CONFIG
from vpcrouter.model.messages import HealthReport
from vpcrouter.monitoring import raw_sockets
from vpcrouter.monitoring.echo_packets import EchoCodec, version_of
from vpcrouter.monitoring.icmp import EchoLine, EchoProber

START_S = 15.0
QUICK = {"icmp_check_interval": 0.3, "icmp_check_timeout": 0.2}
HOLD_S = 3.0
A, B = "10.77.1.1", "10.77.1.2"


def icmp(net: Net, **options: Any) -> MonitorProcess:
    return MonitorProcess("icmpecho", net.near, **(QUICK | options))


def any_ip(count: int) -> tuple[str, ...]:
    return tuple(f"198.18.{i >> 8}.{i & 255}" for i in range(1, count + 1))


def any_ip_6(count: int) -> tuple[str, ...]:
    return tuple(f"fd18::{i:x}" for i in range(1, count + 1))


def test_an_address_taken_away_fails_and_comes_back_after_the_hold(net: Net) -> None:
    net.address("add", A, B)
    with icmp(net) as monitor:
        monitor.use(A, B)
        monitor.expect("healthy", lambda r: r.healthy == {A, B}, START_S)
        net.address("del", B)
        died_s = time.monotonic()
        failed_s = monitor.expect("failed", lambda r: B in r.failed, 5.0)
        assert failed_s - died_s < 2.0
        assert died_s < monitor.last.failed_since_at[B] <= failed_s
        net.address("add", B)
        back_s = monitor.expect("back", lambda r: B in r.healthy, HOLD_S + 10.0)
        assert back_s - failed_s >= HOLD_S
        assert monitor.ever_failed() == {B}
        assert not monitor.ever_unhealthy(frozenset({A}))


def test_hosts_that_drop_packets_fail(net: Net) -> None:
    with icmp(net) as monitor:
        monitor.use(*any_ip(10))
        monitor.expect("healthy", lambda r: len(r.healthy) == 10, START_S)
        net.be_silent(True)
        monitor.expect("failed", lambda r: r.failed == set(any_ip(10)), 5.0)


def test_ipv6_hosts_beside_others(net: Net) -> None:
    hosts, others = {*any_ip_6(200), HOSTS_SIDE_6}, set(any_ip(50))
    with icmp(net) as monitor:
        monitor.use(*hosts, *others, "fd77::99")
        monitor.expect(
            "judged",
            lambda r: r.healthy == hosts | others and r.failed == {"fd77::99"},
            START_S,
        )
        net.be_silent(True, over="ipv6/icmp/")
        monitor.expect("failed", lambda r: r.failed == hosts | {"fd77::99"}, 5.0)
        net.be_silent(False, over="ipv6/icmp/")
        monitor.expect("back", lambda r: hosts <= r.healthy, HOLD_S + 10.0)
        assert not monitor.ever_unhealthy(frozenset(others))


def test_hosts_that_never_answered_fail_too(net: Net) -> None:
    with icmp(net) as monitor:
        monitor.use(HOSTS_SIDE, A)
        monitor.expect("judged", lambda r: r.healthy == {HOSTS_SIDE} and r.failed == {A}, START_S)


def test_lost_packets_below_the_limit_fail_nothing(net: Net) -> None:
    patient = {"icmp_check_fall": 6, "icmp_check_fastinter": 0.3}
    with icmp(net, **patient) as monitor:
        monitor.use(*any_ip(5))
        monitor.expect("healthy", lambda r: len(r.healthy) == 5, START_S)
        for _ in range(2):
            asked_before, answered_before = net.echoes()
            net.be_silent(True)
            monitor.watch(0.5)
            net.be_silent(False)
            monitor.watch(1.0)
            asked, answered = net.echoes()
            assert answered - answered_before < asked - asked_before, "no packet was lost"
        assert not monitor.ever_unhealthy(frozenset(any_ip(5)))


def test_our_own_uplink_down_fails_nothing(net: Net) -> None:
    with icmp(net) as monitor:
        monitor.use(*any_ip(20))
        monitor.expect("healthy", lambda r: len(r.healthy) == 20, START_S)
        net.uplink("down")
        monitor.expect("unknown", lambda r: not r.healthy, 5.0)
        monitor.watch(1.5)
        net.uplink("up")
        net.add_gateway()
        monitor.expect("healthy again", lambda r: len(r.healthy) == 20, 10.0)
        assert not monitor.ever_failed()


def test_a_stopped_monitor_fails_nothing(net: Net) -> None:
    with icmp(net, icmp_check_fall=1) as monitor:
        monitor.use(*any_ip(200))
        monitor.expect("healthy", lambda r: len(r.healthy) == 200, START_S)
        for _ in range(3):
            monitor.signal(signal.SIGSTOP)
            monitor.watch(0.7)
            monitor.signal(signal.SIGCONT)
            monitor.watch(0.5)
        assert not monitor.ever_unhealthy(frozenset(any_ip(200)))


def test_two_thousand_hosts_and_none_falsely_failed(net: Net) -> None:
    with icmp(net) as monitor:
        monitor.use(*any_ip(2000))
        monitor.expect("healthy", lambda r: len(r.healthy) == 2000, START_S)
        monitor.watch(5.0)
        assert not monitor.ever_unhealthy(frozenset(any_ip(2000)))
        asked, answered = net.echoes()
        assert answered == asked > 2000 * 5 / 0.3


def test_dead_neighbours_do_not_starve_live_hosts(net: Net) -> None:
    live = tuple(f"10.77.2.{i}" for i in range(1, 21))
    dead = tuple(f"10.77.{3 + i // 250}.{1 + i % 250}" for i in range(300))
    net.address("add", *live)
    options = {"icmp_check_interval": 0.2, "icmp_check_timeout": 0.15}
    with icmp(net, **options) as monitor:
        monitor.use(*live, *dead)
        monitor.expect(
            "judged", lambda r: r.healthy == set(live) and r.failed == set(dead), START_S
        )
        monitor.watch(6.0)
        assert not monitor.ever_unhealthy(frozenset(live))


def test_a_new_generation_keeps_what_had_failed(net: Net) -> None:
    with icmp(net) as monitor:
        failed = HealthReport("icmpecho", failed=frozenset({any_ip(2)[1]}))
        monitor.tell(failed, worker="icmpecho")
        monitor.use(*any_ip(2))
        seen_s = monitor.expect("healthy", lambda r: bool(r.healthy), START_S)
        assert monitor.last.failed == {any_ip(2)[1]}
        back_s = monitor.expect("both", lambda r: len(r.healthy) == 2, HOLD_S + 10.0)
        assert back_s - seen_s >= HOLD_S - 0.3


def test_silent_deaths_are_found_in_time(net: Net) -> None:
    """At an interval of 1 s: the median within 1.6 s, nothing later than the worst case."""
    hosts = any_ip(200)
    with MonitorProcess("icmpecho", net.near, icmp_check_interval=1.0) as monitor:
        monitor.use(*hosts)
        monitor.expect("healthy", lambda r: len(r.healthy) == 200, START_S)
        monitor.watch(1.5)  # their turns are spread over the interval by then
        net.kill_any_ip()
        died_s = time.monotonic()
        monitor.expect("failed", lambda r: len(r.failed) == 200, 10.0)
        took_s = [at_s - died_s for at_s in monitor.last.failed_since_at.values()]
        print(f"median {statistics.median(took_s):.3f} s, max {max(took_s):.3f} s")  # noqa: T201
        assert statistics.median(took_s) <= 1.6
        assert max(took_s) <= 1.9 + 0.5


def test_without_the_right_to_a_raw_socket_it_is_a_matter_of_settings(
    net: Net, capfd: pytest.CaptureFixture[str]
) -> None:
    with MonitorProcess("icmpecho", net.near, uid=65_534) as monitor:
        monitor.process.join(START_S)
        assert monitor.process.exitcode == EX_CONFIG
    said = capfd.readouterr().err
    for way in ("CAP_NET_RAW", "AmbientCapabilities", "setcap", "--health tcp"):
        assert way in said


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    ("some", "dead"), [(any_ip(300), A), (any_ip_6(300), "fd77::99")], ids=["ipv4", "ipv6"]
)
def test_both_ways_to_send_and_receive(
    net: Net, some: tuple[str, ...], dead: str, fast: bool
) -> None:
    hosts = [*some, dead]
    with net.inside_near():
        prober = EchoProber(fast=fast)
    try:
        prober.set_hosts(hosts)
        began_s = time.monotonic()
        assert not prober.send(hosts, 70_000)
        seen: dict[int, float] = {}
        while len(seen) < 300 and time.monotonic() < began_s + 10:
            for serial, answered, at_s in prober.collect() or ():
                assert answered
                seen[serial] = at_s
        assert set(seen) == set(range(70_000, 70_300))
        assert all(began_s - 0.05 <= at_s <= time.monotonic() for at_s in seen.values())
        prober.expire([(70_300, dead), (70_000, hosts[0])])
        assert not prober.send([hosts[0], dead, hosts[1]], 80_000)
        seen.clear()
        while len(seen) < 2 and time.monotonic() < began_s + 10:
            seen |= {serial: at_s for serial, _, at_s in prober.collect() or ()}
        assert set(seen) == {80_000, 80_002}
        net.uplink("down")
        assert sorted(prober.send(hosts[:200], 90_000)) == list(range(200))
        assert prober.trouble == "ENETUNREACH"
    finally:
        prober.close()


@pytest.mark.parametrize("fast", [False, True])
def test_a_full_send_buffer_is_not_sent(
    net: Net, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fills with packets that wait for neighbours who do not answer."""
    monkeypatch.setattr(raw_sockets, "BUFFER_BYTES", 4096)
    with net.inside_near():
        prober = EchoProber(fast=fast)
    dead = [f"10.77.4.{i}" for i in range(1, 101)]
    try:
        prober.set_hosts(dead)
        unsent = list(prober.send(dead, 0))
        assert unsent
        assert 0 not in unsent, "the first one was"
        assert prober.trouble in {"EAGAIN", "ENOBUFS"}
        assert not prober.collect()
    finally:
        prober.close()


def test_hosts_that_do_not_answer_take_nothing_from_the_others(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their packets wait for ARP, at the expense of a socket of their own."""
    monkeypatch.setattr(raw_sockets, "BUFFER_BYTES", 32 * 1024)
    live = [f"10.77.2.{i}" for i in range(1, 21)]
    dead = [f"10.77.4.{i}" for i in range(1, 201)]
    net.address("add", *live)
    with net.inside_near():
        prober = EchoProber()
    try:
        prober.set_hosts([*live, *dead])
        assert not prober.send(live, 0), "and with it, their neighbours are known"
        wait_until(lambda: net.echoes()[1] >= 20, 5.0, "answered")
        prober.expire((serial, host) for serial, host in enumerate(dead))
        unsent = list(prober.send([*dead, *live], 1000))
        assert unsent
        assert max(unsent) < len(dead)
    finally:
        prober.close()


def test_thousands_of_replies_wait_until_they_are_read(net: Net) -> None:
    """The kernel's own receive buffer would hold 256."""
    with net.inside_near():
        prober = EchoProber()
    hosts = any_ip(3000)
    try:
        prober.set_hosts(hosts)
        assert not prober.send(hosts, 0)
        wait_until(lambda: net.echoes()[1] >= 3000, 5.0, "answered")
        seen: set[int] = set()
        while (outcomes := prober.collect()) is not None:
            seen.update(serial for serial, _, _ in outcomes)
        assert seen == set(range(3000))
    finally:
        prober.close()


def test_without_ipv6_its_hosts_are_not_probed_and_others_are(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = socket.socket

    def refuse(family: int, *rest: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return usual(family, *rest)

    monkeypatch.setattr(socket, "socket", refuse)
    with net.inside_near():
        prober = EchoProber()
    try:
        hosts = ["fd18::1", HOSTS_SIDE, "fd18::2"]
        prober.set_hosts(hosts)
        assert sorted(prober.send(hosts, 100)) == [0, 2]
        assert prober.trouble == "EAFNOSUPPORT"
        prober.expire([(100, "fd18::1")])
        outcomes = wait_until(prober.collect, 5.0, "answered")
        assert [serial for serial, _, _ in outcomes or ()] == [101]
    finally:
        prober.close()


@pytest.mark.parametrize("host", [HOSTS_SIDE, HOSTS_SIDE_6])
def test_it_does_without_the_kernels_filter(
    net: Net, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(raw_sockets, "SO_ATTACH_FILTER", 0x7FFF)
    with net.inside_near(), capture_logs() as logs:
        prober, other = EchoProber(), EchoProber()
    assert "no kernel filter on the ICMP socket" in {log["event"] for log in logs}
    try:
        for each, first in ((prober, 100), (other, 200)):
            each.set_hosts([host])
            assert not each.send([host], first)
        outcomes = wait_until(prober.collect, 5.0, "answered")
        assert [serial for serial, _, _ in outcomes or ()] == [100]
    finally:
        prober.close()
        other.close()


@pytest.mark.parametrize("host", [HOSTS_SIDE, HOSTS_SIDE_6])
def test_the_kernel_drops_what_is_for_others(net: Net, host: str) -> None:
    """Each raw socket would get a copy of every ICMP packet."""
    version = version_of(host)
    with net.inside_near():
        ours, others = EchoLine(EchoCodec(7, b"8 bytes!", version), time.monotonic, True), []
        deaf = raw_sockets.open_echo_socket(version, None)
        for ident in (7, 8):
            line = EchoLine(EchoCodec(ident, b"another!", version), time.monotonic, True)
            line.set_hosts([host])
            others.append(line)
    try:
        for line in others:
            assert not line.send([host] * 5, range(5))
        wait_until(others[1].collect, 5.0, "the others' answers")
        io = raw_sockets.PlainIo(ours._sock, version)
        assert io.receive() == 5, "those with our id, and no others"
        with pytest.raises(BlockingIOError):
            deaf.recv(100)
    finally:
        for each in (ours, *others):
            each.close()
        deaf.close()


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("host", [HOSTS_SIDE, HOSTS_SIDE_6])
def test_answers_are_timed_by_the_kernel(net: Net, host: str, fast: bool) -> None:
    """However late they are read."""
    with net.inside_near():
        prober = EchoProber(fast=fast)
    try:
        prober.set_hosts([host])
        for first in (1, 2):  # the first reading learns how wall and monotonic clock stand
            time.sleep(0.3)
            prober.send([host], first)
            sent_s = time.monotonic()
            time.sleep(0.3)  # the lateness itself
            late = prober.collect()
            prober.collect()
        assert late
        assert sent_s - 0.05 < late[0][2] < sent_s + 0.1
    finally:
        prober.close()


@pytest.mark.parametrize("count", [2, 20])
def test_no_carrier_on_our_own_link_fails_nothing(net: Net, count: int) -> None:
    """However few they are, and though the kernel takes every probe."""
    with icmp(net) as monitor:
        monitor.use(*any_ip(count))
        monitor.expect("healthy", lambda r: len(r.healthy) == count, START_S)
        net.far_end("down")
        monitor.expect("cut off", lambda r: "v0 is down" in r.isolated, 5.0)
        monitor.watch(1.5)
        assert not monitor.last.healthy
        net.far_end("up")
        monitor.expect("healthy again", lambda r: len(r.healthy) == count, 10.0)
        assert not monitor.last.isolated
        assert not monitor.ever_failed()


def test_silence_of_all_at_once_fails_nothing(net: Net) -> None:
    with icmp(net, isolation_share=0.5) as monitor:
        monitor.use(*any_ip(50))
        monitor.expect("healthy", lambda r: len(r.healthy) == 50, START_S)
        net.be_silent(True)
        monitor.expect("cut off", lambda r: "50 of 50" in r.isolated, 5.0)
        net.be_silent(False)
        monitor.expect("healthy again", lambda r: len(r.healthy) == 50 and not r.isolated, 10.0)
        assert not monitor.ever_failed()
