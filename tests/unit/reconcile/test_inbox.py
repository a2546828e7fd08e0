"""What others say, and what that means for the other steps."""

import math
from collections.abc import Sequence

import pytest

from tests.unit.building import CIDR, OTHER, A, B, spec
from tests.unit.reconcile.playing import Lines
from vpcrouter.health.damping import DampingPolicy
from vpcrouter.model.messages import DampingReport, Flaps, HealthReport, SpecReport
from vpcrouter.model.spec import RouteSpec
from vpcrouter.reconcile.facts import News
from vpcrouter.reconcile.inbox import Inbox

SPEC = spec({CIDR: (A, B)})
WINDOW_S = 100.0
NOTHING = News()


class Heard:
    """An inbox that is told of one thing at a time."""

    def __init__(self, *monitors: str, flap_count: int = 0) -> None:
        self.log = Lines()
        policy = DampingPolicy(flap_count, WINDOW_S)
        self.inbox = Inbox(monitors or ("tcp",), policy, self.log)

    def spec(self, wanted: RouteSpec | None, now_s: float = 0.0) -> News:
        return self.inbox.read(None, SpecReport(wanted), [], now_s)

    def health(self, *reports: HealthReport, now_s: float = 0.0) -> News:
        return self.inbox.read(None, None, reports, now_s)

    def flaps(self, flaps: DampingReport, now_s: float = 0.0) -> News:
        return self.inbox.read(flaps, None, [], now_s)

    def nothing(self, now_s: float) -> News:
        return self.inbox.read(None, None, [], now_s)

    def fail(self, host: str, *at_s: float) -> None:
        """Have it fail at these times, and be healthy again right after each."""
        for each in at_s:
            self.health(report(failed=[host], since={host: each}), now_s=each)
            self.health(report(healthy=[host]), now_s=each)


def report(
    monitor: str = "tcp",
    healthy: Sequence[str] = (),
    failed: Sequence[str] = (),
    since: dict[str, float] | None = None,
    isolated: str = "",
) -> HealthReport:
    return HealthReport(
        monitor,
        frozenset(healthy),
        failed=frozenset(failed),
        failed_since_at=since or {},
        isolated=isolated,
    )


def test_a_new_spec_is_planned_and_its_hosts_are_to_be_checked() -> None:
    heard = Heard()
    assert heard.spec(SPEC) == News((A, B), must_plan=True)
    assert heard.inbox.wanted.spec == SPEC
    assert heard.log.facts("route spec in force") == {"cidrs": 1}


def test_its_warnings_are_logged() -> None:
    heard = Heard()
    heard.spec(RouteSpec(SPEC.routes, ("one", "two")))
    assert heard.log.events == ["route spec in force", "one", "two"]


@pytest.mark.parametrize("again", [SPEC, spec({CIDR: (A, B)}), None])
def test_the_same_spec_and_one_that_was_refused_change_nothing(again: RouteSpec | None) -> None:
    heard = Heard()
    heard.spec(SPEC)
    heard.health(report(healthy=[A, B]))
    before = heard.inbox.wanted
    assert heard.spec(again) == NOTHING
    assert heard.inbox.wanted == before
    assert heard.log.events == ["route spec in force"]


def test_no_host_is_judged_before_there_is_a_spec_and_then_all_are() -> None:
    heard = Heard()
    assert heard.health(report(healthy=[A], failed=[B])) == NOTHING
    assert not heard.inbox.wanted.health.failed
    assert heard.spec(SPEC).must_plan
    assert heard.inbox.wanted.health.healthy == {A}
    assert heard.inbox.wanted.health.failed == {B}


def test_only_what_makes_a_difference_is_planned() -> None:
    heard = Heard()
    heard.spec(SPEC)
    assert heard.health(report(healthy=[A, B])) == News(must_plan=True)
    assert heard.health(report(healthy=[A, B])) == NOTHING
    assert heard.health(report(healthy=[A], failed=[B])) == News(must_plan=True)
    assert heard.nothing(1e6) == NOTHING
    assert heard.flaps(DampingReport()) == NOTHING


def test_the_newest_report_of_each_monitor_counts() -> None:
    heard = Heard("tcp", "http")
    heard.spec(SPEC)
    heard.health(report("tcp", healthy=[A, B]), report("http", healthy=[A], failed=[B]))
    assert heard.inbox.wanted.health.healthy == {A}
    heard.health(report("http", healthy=[A, B]))
    assert heard.inbox.wanted.health.healthy == {A, B}


def test_failures_and_recoveries_are_logged() -> None:
    heard = Heard()
    heard.spec(SPEC)
    heard.health(report(healthy=[A], failed=[B], since={B: 7.0}))
    assert heard.log.facts("host failed") == {"host": B}
    assert heard.inbox.wanted.health.failed_since == {B: 7.0}
    heard.health(report(healthy=[A]))
    assert heard.log.facts("host no longer failed") == {"host": B, "state": "unknown"}


def test_isolated_nothing_may_be_changed_until_a_monitor_is_no_longer() -> None:
    heard = Heard("tcp", "http")
    heard.spec(SPEC)
    assert heard.health(report("http"), report(isolated="all silent")) == NOTHING
    assert heard.health(report("http", isolated="all silent")) == News(must_plan=True)
    assert "all silent" in (heard.inbox.wanted.isolated or "")
    assert heard.health(report("http")) == News(must_plan=True)
    assert heard.inbox.wanted.isolated is None


def test_a_monitor_that_is_no_longer_in_use_does_not_isolate() -> None:
    heard = Heard("tcp")
    heard.spec(SPEC)
    heard.health(report("http", isolated="all silent"))
    assert heard.inbox.wanted.isolated is None


def test_a_host_that_flaps_is_damped_for_a_time_and_then_no_longer() -> None:
    heard = Heard(flap_count=2)
    heard.spec(SPEC)
    heard.fail(A, 10.0, 20.0)
    event = "host damped: failed too often; other hosts are preferred"
    assert heard.log.facts(event)["for_s"] == 10.0
    assert heard.inbox.wanted.health.damped == {A}
    assert heard.inbox.next_at() == 30.0
    assert heard.nothing(29.9) == NOTHING
    assert heard.nothing(30.0) == News(must_plan=True)
    assert heard.inbox.wanted.health.damped == set()
    assert heard.log.facts("host no longer damped") == {"host": A}
    assert heard.inbox.next_at() == math.inf


def test_a_failure_without_a_time_is_one_of_now() -> None:
    heard = Heard(flap_count=1)
    heard.spec(SPEC)
    heard.health(report(failed=[A]), now_s=50.0)
    assert heard.inbox.next_at() == 60.0


def test_each_failure_is_reported_once_for_the_next_generation() -> None:
    heard = Heard(flap_count=3)
    heard.spec(SPEC)
    assert heard.inbox.damping_report() is None
    heard.fail(A, 10.0)
    assert heard.inbox.damping_report() == DampingReport({A: Flaps((10.0,))})
    assert heard.inbox.damping_report() is None


def test_what_the_last_generation_knew_of_flaps_still_counts() -> None:
    heard = Heard(flap_count=2)
    heard.flaps(DampingReport({A: Flaps((10.0, 20.0), level=1, until_s=30.0)}))
    heard.spec(SPEC, now_s=21.0)
    assert heard.inbox.wanted.health.damped == {A}
    assert heard.inbox.next_at() == 30.0


def test_hosts_that_a_new_spec_does_not_name_are_forgotten() -> None:
    heard = Heard(flap_count=2)
    heard.spec(SPEC)
    heard.fail(A, 10.0, 20.0)
    heard.fail(B, 20.0)
    heard.spec(spec({OTHER: (B,)}), now_s=21.0)
    assert heard.inbox.damping_report() == DampingReport({B: Flaps((20.0,))})
    assert heard.inbox.wanted.health.damped == set()
