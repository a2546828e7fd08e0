"""Whatever a worker says, the supervisor and the other workers go on."""

from pathlib import Path

import pytest

from tests.process.rogue_orders import ENOUGH, RAN
from tests.process.supervised import (
    OBSERVER,
    START_S,
    StartSupervised,
    Supervised,
)
from tests.waiting import wait_until
from vpcrouter.model.messages import MONITOR, RECONCILER
from vpcrouter.supervisor.child import MAX_REFUSED

OTHERS = ("good", "reader", "observer")
DROPPED = 'event="invalid message dropped" subject=rogue'


@pytest.fixture
def company(
    supervise: StartSupervised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Supervised:
    """A rogue monitor among others; the reader writes down what reaches the reconciler."""
    monkeypatch.setenv(RAN, str(tmp_path / "ran"))
    supervised = supervise(
        OBSERVER,
        ("reader", RECONCILER, "Listener"),
        ("good", MONITOR, "Listener"),
        ("rogue", MONITOR, "Obedient"),
    )
    supervised.wait_running()
    return supervised


def test_what_it_may_not_say_is_dropped_and_counted_and_reaches_nobody(
    company: Supervised,
) -> None:
    before = company.workers()
    company.order("rogue", "lie")
    wait_until(lambda: company.workers()["rogue"].refused == ENOUGH, START_S, company.log)
    after = company.workers()
    assert after["rogue"].generation == before["rogue"].generation
    assert company.log().count(DROPPED) == 1
    assert [company.said("reader.health"), company.said("good.hosts")] == [None, None]
    assert {name: after[name] for name in OTHERS} == {name: before[name] for name in OTHERS}
    assert company.process.poll() is None


def test_one_that_goes_on_is_replaced_and_its_successor_is_heard_again(
    company: Supervised,
) -> None:
    before = company.workers()
    company.order("rogue", "lie on")
    after = company.wait_replaced("rogue", before["rogue"])
    assert (after.last_exit, after.refused) == ("signal 9", MAX_REFUSED)
    assert {name: company.workers()[name] for name in OTHERS} == {
        name: before[name] for name in OTHERS
    }
    company.order("rogue", "end")
    wait_until(lambda: company.workers()["rogue"].last_exit == "status 3", START_S, company.log)


def test_a_frame_that_holds_code_runs_none_of_it(company: Supervised, tmp_path: Path) -> None:
    before = company.workers()
    company.order("rogue", "run code")
    assert company.wait_replaced("rogue", before["rogue"]).last_exit == "signal 9"
    assert not (tmp_path / "ran").exists()
    assert "dataclass is not a message type" in company.log()
    assert {name: company.workers()[name] for name in OTHERS} == {
        name: before[name] for name in OTHERS
    }
