"""The tcp monitor's real process against listeners on loopback addresses."""

import contextlib
import errno
import resource
import select
import signal
import socket
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.net.monitor import MonitorProcess
from vpcrouter.monitoring import connect, socket_pool
from workers.tcp import ConnectProber

START_S = 15.0
A, B = "127.0.77.1", "127.0.77.2"
QUICK = {"tcp_check_interval": 0.3, "tcp_check_timeout": 0.2}
HOLD_S = 3.0


@pytest.fixture
def listeners() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def listen(stack: contextlib.ExitStack, host: str, port: int = 0, backlog: int = 128) -> int:
    sock = stack.enter_context(socket.socket())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(backlog)
    bound: int = sock.getsockname()[1]
    return bound


def monitor_of(port: int, **options: Any) -> MonitorProcess:
    return MonitorProcess("tcp", tcp_check_port=port, **(QUICK | options))


def loopback(count: int) -> tuple[str, ...]:
    return tuple(f"127.1.{i >> 8}.{i & 255}" for i in range(1, count + 1))


def test_a_closed_port_fails_and_comes_back_after_the_hold(
    listeners: contextlib.ExitStack,
) -> None:
    port = listen(listeners, A)
    with contextlib.ExitStack() as of_b, monitor_of(port) as monitor:
        listen(of_b, B, port)
        monitor.use(A, B)
        monitor.expect("healthy", lambda r: r.healthy == {A, B}, START_S)
        of_b.close()
        failed_s = monitor.expect("failed", lambda r: r.failed == {B}, 5.0)
        listen(listeners, B, port)
        back_s = monitor.expect("back", lambda r: B in r.healthy, HOLD_S + 10.0)
        assert back_s - failed_s >= HOLD_S
        assert not monitor.ever_unhealthy(frozenset({A}))


def test_a_listener_that_takes_no_more_is_silent_and_fails(
    listeners: contextlib.ExitStack,
) -> None:
    port = listen(listeners, A)
    listen(listeners, B, port, backlog=0)
    with monitor_of(port) as monitor:
        monitor.use(A, B)
        monitor.expect("healthy", lambda r: r.healthy == {A, B}, START_S)
        for _ in range(4):  # nobody accepts: its backlog is full
            client = listeners.enter_context(socket.socket())
            client.setblocking(False)
            assert client.connect_ex((B, port)) in (0, errno.EINPROGRESS)
        monitor.expect("failed", lambda r: r.failed == {B}, 5.0)
        assert A in monitor.last.healthy


def test_many_targets_and_none_falsely_failed(listeners: contextlib.ExitStack) -> None:
    port = listen(listeners, "0.0.0.0", backlog=4096)  # noqa: S104 - all of 127.0.0.0/8
    hosts = loopback(1000)
    with monitor_of(port) as monitor:
        monitor.use(*hosts)
        monitor.expect("healthy", lambda r: len(r.healthy) == 1000, START_S)
        monitor.watch(4.0)
        assert not monitor.ever_unhealthy(frozenset(hosts))


def test_a_stopped_monitor_fails_nothing(listeners: contextlib.ExitStack) -> None:
    port = listen(listeners, "0.0.0.0")  # noqa: S104 - all of 127.0.0.0/8
    hosts = loopback(100)
    with monitor_of(port, tcp_check_fall=1) as monitor:
        monitor.use(*hosts)
        monitor.expect("healthy", lambda r: len(r.healthy) == 100, START_S)
        for _ in range(3):
            monitor.signal(signal.SIGSTOP)
            monitor.watch(0.7)
            monitor.signal(signal.SIGCONT)
            monitor.watch(0.5)
        assert not monitor.ever_unhealthy(frozenset(hosts))


def test_refused_deaths_are_found_in_time(listeners: contextlib.ExitStack) -> None:
    """At an interval of 1 s: the median within 0.9 s, all within 1.6 s."""
    hosts = loopback(200)
    with contextlib.ExitStack() as mortal:
        port = listen(mortal, "0.0.0.0")  # noqa: S104 - all of 127.0.0.0/8
        with MonitorProcess("tcp", tcp_check_port=port, tcp_check_interval=1.0) as monitor:
            monitor.use(*hosts)
            monitor.expect("healthy", lambda r: len(r.healthy) == 200, START_S)
            monitor.watch(1.5)  # their turns are spread over the interval by then
            mortal.close()
            died_s = time.monotonic()
            monitor.expect("failed", lambda r: len(r.failed) == 200, 10.0)
            took_s = [at_s - died_s for at_s in monitor.last.failed_since_at.values()]
            print(f"median {statistics.median(took_s):.3f} s, max {max(took_s):.3f} s")  # noqa: T201
            assert statistics.median(took_s) <= 0.9
            assert max(took_s) <= 1.6


def test_the_monitor_ends_when_told(listeners: contextlib.ExitStack) -> None:
    port = listen(listeners, A)
    with monitor_of(port) as monitor:
        monitor.use(A)
        monitor.expect("healthy", lambda r: r.healthy == {A}, START_S)
    assert monitor.exitcode == 0


# The prober alone


@pytest.fixture
def prober_of() -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def make(port: int) -> ConnectProber:
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
            prober = ConnectProber(port)
            stack.callback(prober.close)
            return prober

        yield make


def outcomes_of(prober: ConnectProber, count: int) -> dict[int, bool | None]:
    found: dict[int, bool | None] = {}
    deadline_s = time.monotonic() + 5
    while len(found) < count and time.monotonic() < deadline_s:
        found |= {serial: answered for serial, answered, _ in prober.collect() or ()}
        select.select([prober.fileno()], [], [], 0.05)
    return found


def test_accepted_and_refused(prober_of: Any, listeners: contextlib.ExitStack) -> None:
    prober = prober_of(listen(listeners, A))
    prober.set_hosts([A, B])
    assert not prober.send([A, B], 100)
    assert outcomes_of(prober, 2) == {100: True, 101: False}
    assert prober.collect() is None


def test_the_listeners_application_sees_nothing(prober_of: Any) -> None:
    with socket.create_server((A, 0)) as server:
        server.setblocking(False)
        prober = prober_of(server.getsockname()[1])
        prober.set_hosts([A])
        for serial in (0, 20, 40):
            prober.send([A] * 20, serial)
            assert len(outcomes_of(prober, 20)) == 20
        with pytest.raises(BlockingIOError):
            server.accept()


def test_no_connection_is_left_behind(prober_of: Any, listeners: contextlib.ExitStack) -> None:
    """In FIN_WAIT or TIME_WAIT each would hold a port for a minute; they are reset instead."""
    port = listen(listeners, A, backlog=256)
    prober = prober_of(port)
    prober.set_hosts([A])
    for serial in (0, 100):
        assert not prober.send([A] * 100, serial)
        assert len(outcomes_of(prober, 100)) == 100
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    assert [line for line in lines if line.split()[2].endswith(f":{port:04X}")] == []


def open_sockets() -> int:
    descriptors = list(Path("/proc/self/fd").iterdir())
    # Listing them has taken one that is gone by now.
    return sum(
        str(each.readlink()).startswith("socket:") for each in descriptors if each.is_symlink()
    )


def test_only_sockets_that_were_answered_probe_again(
    prober_of: Any, listeners: contextlib.ExitStack
) -> None:
    """Whatever else a probe met with may stay with its socket."""
    port = listen(listeners, A, backlog=256)
    prober = prober_of(port)
    prober.set_hosts([A, B])
    ours = open_sockets()
    for serial in range(0, 500, 50):
        assert not prober.send([A, B] * 25, serial)
        prober.forget([serial])
        prober.expire([(serial + 1, B)])
        prober.revive([B])
        expected = {each: each % 2 == 0 for each in range(serial + 2, serial + 50)}
        assert outcomes_of(prober, 48) == expected
        assert open_sockets() == ours + sum(expected.values())


def test_there_are_no_more_sockets_than_probes_under_way(
    prober_of: Any, listeners: contextlib.ExitStack
) -> None:
    """Nor are many kept."""
    port = listen(listeners, A, backlog=2048)
    listeners.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6))
    prober = prober_of(port)
    prober.set_hosts([A, "::1"])
    ours = open_sockets()
    for serial, host in ((0, A), (30, "::1"), (60, A)):
        prober.send([host] * 30, serial)
        assert open_sockets() == ours + 30
        assert set(outcomes_of(prober, 30).values()) == {True}
    prober.send([A] * 1000, 100)
    assert len(outcomes_of(prober, 1000)) == 1000
    assert open_sockets() <= ours + socket_pool.MAX_IDLE
    prober.close()
    assert open_sockets() == ours


def test_the_limit_of_descriptors_is_raised(prober_of: Any) -> None:
    """It is 1,024 by default; each pending connection takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        usual = resource.getrlimit(resource.RLIMIT_NOFILE)
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, usual)
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        prober_of(9)
        wanted = connect.MAX_PENDING + connect.SPARE_DESCRIPTORS
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, wanted) > 512


def test_no_route_is_not_sent(prober_of: Any) -> None:
    prober = prober_of(9)
    everybody = "255.255.255.255"  # which no route for TCP leads to
    prober.set_hosts([everybody])
    assert list(prober.send([everybody], 0)) == [0]
    assert prober.trouble
    assert prober.collect() is None


def test_no_descriptors_left_is_not_sent(
    prober_of: Any, listeners: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    prober = prober_of(listen(listeners, A))
    prober.set_hosts([A])

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", refuse)
    assert list(prober.send([A], 0)) == [0]
    assert prober.trouble == "Too many open files"


def test_silent_hosts_leave_room_to_the_others(
    prober_of: Any, listeners: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "MAX_PENDING", 10)
    monkeypatch.setattr(connect, "SPARE_DESCRIPTORS", 0)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    prober = prober_of(listen(listeners, A))
    prober.set_hosts([A, B])
    prober.expire([(1, B)])
    assert list(prober.send([B] * 7, 10)) == [5, 6]
    assert list(prober.send([A] * 7, 20)) == [5, 6]
    prober.revive([B])
    prober.forget(range(10, 27))
    assert list(prober.send([B] * 7, 30)) == []


def test_probes_forgotten_or_timed_out_are_closed(
    prober_of: Any, listeners: contextlib.ExitStack
) -> None:
    prober = prober_of(listen(listeners, A))
    prober.set_hosts([A])
    prober.send([A] * 4, 0)
    prober.forget([0, 1, 99])
    prober.expire([(2, A)])
    assert outcomes_of(prober, 1) == {3: True}
    assert prober.collect() is None
