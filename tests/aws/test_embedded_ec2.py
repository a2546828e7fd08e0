"""Each fault, the log, and the control endpoints really hold; and the server itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from tests.waiting import PATIENCE, wait_until

from .asserting import CIDR, HOSTS, A, B, C, refused
from .client import REGION, ROOT, EmbeddedEc2
from .network import Network

pytestmark = pytest.mark.timeout(60)


# ---- faults -------------------------------------------------------------------------------


def test_an_error_is_answered_as_often_as_asked(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.ec2.set_faults(
        [
            {
                "action": "ReplaceRoute",
                "kind": "error",
                "code": "UnauthorizedOperation",
                "message": "You are <not> authorized & so on.",
                "http_status": 403,
                "times": 2,
            }
        ]
    )
    for _ in range(2):
        message = refused(
            "UnauthorizedOperation", net.replace_route, table_id=table, cidr=CIDR, target=B
        )
        assert message == "You are <not> authorized & so on."
    assert net.routes(CIDR)[table] == A
    net.replace_route(table, CIDR, B)
    assert net.routes(CIDR)[table] == B
    statuses = [c.status for c in net.ec2.calls() if c.action == "ReplaceRoute"]
    assert statuses == [403, 403, 200]


def test_a_fault_hits_the_actions_that_match(net: Network) -> None:
    net.ec2.set_faults([{"action": "Describe*", "kind": "error", "code": "Unavailable"}])
    refused("Unavailable", net.client.describe_subnets)
    refused("Unavailable", net.client.describe_vpcs)
    net.stop(A)
    net.ec2.set_faults([])
    net.client.describe_subnets()


def test_a_delay_comes_before_the_call(net: Network, table: str) -> None:
    net.ec2.set_faults([{"action": "CreateRoute", "kind": "delay", "seconds": 0.5}])
    thread = threading.Thread(target=net.create_route, args=(table, CIDR, A))
    started = time.monotonic()
    thread.start()
    wait_until(net.ec2.in_flight, 5, "a call under way")
    assert net.routes(CIDR)[table] is None
    thread.join(5)
    assert time.monotonic() - started >= 0.5
    assert net.routes(CIDR)[table] == A
    [call] = [c for c in net.ec2.calls() if c.action == "CreateRoute"]
    assert call.took_s < 0.4


def test_a_delay_and_an_error_add_up(net: Network) -> None:
    net.ec2.set_faults(
        [
            {"action": "*", "kind": "delay", "seconds": 0.3},
            {"action": "DescribeVpcs", "kind": "error", "code": "Unavailable"},
        ]
    )
    started = time.monotonic()
    refused("Unavailable", net.client.describe_vpcs)
    assert time.monotonic() - started >= 0.3


def test_a_hang_lasts_until_the_faults_change_and_executes_nothing(
    net: Network, table: str
) -> None:
    net.ec2.set_faults([{"action": "CreateRoute", "kind": "hang"}])
    hasty = net.ec2.client(read_timeout_s=0.3)
    with pytest.raises(ReadTimeoutError):
        hasty.create_route(
            RouteTableId=table, DestinationCidrBlock=CIDR, NetworkInterfaceId=net.eni_of[A]
        )
    assert [c.action for c in net.ec2.in_flight()] == ["CreateRoute"]
    net.ec2.set_faults([])
    wait_until(lambda: not net.ec2.in_flight(), 5, "no call under way")
    assert net.ec2.calls()[-1].status == 0
    assert net.routes(CIDR)[table] is None
    net.create_route(table, CIDR, A)
    assert net.ec2.stderr() == ""


def test_garbage_is_no_answer_boto3_understands(net: Network, table: str) -> None:
    net.ec2.set_faults([{"action": "CreateRoute", "kind": "garbage"}])
    with pytest.raises(ResponseParserError):
        net.create_route(table, CIDR, A)
    assert net.ec2.calls()[-1].status == 200
    assert net.routes(CIDR)[table] is None


@pytest.mark.parametrize(("after", "holder"), [(False, None), (True, A)])
def test_a_dropped_connection_gives_no_answer(
    net: Network, table: str, after: bool, holder: str | None
) -> None:
    net.ec2.set_faults([{"action": "CreateRoute", "kind": "drop", "after": after}])
    with pytest.raises(HTTPClientError):
        net.create_route(table, CIDR, A)
    assert net.ec2.calls()[-1].status == 0
    assert net.routes(CIDR)[table] == holder
    assert net.ec2.stderr() == ""


def test_an_error_can_follow_the_execution(net: Network, table: str) -> None:
    net.ec2.set_faults([{"action": "CreateRoute", "kind": "error", "after": True}])
    refused("InternalError", net.create_route, table_id=table, cidr=CIDR, target=A)
    assert net.routes(CIDR)[table] == A


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "*"},
        {"action": "*", "kind": "flood"},
        {"action": "*", "kind": "drop", "colour": 1},
        {"action": "*", "kind": "hang", "after": True},
    ],
)
def test_a_nonsensical_fault_is_refused(ec2: EmbeddedEc2, fault: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Error"):
        ec2.set_faults([fault])
    ec2.client().describe_vpcs()


def test_mutating_calls_are_throttled_action_by_action(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.ec2.settings(bucket={"capacity": 3, "per_s": 0.5})
    since = net.ec2.calls()[-1].seq
    for host in (B, A, B, A, B, A):
        with suppress(ClientError):
            net.replace_route(table, CIDR, host)
    log = [(c.status, c.error_code) for c in net.ec2.calls(since)]
    assert log[:3] == [(200, None)] * 3
    assert set(log[3:]) >= {(503, "RequestLimitExceeded")}
    for _ in range(5):
        net.client.describe_vpcs()
    net.delete_route(table, CIDR)
    net.create_route(table, CIDR, A)
    time.sleep(2.1)
    net.replace_route(table, CIDR, B)
    net.ec2.settings(bucket=None)
    for host in (A, B, A, B, A):
        net.replace_route(table, CIDR, host)


@pytest.mark.parametrize(
    "setting", [{"colour": "red"}, {"page_size": 0}, {"bucket": {"size": 3}}, {"bucket": 3}]
)
def test_a_nonsensical_setting_is_refused(ec2: EmbeddedEc2, setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Error"):
        ec2.settings(**setting)


# ---- log and reset ------------------------------------------------------------------------


def test_the_log_tells_what_was_asked_and_answered(net: Network, table: str) -> None:
    since = net.ec2.calls()[-1].seq
    before = time.monotonic()
    net.create_route(table, CIDR, A)
    refused("RouteAlreadyExists", net.create_route, table_id=table, cidr=CIDR, target=A)
    good, bad = net.ec2.calls(since)
    assert good.params == {
        "RouteTableId": table,
        "DestinationCidrBlock": CIDR,
        "NetworkInterfaceId": net.eni_of[A],
    }
    assert (good.seq, good.action, good.service) == (since + 1, "CreateRoute", "ec2")
    assert (good.status, good.error_code) == (200, None)
    assert before <= good.monotonic_s <= bad.monotonic_s <= time.monotonic()
    assert 0 < good.took_s < 1
    assert (bad.seq, bad.status, bad.error_code) == (since + 2, 400, "RouteAlreadyExists")
    assert net.ec2.calls(bad.seq) == []


def test_a_reset_empties_everything(net: Network, table: str) -> None:
    net.ec2.settings(page_size=1, stale_s=5, bucket={"capacity": 1, "per_s": 0.1})
    net.ec2.set_faults([{"action": "*", "kind": "error"}])
    last = net.ec2.calls()[-1].seq
    net.ec2.reset()
    assert net.ec2.calls() == []
    client = net.ec2.client()
    assert net.vpc_id not in [v["VpcId"] for v in client.describe_vpcs()["Vpcs"]]
    assert len(client.describe_subnets()["Subnets"]) > 1
    refused("InvalidRouteTableID.NotFound", net.create_route, table_id=table, cidr=CIDR, target=A)
    assert net.ec2.calls()[0].seq > last


def test_a_call_from_before_a_reset_is_dropped(net: Network, table: str) -> None:
    net.ec2.set_faults([{"action": "CreateRoute", "kind": "delay", "seconds": 15}])
    failures: list[Exception] = []

    def create() -> None:
        try:
            net.create_route(table, CIDR, A)
        except HTTPClientError as error:
            failures.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    wait_until(net.ec2.in_flight, 5, "a call under way")
    net.ec2.reset()
    thread.join(5)
    assert len(failures) == 1
    assert net.ec2.calls() == []


def test_many_threads_may_call_at_once(net: Network, table: str) -> None:
    clients = [net.ec2.client(read_timeout_s=10 + n) for n in range(4)]
    failures: list[Exception] = []

    def work(index: int) -> None:
        cidr = f"10.{index}.0.0/16"
        try:
            for host in (A, B, C) * 5:
                key: dict[str, Any] = {"RouteTableId": table, "DestinationCidrBlock": cidr}
                clients[index].create_route(**key, NetworkInterfaceId=net.eni_of[host])
                clients[index].describe_route_tables()
                clients[index].delete_route(**key)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert failures == []
    seqs = [c.seq for c in net.ec2.calls()]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert net.ec2.stderr() == ""


# ---- the network --------------------------------------------------------------------------


def test_a_network_is_what_was_asked_for(net: Network) -> None:
    assert len(net.table_ids) == 3
    answer = net.client.describe_route_tables(RouteTableIds=net.table_ids)
    by_id = {t["RouteTableId"]: t for t in answer["RouteTables"]}
    assert by_id[net.table_ids[0]]["Associations"][0]["Main"]
    associated = [by_id[t]["Associations"][0]["SubnetId"] for t in net.table_ids[1:]]
    assert associated == list(net.subnets.values())[:2]
    interfaces = net.client.describe_network_interfaces(
        NetworkInterfaceIds=list(net.eni_of.values())
    )["NetworkInterfaces"]
    assert {i["PrivateIpAddress"] for i in interfaces} == set(HOSTS)
    assert {i["AvailabilityZone"] for i in interfaces} == {REGION + zone for zone in "abc"}
    assert not any(i["SourceDestCheck"] for i in interfaces)
    for interface in interfaces:
        host = interface["PrivateIpAddress"]
        assert interface["SubnetId"] == net.subnet_of(host)
        assert interface["Attachment"]["InstanceId"] == net.instance_of[host]
    assert net.routes(CIDR) == dict.fromkeys(net.table_ids)


def test_fifty_hosts_take_a_few_seconds(ec2: EmbeddedEc2) -> None:
    started = time.monotonic()
    hosts = [f"127.0.{1 + n % 3}.{10 + n}" for n in range(50)]
    assert len(Network.build(ec2, hosts=hosts).eni_of) == 50
    assert time.monotonic() - started < 8 * PATIENCE


# ---- the process --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_says_one_line_and_ends_cleanly(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.aws.server"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert re.fullmatch(r"listening http://127\.0\.0\.1:\d+\n", line)
    process.send_signal(number)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_the_server_dies_with_its_parent() -> None:
    program = (
        "import os, signal; from tests.aws.client import EmbeddedEc2; ec2 = EmbeddedEc2().start();"
        "print(ec2.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    pid = int(done.stdout)
    wait_until(lambda: not _runs(pid), 5, "the server's end")


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_server_that_does_not_start_says_why(server: EmbeddedEc2) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(RuntimeError, match="Address already in use"):
        EmbeddedEc2(port=port).start()


def test_another_process_needs_only_the_environment(net: Network) -> None:
    program = (
        "import boto3; print(*[v['VpcId'] for v in boto3.client('ec2').describe_vpcs()['Vpcs']])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, **net.ec2.env()},
        capture_output=True,
        text=True,
        timeout=15,
        check=True,
    )
    assert net.vpc_id in done.stdout.split()


def test_nothing_here_needs_vpcrouter() -> None:
    importing = re.compile(r"^\s*(?:from|import)\s+vpcrouter\b", re.MULTILINE)
    sources = [p for p in Path(__file__).parent.glob("*.py") if importing.search(p.read_text())]
    assert sources == []
