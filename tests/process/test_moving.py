"""Moving routes when that takes long, or when the cached view turns out to be stale."""

import json
import math
from pathlib import Path

import pytest

from tests.aws.calls import Call
from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import Daemon, Hosts
from tests.process.routes import wait_target
from tests.waiting import wait_until
from vpcrouter.backoff import FIRST_PAUSE_S
from vpcrouter.reconcile.observe import VERIFY_AFTER_S

CIDRS = [f"10.{number}.0.0/16" for number in range(60, 68)]
MOVED = ("ReplaceRoute", "CreateRoute")

pytestmark = pytest.mark.usefixtures("hosts")


@pytest.fixture
def many(spec_file: Path, start_daemon: StartDaemon, ec2: EmbeddedEc2, net: Network) -> Daemon:
    """A daemon at rest, with all of `CIDRS` on the first host; the others may take over.

    EC2 is read only after changes and trouble.
    """
    spec_file.write_text(json.dumps(dict.fromkeys(CIDRS, HOSTS)))
    for cidr in CIDRS:
        for table in net.table_ids:
            net.create_route(table, cidr, HOSTS[0])
    daemon = start_daemon("--route_recheck_interval", "600")
    daemon.wait_healthy()
    assert not [call for call in ec2.calls() if call.action == "ReplaceRoute"]
    return daemon


def first_reread(ec2: EmbeddedEc2, seq: int, until: int) -> tuple[str, int]:
    """The daemon's first describe between two calls that is not to read back what was accepted;
    and by how many filters."""
    calls = [call for call in ec2.calls(seq) if call.seq < until]
    accepted_s = [c.monotonic_s for c in calls if c.action in MOVED and not c.error_code]
    read_back_s = min(accepted_s, default=math.inf) + VERIFY_AFTER_S
    return next(
        (call.action, count)
        for call in calls
        if call.action.startswith("Describe") and "MaxResults" in call.params
        # All of the VPC is asked for by one filter.
        if (count := filters(call)) > 1 or call.monotonic_s < read_back_s
    )


def fail_while_reads_take_long(
    host: str, action: str, ec2: EmbeddedEc2, hosts: Hosts, seq: int
) -> None:
    """A read takes longer than a pause before a second try; the host's routes are to move."""
    ec2.set_faults([{"action": "Describe*", "kind": "delay", "seconds": 3 * FIRST_PAUSE_S}])
    hosts.kill(host)
    wait_until(lambda: any(filters(call) > 1 for call in since(ec2, seq, action)), 10, action)
    ec2.set_faults([])


def filters(call: Call) -> int:
    return len({name.split(".")[1] for name in call.params if "Filter." in name})


def since(ec2: EmbeddedEc2, seq: int, *actions: str) -> list[Call]:
    return [call for call in ec2.calls(seq) if call.action in actions]


def test_under_a_token_bucket_every_route_moves_and_few_calls_are_refused(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, many: Daemon
) -> None:
    ec2.settings(bucket={"capacity": 4, "per_s": 5})
    mark = ec2.calls()[-1].seq
    hosts.kill(HOSTS[0])
    many.wait_log("EC2 is throttling changes")
    wait_until(lambda: many.json("/route_info")["pending"]["changes"], 10, many.log)
    for cidr in CIDRS:
        wait_target(net, set(HOSTS[1:]), cidr)
    calls = since(ec2, mark, "ReplaceRoute")
    refused = [call for call in calls if call.error_code == "RequestLimitExceeded"]
    assert len(calls) - len(refused) == len(CIDRS) * len(net.table_ids)
    assert len(refused) <= 16 + 4, "as many as may be under way, and then one now and again"
    many.wait_healthy()
    assert "refused a change" not in many.log()
    assert many.log().count("EC2 is throttling changes") == 1
    wait_until(lambda: not many.json("/route_info")["pending"]["changes"], 10, many.log)


def test_what_is_learned_while_routes_move_counts_for_those_that_have_not_moved(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, many: Daemon
) -> None:
    ec2.settings(bucket={"capacity": 2, "per_s": 3})
    mark = ec2.calls()[-1].seq
    hosts.kill(HOSTS[0])
    wait_until(lambda: since(ec2, mark, "ReplaceRoute"), 10, many.log)
    second, third = HOSTS[1:]
    hosts.kill(second)
    wait_until(lambda: second in many.json("/ips")["failed_ips"], 10, many.log)
    known = ec2.calls()[-1].seq
    for cidr in CIDRS:
        wait_target(net, {third}, cidr)
    targets = [call.params["NetworkInterfaceId"] for call in since(ec2, known, "ReplaceRoute")]
    assert targets
    # What was under way then may still have gone there.
    assert set(targets[16:]) <= {net.eni_of[third]}


def test_an_interface_that_is_gone_costs_one_partial_read_and_a_second_try(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, many: Daemon
) -> None:
    second, third = HOSTS[1:]
    net.delete_interface(second)  # whose listener, here, still answers
    mark = ec2.calls()[-1].seq
    fail_while_reads_take_long(HOSTS[0], "DescribeNetworkInterfaces", ec2, hosts, mark)
    for cidr in CIDRS:
        wait_target(net, {third}, cidr)
    calls = since(ec2, mark, "DescribeNetworkInterfaces", "ReplaceRoute")
    refused = [call for call in calls if call.error_code]
    assert refused, "none of eight choices between two hosts was the one that is gone"
    assert {call.error_code for call in refused} == {"InvalidNetworkInterfaceID.NotFound"}
    routes = [(c.params["RouteTableId"], c.params["DestinationCidrBlock"]) for c in refused]
    assert len(routes) == len(set(routes)), "the second try goes elsewhere"
    first_again = next(
        call.seq
        for call in calls
        if not call.error_code
        and call.action == "ReplaceRoute"
        and (call.params["RouteTableId"], call.params["DestinationCidrBlock"]) in routes
    )
    assert first_reread(ec2, mark, first_again) == ("DescribeNetworkInterfaces", 2)


def test_a_route_that_is_gone_costs_one_partial_read_and_a_second_try(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, many: Daemon
) -> None:
    net.delete_route(net.table_ids[0], CIDRS[0])
    mark = ec2.calls()[-1].seq
    fail_while_reads_take_long(HOSTS[0], "DescribeRouteTables", ec2, hosts, mark)
    for cidr in CIDRS:
        wait_target(net, set(HOSTS[1:]), cidr)
    of_it = [
        call
        for call in since(ec2, mark, *MOVED)
        if (call.params["RouteTableId"], call.params["DestinationCidrBlock"])
        == (net.table_ids[0], CIDRS[0])
    ]
    tries = [(call.action, bool(call.error_code)) for call in of_it]
    assert tries == [("ReplaceRoute", True), ("CreateRoute", False)]
    assert first_reread(ec2, mark, of_it[-1].seq) == ("DescribeRouteTables", 2)
