"""The supervisor with real processes: what ends or hangs is replaced, and nothing outlives it."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.process.daemon import descendants
from tests.process.supervised import (
    NO_FORKER,
    OBSERVER,
    START_S,
    Seen,
    StartSupervised,
    Supervised,
    assert_gone,
    is_there,
    run_first,
    state_of,
)
from tests.waiting import wait_until
from vpcrouter.errors import EX_CONFIG
from vpcrouter.model.messages import API, MONITOR, RECONCILER
from vpcrouter.supervisor.lifecycle import LifePolicy

# Replaced

ENDS = {
    "end": "status 3",
    "fail": "status 1",
    "return": "status 1",
    "loop": "signal 6",
    "block": "signal 6",
    "babble": "signal 9",
}
SIGNALS = {"STOP": "signal 6", "KILL": "signal 9", "SEGV": "signal 11"}
OTHERS = ("one", "two")


@dataclass(frozen=True)
class Aftermath:
    """All workers before and after many of them failed at once."""

    before: dict[str, Seen]
    after: dict[str, Seen]
    log: str


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    names = (*ENDS, *SIGNALS, *OTHERS)
    supervised = Supervised(
        tmp_path_factory.mktemp("supervised"),
        OBSERVER,
        *((name, MONITOR, "Obedient") for name in names),
    )
    try:
        before = supervised.wait_running()
        for name in ENDS:
            supervised.order(name, name)
        for name in SIGNALS:
            os.kill(before[name].pid or 0, signal.Signals[f"SIG{name}"])
        for name in (*ENDS, *SIGNALS):
            supervised.wait_replaced(name, before[name])
        yield Aftermath(before, supervised.workers(), supervised.log())
    finally:
        supervised.end()


@pytest.mark.parametrize(("name", "last_exit"), [*ENDS.items(), *SIGNALS.items()])
def test_it_is_replaced_by_a_new_generation(
    name: str, last_exit: str, aftermath: Aftermath
) -> None:
    before, after = aftermath.before[name], aftermath.after[name]
    assert after.last_exit == last_exit
    assert after.generation > before.generation
    assert after.pid != before.pid
    assert before.pid is not None
    assert not is_there(before.pid)


@pytest.mark.parametrize("name", [*OTHERS, "observer"])
def test_the_others_are_untouched(name: str, aftermath: Aftermath) -> None:
    assert aftermath.after[name] == aftermath.before[name]


@pytest.mark.parametrize(
    "text",
    [
        "Fatal Python error: Aborted",  # where the silent one hung
        "fake_workers.py",
        "RuntimeError: as told",
        'event="worker returned unexpectedly"',
    ],
)
def test_the_log_says_why(text: str, aftermath: Aftermath) -> None:
    assert text in aftermath.log


def test_what_a_plugin_logs_is_in_the_log(aftermath: Aftermath) -> None:
    assert 'level=info worker=one event="at your service"' in aftermath.log


# The end


@pytest.fixture
def bad_company(supervise: StartSupervised) -> tuple[Supervised, set[int]]:
    """A supervisor with workers that heed no signal, and all its processes."""
    supervised = supervise(
        OBSERVER, *((name, MONITOR, "Obedient") for name in ("good", "loop", "block", "STOP"))
    )
    workers = supervised.wait_running()
    for name in ("loop", "block"):
        supervised.order(name, name)
        wait_until(partial(supervised.has_heard, name), 10, supervised.log)
    os.kill(workers["STOP"].pid or 0, signal.SIGSTOP)
    processes = descendants(supervised.process.pid)
    assert {seen.pid for seen in workers.values()} <= processes
    return supervised, processes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_everything_within_five_seconds(
    number: signal.Signals, bad_company: tuple[Supervised, set[int]]
) -> None:
    supervised, processes = bad_company
    started_s = time.monotonic()
    supervised.process.send_signal(number)
    assert supervised.wait_end(5.0) == 0
    assert_gone(processes, started_s + 5.0 - time.monotonic())


def test_many_stops_are_one(supervise: StartSupervised) -> None:
    supervised = supervise(OBSERVER)
    supervised.wait_running()
    deadline_s = time.monotonic() + 5.0
    while supervised.process.poll() is None and time.monotonic() < deadline_s:
        supervised.process.send_signal(signal.SIGTERM)  # to the last moment
        time.sleep(0.0002)
    assert supervised.wait_end(0) == 0


def test_a_stop_while_workers_are_starting(supervise: StartSupervised) -> None:
    supervised = supervise(OBSERVER, ("one", MONITOR, "Obedient"))
    wait_until(lambda: "worker started" in supervised.log(), START_S, supervised.log)
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.wait_end(5.0) == 0


def test_no_worker_outlives_a_killed_supervisor(
    bad_company: tuple[Supervised, set[int]],
) -> None:
    supervised, processes = bad_company
    supervised.process.kill()
    assert_gone(processes, 2.0)


SLEEPER = (
    NO_FORKER
    + """
import time
if "launch.begin" in sys.orig_argv[-1]:
    time.sleep(60)
"""
)


def test_nor_does_one_that_is_stopped_before_it_runs_code_of_ours(
    supervise: StartSupervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The worker is held where only the kernel can end it.
    run_first(SLEEPER, tmp_path, monkeypatch)
    supervised = supervise(("one", MONITOR, "Obedient"))

    def starting() -> set[int]:
        return {
            pid
            for pid in descendants(supervised.process.pid)
            if b"launch.begin" in Path(f"/proc/{pid}/cmdline").read_bytes()
        }

    wait_until(starting, START_S, supervised.log)
    workers = starting()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(state_of(pid) == "T" for pid in workers), START_S, supervised.log)
    supervised.process.kill()
    assert_gone(workers, 2.0)


HELD_ONCE = """
import os, pathlib, signal, sys
if "launch.begin" in sys.orig_argv[-1]:
    mark = pathlib.Path(os.environ["HELD_ONCE"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.parametrize("first", ["", NO_FORKER + HELD_ONCE], ids=["forked", "interpreter"])
def test_a_worker_that_is_stopped_while_it_starts_is_not_taken_for_a_slow_one(
    supervise: StartSupervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    run_first(first, tmp_path, monkeypatch)
    monkeypatch.setenv("HELD_ONCE", str(tmp_path / "held"))
    supervised = supervise(("observer", API, "Observer" if first else "HeldOnce"))
    wait_until((tmp_path / "held").exists, START_S, supervised.log)
    held_s = time.monotonic()
    wait_until(lambda: "worker heartbeat lost" in supervised.log(), START_S, supervised.log)
    assert time.monotonic() - held_s < LifePolicy().start_allowance_s - 1
    assert supervised.wait_running()["observer"].generation == 2


# What no restart can mend


def test_wrong_settings_end_the_daemon_with_their_own_status(supervise: StartSupervised) -> None:
    supervised = supervise(OBSERVER, ("one", MONITOR, "Obedient"), ("bad", MONITOR, "Refusing"))
    assert supervised.wait_end(START_S) == EX_CONFIG
    assert "a setting cannot work here" in supervised.log()
    assert "Traceback" not in supervised.log()


def test_wrong_settings_found_later_do_too(supervise: StartSupervised) -> None:
    supervised = supervise(OBSERVER, ("bad", RECONCILER, "Obedient"))
    processes = {seen.pid or 0 for seen in supervised.wait_running().values()}
    supervised.order("bad", "refuse")
    assert supervised.wait_end(START_S) == EX_CONFIG
    assert_gone(processes, 0)


def test_an_essential_worker_that_never_comes_up_ends_the_daemon(
    supervise: StartSupervised,
) -> None:
    supervised = supervise(OBSERVER, ("bad", MONITOR, "Stillborn"))
    assert supervised.wait_end(START_S) == 1
    assert supervised.log().count('event="worker started" subject=bad') == 3


def test_the_api_is_not_essential(supervise: StartSupervised) -> None:
    supervised = supervise(OBSERVER, ("one", MONITOR, "Obedient"), ("bad", API, "Refusing"))

    def bad_is_fatal() -> bool:
        workers = supervised.workers()
        return bool(workers) and (workers["bad"].state, workers["one"].state) == (
            "FATAL",
            "RUNNING",
        )

    wait_until(bad_is_fatal, START_S, supervised.log)
    assert supervised.process.poll() is None


# Messages


def test_a_reader_that_hangs_stalls_nobody_and_its_successor_has_the_newest(
    supervise: StartSupervised,
) -> None:
    supervised = supervise(
        OBSERVER,
        ("source", RECONCILER, "Obedient"),
        ("stuck", MONITOR, "Listener"),
        ("free", MONITOR, "Listener"),
    )
    before = supervised.wait_running()
    supervised.order("source", "flood")
    for name in ("stuck", "free"):
        wait_until(partial(supervised.said, f"{name}.hosts"), 10, supervised.log)
    os.kill(before["stuck"].pid or 0, signal.SIGSTOP)
    at_stop = supervised.said("free.hosts")
    wait_until(lambda: supervised.said("free.hosts") > at_stop + 50, 10, supervised.log)
    supervised.wait_replaced("stuck", before["stuck"])
    at_restart = supervised.said("free.hosts")
    wait_until(lambda: supervised.said("stuck.hosts") >= at_restart, 10, supervised.log)
    after = supervised.workers()
    for name in ("source", "free", "observer"):
        assert after[name] == before[name]


def test_of_a_monitor_that_died_nothing_is_healthy_and_its_successor_knows_the_failed(
    supervise: StartSupervised,
) -> None:
    supervised = supervise(
        OBSERVER, ("mortal", MONITOR, "Mortal"), ("reader", RECONCILER, "Listener")
    )
    known = [["a"], ["c"], {"c": 1.5}]
    supervised.wait_running()
    wait_until(lambda: supervised.said("reader.health") == known, 10, supervised.log)
    supervised.order("mortal", "end")
    only_failed = [[], ["c"], {"c": 1.5}]
    wait_until(lambda: supervised.said("left") == only_failed, START_S, supervised.log)
    assert supervised.said("reader.health") == only_failed
