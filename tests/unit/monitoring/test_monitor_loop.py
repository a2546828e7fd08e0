"""What a monitor is told, what it reports, and when it wakes."""

from tests.unit.played_network import PlayedNetwork, all_alive, names
from vpcrouter.model.messages import HealthReport


def test_a_predecessors_failures_are_kept() -> None:
    net = PlayedNetwork(all_alive)
    net.mail[HealthReport] = HealthReport(
        "icmpecho", failed=frozenset({"10.0.0.1"}), failed_since_at={"10.0.0.1": 7.0}
    )
    net.use("10.0.0.0", "10.0.0.1")
    net.run(9.0)
    assert net.state("10.0.0.0") == "healthy"
    assert net.state("10.0.0.1") == "failed"
    assert net.reports[-1][1].failed_since_at == {"10.0.0.1": 7.0}
    net.run(5.0)
    assert net.state("10.0.0.1") == "healthy"


def test_hosts_that_go_leave_the_report_and_are_not_probed() -> None:
    net = PlayedNetwork(lambda host, _now_s: host != "10.0.0.1")
    net.use(*names(3))
    net.run(0.3)
    net.use("10.0.0.0")
    net.run(5.0)
    assert net.reports[-1][1].healthy == {"10.0.0.0"}
    assert net.reports[-1][1].failed == frozenset()
    assert {host for at_s, host in net.probes if at_s > 0.3} == {"10.0.0.0"}


def test_the_same_hosts_again_change_nothing() -> None:
    net = PlayedNetwork(all_alive)
    for _ in range(100):
        net.use(*names(4))
        net.run(0.1)
    assert 36 <= len(net.probes) <= 46
    assert len(net.reports) <= 3


def test_nothing_to_do_without_hosts() -> None:
    net = PlayedNetwork(all_alive)
    net.run(100.0)
    assert not net.probes
    net.use("10.0.0.1")
    net.run(0.1)
    net.use()
    net.run(10.0)
    assert len(net.probes) == 1
    assert net.reports[-1][1] == HealthReport("icmpecho")


def test_reports_of_a_large_change_are_few() -> None:
    net = PlayedNetwork(lambda _host, now_s: now_s < 2.0)
    net.use(*names(10_000))
    net.run(5.0)
    assert len(net.reports[-1][1].failed) == 10_000
    assert len([at_s for at_s, _ in net.reports if at_s > 2.0]) < 2.2 / 0.020


def test_few_hosts_wake_by_answers_and_many_by_ticks() -> None:
    net = PlayedNetwork(all_alive)
    net.use(*names(10))
    net.run(1.0)
    assert net.watched == {99}
    net.use(*names(1000))
    net.run(1.0)
    assert net.watched == set()
