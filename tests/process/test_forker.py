"""The forker: workers start faster by it, and lose nothing with it."""

import os
import select
import signal
from pathlib import Path

import pytest

from tests.needs import ROOT, needs
from tests.process.daemon import descendants
from tests.process.supervised import (
    NO_FORKER,
    OBSERVER,
    START_S,
    StartSupervised,
    Supervised,
    assert_gone,
    is_there,
    run_first,
    state_of,
)
from tests.waiting import PATIENCE, wait_until
from vpcrouter.model.messages import MONITOR
from vpcrouter.supervisor.launch import HELLO, REFUSAL, heard, new_line
from vpcrouter.supervisor.starter import _interpret

ONE = ("one", MONITOR, "Obedient")


def forkers(supervised: Supervised) -> set[int]:
    """The interpreters that run the forker, not what they have forked."""
    return {
        pid
        for pid in descendants(supervised.process.pid)
        if b"forker.main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    } - {seen.pid for seen in supervised.workers().values()}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_it_workers_go_on_and_start_until_it_is_back(
    number: signal.Signals, supervise: StartSupervised
) -> None:
    supervised = supervise(OBSERVER, ONE)
    before = supervised.wait_running()
    (forker,) = forkers(supervised)
    os.kill(forker, number)
    os.kill(before["one"].pid or 0, signal.SIGKILL)
    alone = supervised.wait_replaced("one", before["one"])
    assert "forker lost" in supervised.log()
    assert "could not start worker" not in supervised.log()
    wait_until(lambda: forkers(supervised) - {forker}, START_S, supervised.log)
    assert not is_there(forker)
    os.kill(alone.pid or 0, signal.SIGKILL)
    supervised.wait_replaced("one", alone)
    assert supervised.workers()["observer"] == before["observer"]
    assert supervised.log().count("forker lost") == 1


FORKS_FAIL = """
import errno, os, sys
if "forker.main" in sys.orig_argv[-1]:
    fork, forker = os.fork, os.getpid()
    def failing():
        if {fails}:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()
    os.fork = failing
"""


@pytest.mark.parametrize(
    "fails", ["True", "os.getpid() != forker"], ids=["first fork", "second fork"]
)
def test_a_fork_that_fails_costs_the_forker_nothing(
    fails: str, supervise: StartSupervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_first(FORKS_FAIL.format(fails=fails), tmp_path, monkeypatch)
    supervised = supervise(OBSERVER, ONE)
    supervised.wait_running()
    assert supervised.log().count("cannot fork: Resource temporarily unavailable") == 2
    assert supervised.log().count("forker started") == 1
    assert "forker lost" not in supervised.log()


FORKER_HANGS = """
import sys, time
if "forker.main" in sys.orig_argv[-1]:
    time.sleep(60)
"""


def test_one_that_hangs_is_given_up(
    supervise: StartSupervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_first(FORKER_HANGS, tmp_path, monkeypatch)
    supervised = supervise(OBSERVER, ONE)
    assert {seen.generation for seen in supervised.wait_running().values()} == {1}
    assert 'event="forker lost' in supervised.log()


def test_a_stop_does_not_wait_for_it(
    supervise: StartSupervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_first(FORKER_HANGS, tmp_path, monkeypatch)
    supervised = supervise(OBSERVER, ONE)
    wait_until(lambda: "forker started" in supervised.log(), START_S, supervised.log)
    processes = descendants(supervised.process.pid)
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.wait_end(4.0) == 0
    assert "worker started" not in supervised.log()
    assert_gone(processes, 1.0)


@pytest.mark.parametrize("number", [0, signal.SIGSTOP])
def test_it_does_not_outlive_a_killed_supervisor(number: int, supervise: StartSupervised) -> None:
    supervised = supervise(OBSERVER)
    supervised.wait_running()
    processes = forkers(supervised)
    assert processes
    for pid in processes:
        os.kill(pid, number)
    supervised.process.kill()
    assert_gone(processes, 2.0)


def test_a_worker_is_a_child_of_the_supervisor_and_leads_its_group(
    supervise: StartSupervised,
) -> None:
    supervised = supervise(OBSERVER)
    pid = supervised.wait_running()["observer"].pid or 0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[1]) == supervised.process.pid
    assert int(fields[2]) == pid


@needs(ROOT)  # a worker's memory and descriptors are hidden from its user
@pytest.mark.parametrize("first", ["", NO_FORKER], ids=["forked", "interpreter"])
def test_a_worker_holds_its_own_descriptors_only(
    first: str, supervise: StartSupervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_first(first, tmp_path, monkeypatch)
    supervised = supervise(OBSERVER, ONE)
    pid = supervised.wait_running()["one"].pid or 0
    targets = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if int(fd.name) > 2]
    kinds = sorted("log" if target.endswith(".log") else target[:4] for target in targets)
    assert kinds == ["anon", "log", "pipe", "pipe", "pipe", "pipe"], "selector, channels, wake"


INPUT = """
import os, sys
if "tests.process.driver" in sys.orig_argv:
    os.dup2(os.pipe()[0], 0)
"""


@needs(ROOT)  # a worker's memory and descriptors are hidden from its user
@pytest.mark.parametrize("first", ["", NO_FORKER], ids=["forked", "interpreter"])
def test_a_worker_has_nothing_to_read(
    first: str, supervise: StartSupervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_first(INPUT + first, tmp_path, monkeypatch)
    supervised = supervise(OBSERVER)
    pid = supervised.wait_running()["observer"].pid or 0
    assert str(Path(f"/proc/{pid}/fd/0").readlink()) == "/dev/null"


CHILDREN_IGNORED = """
import signal, sys
if "tests.process.driver" in sys.orig_argv:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
"""


def test_a_parent_that_ignored_its_children_costs_no_exit_status(
    supervise: StartSupervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_first(CHILDREN_IGNORED, tmp_path, monkeypatch)
    supervised = supervise(OBSERVER, ONE)
    before = supervised.wait_running()
    os.kill(before["one"].pid or 0, signal.SIGKILL)
    assert supervised.wait_replaced("one", before["one"]).last_exit == "signal 9"
    assert "forker lost" not in supervised.log()


def test_orphans_are_reaped(supervise: StartSupervised) -> None:
    supervised = supervise(OBSERVER, ("old", MONITOR, "Ancestor"))
    supervised.wait_running()
    orphan = supervised.said("orphan")
    wait_until(lambda: state_of(orphan) == "X", 5, lambda: state_of(orphan))


class TestLine:
    """What passes between a process and the supervisor before it begins."""

    def test_who_is_called_off_ends_without_having_begun(self) -> None:
        ours, theirs = new_line()
        with theirs:
            process = _interpret("launch", f"begin_at({theirs.fileno()})", theirs)
        ours.close()
        ready, _, _ = select.select([process], [], [], 10 * PATIENCE)
        assert ready
        assert process.reap() == 0
        process.close()

    def test_who_is_no_child_is_not_believed(self) -> None:
        ours, theirs = new_line()
        with ours, theirs:
            theirs.send(HELLO)
            with pytest.raises(ChildProcessError):
                heard(ours)

    @pytest.mark.parametrize("data", [b"x", HELLO * 2, REFUSAL + b"no room"])
    def test_anything_but_a_hello_is_none(self, data: bytes) -> None:
        ours, theirs = new_line()
        with ours, theirs:
            theirs.send(data)
            with pytest.raises(OSError, match=r"no room|before it had begun"):
                heard(ours)

    def test_an_end_is_no_hello(self) -> None:
        ours, theirs = new_line()
        with ours:
            theirs.close()
            with pytest.raises(OSError, match="before it had begun"):
                heard(ours)
