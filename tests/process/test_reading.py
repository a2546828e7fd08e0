"""What the daemon reads of EC2: for however long, no more than needed, and of gateways, too."""

import json
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import CIDR, HOSTS, StartDaemon
from tests.process.daemon import Hosts, run_early
from tests.process.routes import wait_rechecks, wait_target
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("hosts")

BEHIND = "127.0.2.0/24"
"""A subnet's own destination, as a gateway's table may have it."""
LIMIT_S, PAGE_S = 2.0, 0.5
SLOW = ("DescribeSubnets", "DescribeNetworkInterfaces")
PAGES = 6


def test_a_gateways_route_table_is_left_alone_and_shown_as_one(
    ec2: EmbeddedEc2, net: Network, start_daemon: StartDaemon
) -> None:
    edge = net.edge_table()
    net.create_route(edge, BEHIND, HOSTS[1])
    since = ec2.calls()[-1].seq
    daemon = start_daemon()
    wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    assert wait_rechecks(ec2, ec2.calls()[-1].seq) == []
    assert edge not in {call.params.get("RouteTableId") for call in ec2.calls(since)}
    assert net.routes(BEHIND)[edge] == HOSTS[1]
    assert daemon.get("/health")[0] == 200
    assert daemon.json("/vpc")["route_tables"][edge]["gateway"].startswith("igw-")
    assert daemon.json("/route_info")["routes"][CIDR]["missing_in"] == []
    assert f'"gateway route table left unchanged" table={edge}' in daemon.log()


def test_a_reading_takes_what_it_takes_and_failovers_do_not_wait_for_it(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    """Its pages take longer than one call may, by a limit that is lowered here."""
    code = f"from vpcrouter.aws import background\nbackground.CALL_LIMIT_S = {LIMIT_S}\n"
    assert PAGES * PAGE_S > LIMIT_S
    ec2.settings(page_size=1)
    ec2.set_faults([{"action": name, "kind": "delay", "seconds": PAGE_S} for name in SLOW])
    daemon = start_daemon(env=run_early(code, tmp_path))
    first = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    wait_until(lambda: SLOW[0] in {call.action for call in ec2.in_flight()}, 10, daemon.log)
    since = ec2.calls()[-1].seq
    hosts.kill(first)
    second = wait_target(net, set(HOSTS) - {first})
    answered = [call.action for call in ec2.calls(since)]
    before = answered[: answered.index("ReplaceRoute")]
    assert len([action for action in before if action in SLOW]) < PAGES

    def slow_pages() -> int:
        return sum(call.action in SLOW for call in ec2.calls(since))

    wait_until(lambda: slow_pages() >= 2 * PAGES, 15, daemon.log)
    assert wait_target(net, {second}) == second
    changes = [c.action for c in ec2.calls(since) if not c.action.startswith("Describe")]
    assert changes == len(net.table_ids) * ["ReplaceRoute"], "the old reading undid nothing"
    assert daemon.json("/")["workers"]["reconciler"]["generation"] == 1


def test_of_a_large_vpc_only_what_the_spec_and_the_routes_name_is_read(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, spec_file: Path, start_daemon: StartDaemon
) -> None:
    net.fill(1_000)
    net.delegate_prefix(HOSTS[0], "127.0.1.64/28")
    hosts.revive("127.0.1.70")
    spec_file.write_text(json.dumps({CIDR: ["127.0.1.70"]}))
    since = ec2.calls()[-1].seq
    daemon = start_daemon()
    wait_target(net, {HOSTS[0]})
    daemon.wait_healthy()
    wait_rechecks(ec2, ec2.calls()[-1].seq)

    def wholly_read() -> int:
        calls = [c.params for c in ec2.calls(since) if c.action == "DescribeNetworkInterfaces"]
        return sum("Filter.2.Name" not in params for params in calls)

    assert wholly_read() == 1
    shown = daemon.json("/vpc")
    assert set(shown["interfaces"]) == {net.eni_of[HOSTS[0]]}
    assert shown["interfaces_shown"] == "those of hosts and routes"
    spec_file.write_text(json.dumps({CIDR: HOSTS[1:]}))
    wait_target(net, set(HOSTS[1:]))
    hosts.kill(target := wait_target(net, set(HOSTS[1:])))
    wait_target(net, set(HOSTS[1:]) - {target})
    assert wholly_read() == 1
    assert "is not on an instance" not in daemon.log()
