"""What is read of EC2, and when; what counts of it."""

import math
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from tests.unit.building import CIDR, OTHER, A, B, C, interface, of_gateways, scoped, table, view
from tests.unit.reconcile.playing import TO_B, Lines, PlayedCalls
from vpcrouter.aws.background import CALL_LIMIT_S
from vpcrouter.backoff import FIRST_PAUSE_S
from vpcrouter.model.view import View
from vpcrouter.reconcile.facts import ChangeOutcome, Observation
from vpcrouter.reconcile.observe import READ_ALL, READ_PART, VERIFY_AFTER_S, Observer
from vpcrouter.routing.partial_read import PartialRead, ReadRequest

START_S = 1_000.0
RECHECK_S = 30.0
ON_A, ON_B = view({CIDR: "eni-a"}), view({CIDR: "eni-b"})
NOT_THERE, NO_ROUTE = "InvalidNetworkInterfaceID.NotFound", "InvalidRoute.NotFound"
TABLE_1 = ReadRequest(tables=frozenset({"rtb-1"}))
ACCEPTED_S = START_S + 10.0
ACCEPTED = ChangeOutcome(TO_B, ACCEPTED_S, is_accepted=True)


class Played:
    """An observer whose calls end as a test says."""

    def __init__(self, recheck_s: float = RECHECK_S) -> None:
        self.calls = PlayedCalls()
        self.log = Lines()
        self.asked: list[ReadRequest] = []
        self.hosts: frozenset[str] = frozenset()
        self.observer = Observer(
            self.calls, self._read_all, self._read_part, recheck_s, self.log, START_S
        )

    def _read_all(self, hosts: Callable[[], frozenset[str]]) -> View:
        self.hosts = hosts()
        return ON_A

    def _read_part(self, request: ReadRequest) -> PartialRead:
        self.asked.append(request)
        return PartialRead(request)

    def is_reading(self) -> bool:
        return READ_ALL in self.calls.under_way

    def read(self, of: View, at_s: float, took_s: float = 0.0) -> Observation:
        """Read all of the VPC, which is due."""
        self.observer.start_reads(at_s)
        done = self.calls.end(READ_ALL, at_s, of, took_s=took_s)
        return self.observer.read_ended(done, at_s)

    def fail_to_read(self, at_s: float, code: str = "Away") -> Observation:
        self.observer.start_reads(at_s)
        return self.observer.read_ended(self.calls.end(READ_ALL, at_s, code=code), at_s)

    def read_part(self, at_s: float, read: PartialRead | None) -> Observation:
        """Read what is in doubt; None: it cannot be."""
        self.observer.start_reads(at_s)
        self.calls.made[READ_PART]()
        done = self.calls.end(READ_PART, at_s, read, "" if read else "Away")
        return self.observer.read_ended(done, at_s)

    def next_read_s(self, at_s: float) -> float:
        """How long it is until all of the VPC is read again."""
        return self.observer.next_at(at_s) - at_s


@pytest.fixture
def played() -> Played:
    """One that has read the VPC at `START_S`."""
    found = Played()
    found.read(ON_A, START_S)
    return found


def test_the_vpc_is_read_at_once_and_then_at_every_recheck() -> None:
    played = Played()
    assert played.next_read_s(START_S) == 0.0
    found = played.read(ON_A, START_S)
    assert found == Observation(START_S, has_view=True, is_new=True, is_settled=True, size=6)
    assert played.observer.view == ON_A
    assert played.next_read_s(START_S) == RECHECK_S
    played.observer.start_reads(START_S + RECHECK_S - 0.1)
    assert not played.is_reading()
    played.observer.start_reads(START_S + RECHECK_S)
    assert played.is_reading()


def test_it_is_read_once_at_a_time_and_a_read_that_never_ends_is_waited_for() -> None:
    played = Played()
    played.observer.start_reads(START_S)
    played.observer.start_reads(START_S + 1)
    assert played.calls.made[READ_ALL]() == ON_A
    assert played.next_read_s(START_S + 1) == CALL_LIMIT_S


def test_the_same_view_again_is_not_new(played: Played) -> None:
    found = played.read(view({CIDR: "eni-a"}), START_S + RECHECK_S)
    assert found.has_view
    assert not found.is_new


def test_what_cannot_be_read_is_tried_again_with_growing_pauses_and_said_once() -> None:
    played = Played()
    with capture_logs() as lines:
        for pause_s in (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S):
            assert played.fail_to_read(START_S) == Observation(START_S, is_unreadable=True)
            assert played.next_read_s(START_S) == pause_s
            played.observer._read_at = START_S
        assert "Away" in played.observer.trouble
        played.read(ON_A, START_S)
    assert played.observer.trouble == ""
    assert [line["event"] for line in lines] == [
        "cannot read EC2; routes left unchanged",
        "EC2 readable again",
    ]
    played.observer._read_at = START_S
    played.fail_to_read(START_S)
    assert played.next_read_s(START_S) == FIRST_PAUSE_S, "it has been read since"


def test_the_pause_is_never_longer_than_the_recheck() -> None:
    played = Played(recheck_s=0.3)
    played.fail_to_read(START_S)
    assert played.next_read_s(START_S) == pytest.approx(0.3)


def test_an_accepted_change_counts_at_once_and_is_soon_read_back(played: Played) -> None:
    played.observer.change_ended(ACCEPTED)
    assert played.observer.view == ON_B
    assert played.next_read_s(ACCEPTED_S) == pytest.approx(VERIFY_AFTER_S)


def test_reading_back_rests_as_long_as_the_last_read_took() -> None:
    played = Played()
    played.read(ON_A, START_S, took_s=5.0)
    played.observer.change_ended(ACCEPTED._replace(ended_s=START_S + 1.0))
    assert played.next_read_s(START_S) == 5.0


def test_a_long_read_does_not_undo_what_was_changed_meanwhile(played: Played) -> None:
    began_s, took_s = START_S + RECHECK_S, 72.0
    played.observer.start_reads(began_s)
    played.observer.change_ended(ACCEPTED._replace(ended_s=began_s + 1.0))
    ended_s = began_s + took_s
    done = played.calls.end(READ_ALL, ended_s, ON_A, took_s=took_s)
    assert not played.observer.read_ended(done, ended_s).is_new
    assert played.observer.view == ON_B
    assert played.next_read_s(ended_s) == RECHECK_S, "not at once, as it takes so long"


def test_a_change_that_is_read_back_is_seen_once(played: Played) -> None:
    played.observer.change_ended(ACCEPTED)
    at_s = ACCEPTED_S + VERIFY_AFTER_S
    found = played.read(ON_B, at_s)
    assert [each.change for each in found.seen] == [TO_B]
    assert not found.is_new, "it was expected"
    assert played.log.facts("changes verified") == {"count": 1, "slowest_ms": 200.0}
    assert played.next_read_s(at_s) == RECHECK_S
    assert played.read(ON_B, at_s + RECHECK_S).seen == ()


def test_a_stale_read_does_not_undo_a_change_and_is_repeated_later_and_later(
    played: Played,
) -> None:
    played.observer.change_ended(ACCEPTED)
    at_s = ACCEPTED_S + VERIFY_AFTER_S
    for tries in (1, 2, 3):
        found = played.read(ON_A, at_s)
        assert played.observer.view == ON_B
        assert found.seen == ()
        assert played.next_read_s(at_s) == pytest.approx(VERIFY_AFTER_S * 2**tries)
        at_s += played.next_read_s(at_s)
    played.read(ON_B, at_s)
    assert played.next_read_s(at_s) == RECHECK_S
    again = ACCEPTED._replace(ended_s=at_s)
    played.observer.change_ended(again)
    at_s += VERIFY_AFTER_S
    played.read(ON_A, at_s)
    assert played.next_read_s(at_s) == pytest.approx(2 * VERIFY_AFTER_S), "from the beginning"


def test_nor_is_it_repeated_later_than_the_recheck() -> None:
    played = Played(recheck_s=0.3)
    played.read(ON_A, START_S)
    played.observer.change_ended(ACCEPTED)
    played.read(ON_A, ACCEPTED_S + VERIFY_AFTER_S)
    assert played.next_read_s(ACCEPTED_S + VERIFY_AFTER_S) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("read_by", "after_s"),
    [(ACCEPTED_S + 2.0, 2.0), (START_S + 2 * RECHECK_S, RECHECK_S - 10.0), (math.inf, 20.0)],
)
def test_a_refusal_can_have_the_vpc_read_sooner_and_never_later(
    played: Played, read_by: float, after_s: float
) -> None:
    played.observer.change_ended(ChangeOutcome(TO_B, ACCEPTED_S, read_by=read_by))
    assert played.next_read_s(ACCEPTED_S) == after_s
    assert played.observer.view == ON_A
    played.observer.start_reads(ACCEPTED_S)
    assert played.calls.under_way == {}


@pytest.mark.parametrize(
    ("code", "request_"),
    [(NO_ROUTE, TABLE_1), (NOT_THERE, ReadRequest(addresses=frozenset({"10.0.0.2"})))],
)
def test_only_what_a_refusal_has_put_in_doubt_is_read_again(
    played: Played, code: str, request_: ReadRequest
) -> None:
    played.observer.change_ended(ChangeOutcome(TO_B, ACCEPTED_S, stale_code=code))
    played.read_part(ACCEPTED_S, PartialRead(request_, ON_A.tables))
    assert played.asked == [request_]
    assert not played.is_reading()


def test_what_was_read_of_it_counts(played: Played) -> None:
    played.observer.change_ended(ChangeOutcome(TO_B, ACCEPTED_S, stale_code=NO_ROUTE))
    now = table("rtb-1", {OTHER: "eni-b"})
    found = played.read_part(ACCEPTED_S + 0.1, PartialRead(TABLE_1, (now,)))
    assert found == Observation(ACCEPTED_S + 0.1, has_view=True, is_new=True, is_settled=True)
    assert played.observer.view == view({OTHER: "eni-b"})
    assert played.next_read_s(START_S) == RECHECK_S


@pytest.mark.parametrize(
    "read", [None, PartialRead(TABLE_1, (table("rtb-1", {CIDR: "eni-unheard"}),))]
)
def test_where_that_says_nothing_all_of_the_vpc_is_read(
    played: Played, read: PartialRead | None
) -> None:
    played.observer.change_ended(ChangeOutcome(TO_B, ACCEPTED_S, stale_code=NO_ROUTE))
    assert played.read_part(ACCEPTED_S, read) == Observation(ACCEPTED_S)
    assert played.observer.view == ON_A
    assert played.next_read_s(ACCEPTED_S) == 0.0


def test_parts_are_read_one_after_the_other_and_settled_with_the_last(played: Played) -> None:
    for name in ("rtb-1", "rtb-2"):
        refused = ChangeOutcome(TO_B._replace(table=name), ACCEPTED_S, stale_code=NO_ROUTE)
        played.observer.change_ended(refused)
        played.observer.start_reads(ACCEPTED_S)
    first = played.calls.end(READ_PART, ACCEPTED_S, PartialRead(TABLE_1, ON_A.tables))
    assert not played.observer.read_ended(first, ACCEPTED_S).is_settled
    second = PartialRead(ReadRequest(tables=frozenset({"rtb-2"})))
    assert played.read_part(ACCEPTED_S, second).is_settled


def test_a_part_that_is_read_while_all_of_the_vpc_is_being_read_is_newer(played: Played) -> None:
    at_s = START_S + RECHECK_S
    played.observer.start_reads(at_s)
    played.observer.change_ended(ChangeOutcome(TO_B, at_s, stale_code=NOT_THERE))
    gone = PartialRead(ReadRequest(addresses=frozenset({A})), interfaces=(interface("eni-n", A),))
    played.read_part(at_s, gone)
    found = played.observer.read_ended(played.calls.end(READ_ALL, at_s + 1, ON_A), at_s + 1)
    assert not found.is_new
    assert played.observer.view is not None
    assert played.observer.view.interface_of[A].id == "eni-n"


def test_a_gateways_table_is_logged_once() -> None:
    played = Played()
    for at_s, gateways in ((START_S, (1,)), (START_S + 30, (1,)), (START_S + 60, (1, 2))):
        played.read(of_gateways(view({CIDR: "eni-a"}, {}), *gateways), at_s)
    found = [facts for _, event, facts in played.log._lines if "gateway" in event]
    assert found == [
        {"table": "rtb-1", "gateway": "igw-1"},
        {"table": "rtb-2", "gateway": "igw-1"},
    ]


def test_the_hosts_of_the_spec_are_asked_for_when_the_read_needs_them() -> None:
    played = Played()
    played.observer.start_reads(START_S)
    played.observer.look_for([A, B])
    played.calls.made[READ_ALL]()
    assert played.hosts == {A, B}


def test_hosts_that_are_not_known_are_looked_up_at_once() -> None:
    played = Played()
    played.observer.look_for([A])
    played.read(scoped(ON_A, A), START_S)
    assert played.log.events == ["large VPC: only the interfaces of hosts and of routes are read"]
    played.observer.start_reads(START_S)
    assert played.calls.under_way == {}
    played.observer.look_for([B, "10.0.9.9", "10.0.9.8"])
    lost = ReadRequest(addresses=frozenset({"10.0.9.8", "10.0.9.9"}))
    assert played.read_part(START_S + 1, PartialRead(lost)).is_new
    assert played.asked == [lost]
    played.observer.start_reads(START_S + 1)
    assert played.calls.under_way == {}, "they are not there, and are not looked up again"


def test_so_are_those_of_a_spec_that_came_during_the_first_read() -> None:
    played = Played()
    played.observer.start_reads(START_S)
    played.observer.look_for([C, "10.0.9.9"])
    done = played.calls.end(READ_ALL, START_S + 1, scoped(ON_A))
    played.observer.read_ended(done, START_S + 1)
    played.observer.start_reads(START_S + 1)
    played.calls.made[READ_PART]()
    assert played.asked == [ReadRequest(addresses=frozenset({"10.0.9.9"}))]


def test_a_small_vpc_has_no_host_to_look_up(played: Played) -> None:
    played.observer.look_for(["10.0.9.9"])
    played.observer.start_reads(START_S)
    assert played.calls.under_way == {}
    assert "large VPC" not in str(played.log.events)
