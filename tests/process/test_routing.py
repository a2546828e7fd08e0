"""The main job, end to end: real daemon, real listeners, EC2 over HTTP."""

import json
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import CIDR, HOSTS, StartDaemon
from tests.process.daemon import Hosts
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("hosts")


def target(net: Network, cidr: str = CIDR) -> str | None:
    """The one target of all tables; None while they differ or have none."""
    targets = set(net.routes(cidr).values())
    return targets.pop() if len(targets) == 1 else None


def wait_target(net: Network, expected: set[str], cidr: str = CIDR) -> str:
    wait_until(lambda: target(net, cidr) in expected, 15, lambda: str(net.routes(cidr)))
    found = target(net, cidr)
    assert found is not None
    return found


def wait_rechecks(ec2: EmbeddedEc2, since: int, count: int = 3) -> list[str]:
    """Wait until all routes were read `count` times; the changes made meanwhile."""

    def reads() -> int:
        return sum(call.action == "DescribeRouteTables" for call in ec2.calls(since))

    wait_until(lambda: reads() >= count, 20, lambda: f"{reads()} reads")
    return [c.action for c in ec2.calls(since) if not c.action.startswith("Describe")]


def test_a_dead_hosts_routes_move_and_stay_moved(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon()
    first = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    hosts.kill(first)
    second = wait_target(net, set(HOSTS) - {first})
    assert daemon.json("/ips")["failed_ips"] == [first]
    hosts.revive(first)
    wait_until(lambda: daemon.json("/ips")["failed_ips"] == [], 15, daemon.log)
    assert wait_rechecks(ec2, ec2.calls()[-1].seq) == []
    assert target(net) == second, "a recovered host is only eligible again"


def test_each_failover_starts_without_a_describe_call(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon("--route_recheck_interval", "60")
    first = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    daemon.wait_log("changes verified")
    since = ec2.calls()[-1].seq
    hosts.kill(first)
    wait_until(lambda: any(c.action == "ReplaceRoute" for c in ec2.calls(since)), 15, daemon.log)
    ours = [call.action for call in ec2.calls(since)]
    assert ours[0] == "ReplaceRoute"


def test_all_hosts_failed_leaves_the_route_and_says_so(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon()
    wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    for host in HOSTS:
        hosts.kill(host)
    daemon.wait_log("all hosts of this CIDR have failed; route left unchanged")
    assert len(daemon.json("/ips")["failed_ips"]) == 3
    assert wait_rechecks(ec2, ec2.calls()[-1].seq) == []
    assert target(net) in HOSTS


def test_what_somebody_else_broke_or_took_away_is_repaired_on_the_recheck(
    net: Network, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon()
    chosen = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    other = next(host for host in HOSTS if host != chosen)
    net.replace_route(net.table_ids[0], CIDR, other)
    net.delete_route(net.table_ids[1], CIDR)
    chosen = wait_target(net, set(HOSTS))
    net.terminate(chosen)  # its listener, here, still answers
    wait_target(net, set(HOSTS) - {chosen})
    daemon.wait_log(f"host {chosen} is not on an instance")


def test_routes_not_in_the_spec_are_deleted_but_for_those_ignored_and_foreign_ones(
    ec2: EmbeddedEc2, net: Network, start_daemon: StartDaemon
) -> None:
    table = net.table_ids[0]
    for cidr in ("10.99.0.0/16", "10.98.1.0/24", "0.0.0.0/0"):
        net.create_route(table, cidr, HOSTS[0])
    ec2.propagate_route(table, "10.97.0.0/16")
    net.client.create_route(  # of a kind that is nobody's business here
        RouteTableId=table,
        DestinationIpv6CidrBlock="2001:db8::/32",
        NetworkInterfaceId=net.eni_of[HOSTS[0]],
    )
    daemon = start_daemon("--ignore_routes", "10.98.0.0/16, 0.0.0.0/0")
    wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    assert net.routes("10.99.0.0/16")[table] is None
    assert net.routes("10.98.1.0/24")[table] == HOSTS[0]
    assert net.routes("0.0.0.0/0")[table] == HOSTS[0]
    assert str(net.routes("10.97.0.0/16")[table]).startswith("vgw-")
    assert net.routes("127.0.0.0/16")[table] == "local"


def test_the_interface_that_carries_a_secondary_address_is_used(
    net: Network, hosts: Hosts, spec_file: Path, start_daemon: StartDaemon
) -> None:
    net.assign_secondary(HOSTS[0], "127.0.1.77")
    hosts.revive("127.0.1.77")
    spec_file.write_text(json.dumps({CIDR: ["127.0.1.77"]}))
    start_daemon()
    wait_target(net, {HOSTS[0]})


def test_a_host_on_no_interface_is_reported_and_the_others_go_on(
    net: Network, spec_file: Path, start_daemon: StartDaemon
) -> None:
    spec_file.write_text(json.dumps({CIDR: [HOSTS[0]], "10.56.0.0/16": ["127.0.9.9"]}))
    daemon = start_daemon()
    wait_target(net, {HOSTS[0]})
    daemon.wait_log("host 127.0.9.9 is not on an instance")
    wait_until(lambda: "127.0.9.9" in str(daemon.json("/route_info")["problems"]), 5, daemon.log)
    lost = {f"10.57.{n}.0/24": ["127.0.9.8"] for n in range(50)}
    spec_file.write_text(json.dumps({CIDR: [HOSTS[0]], **lost}))
    daemon.wait_log("further problems not logged; see /route_info")
    assert 1 <= daemon.log().count("host 127.0.9.8 is not on an instance") <= 20

    def told() -> int:
        return sum("127.0.9.8" in problem for problem in daemon.json("/route_info")["problems"])

    wait_until(lambda: told() == 50, 5, daemon.log)


def test_a_new_route_never_lands_on_a_failed_host(
    net: Network, hosts: Hosts, spec_file: Path, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon()
    wait_target(net, set(HOSTS))
    hosts.kill(HOSTS[0])
    hosts.kill(HOSTS[1])
    wait_until(lambda: len(daemon.json("/ips")["failed_ips"]) == 2, 15, daemon.log)
    cidrs = [f"10.{n}.0.0/16" for n in range(60, 80)]
    spec_file.write_text(json.dumps(dict.fromkeys(cidrs, HOSTS)))
    for cidr in cidrs:
        assert wait_target(net, {HOSTS[2]}, cidr) == HOSTS[2]


def test_ec2_away_is_said_once_and_loses_nothing(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon()
    first = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    ec2.set_faults(
        [
            {
                "action": "*",
                "kind": "error",
                "code": "InternalError",
                "message": "away",
                "http_status": 500,
            }
        ]
    )
    daemon.wait_log("cannot read EC2")
    hosts.kill(first)
    wait_until(lambda: daemon.json("/ips")["failed_ips"] == [first], 15, daemon.log)
    assert daemon.get("/health")[0] == 503
    daemon.wait_log("EC2 rejected change")
    assert daemon.log().count("cannot read EC2") == 1
    ec2.set_faults([])
    wait_target(net, set(HOSTS) - {first})
    daemon.wait_healthy()


def test_an_answer_that_is_none_changes_no_route(
    ec2: EmbeddedEc2, net: Network, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon()
    chosen = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    since = ec2.calls()[-1].seq
    for count, kind in enumerate(("garbage", "drop"), start=1):
        ec2.set_faults([{"action": "Describe*", "kind": kind}])
        daemon.wait_log("cannot read EC2", count=count)
        ec2.set_faults([])
        daemon.wait_log("EC2 readable again", count=count)
    assert target(net) == chosen
    assert {c.action for c in ec2.calls(since) if not c.action.startswith("Describe")} == set()


def test_every_describe_is_paginated(
    ec2: EmbeddedEc2, net: Network, start_daemon: StartDaemon
) -> None:
    ec2.settings(page_size=1)
    daemon = start_daemon()
    wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    assert set(daemon.json("/vpc")["route_tables"]) == set(net.table_ids)


def test_stale_reads_are_not_taken_for_somebody_elses_change(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon()
    first = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    ec2.settings(stale_s=3.0)
    since = ec2.calls()[-1].seq
    hosts.kill(first)
    wait_target(net, set(HOSTS) - {first})
    changes = [call for call in ec2.calls(since) if call.action == "ReplaceRoute"]
    assert len(changes) == len(net.table_ids), "each table is changed once"
