"""Each fault does what it says, to the calls that it is for."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.client import IncompleteRead, RemoteDisconnected
from typing import Any

import pytest
from boto3.session import Session
from botocore.exceptions import ClientError, HTTPClientError
from botocore.parsers import ResponseParserError

from tests.waiting import wait_until

from .client import DAEMON_KEY, REGION, EmbeddedEc2
from .network import Network
from .queues import EventQueue

pytestmark = pytest.mark.timeout(60)

HOSTS = ("127.0.1.10", "127.0.2.10")
A, B = HOSTS
UNSIGNED = b"Action=DescribeSubnets&Version=2016-11-15"
CIDR, OTHER = "10.0.0.0/8", "172.16.0.0/12"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedEc2]:
    with EmbeddedEc2() as ec2:
        yield ec2


@pytest.fixture
def net(server: EmbeddedEc2) -> Network:
    """Two tables, each with two routes to the first host."""
    server.reset()
    network = Network.build(server, zones=2, tables=2, hosts=HOSTS)
    for table in network.table_ids:
        for cidr in (CIDR, OTHER):
            network.create_route(table, cidr, A)
    return network


def fault(net: Network, kind: str, action: str = "*", **how: Any) -> None:
    net.ec2.set_faults([{"action": action, "kind": kind, **how}])


def code_of(error: ClientError) -> tuple[str, int]:
    answer = error.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def client_of(net: Network, key: str, service: str = "ec2") -> Any:
    """A client with another access key than the driver's."""
    session = Session(aws_access_key_id=key, aws_secret_access_key="testing", region_name=REGION)  # noqa: S106
    return session.client(service, endpoint_url=net.ec2.url)  # type: ignore[call-overload]


# ---- which calls --------------------------------------------------------------------------


def test_a_fault_is_for_one_table_one_cidr_one_interface(net: Network) -> None:
    first, second = net.table_ids
    for scope in ({"table": first}, {"cidr": CIDR}, {"interface": net.eni_of[B]}):
        fault(net, "error", "ReplaceRoute", **scope)
        with pytest.raises(ClientError):
            net.replace_route(first, CIDR, B)
        net.replace_route(second, OTHER, A)
    assert net.routes(CIDR) == {first: A, second: A}


def test_a_scope_narrows_and_patterns_match(net: Network) -> None:
    first, second = net.table_ids
    fault(net, "error", "*Route", table=first, cidr="10.*")
    with pytest.raises(ClientError):
        net.delete_route(first, CIDR)
    net.delete_route(first, OTHER)
    net.delete_route(second, CIDR)


def test_a_fault_is_for_an_instance_by_its_interfaces_too(net: Network) -> None:
    fault(net, "error", instance=net.instance_of[B])
    table = net.table_ids[0]
    with pytest.raises(ClientError):
        net.replace_route(table, CIDR, B)
    with pytest.raises(ClientError):
        net.stop(B)
    net.stop(A)
    net.replace_route(table, CIDR, A)


def test_a_describe_is_hit_by_what_it_names(net: Network) -> None:
    first, second = net.table_ids
    fault(net, "error", table=first)
    by_filter: Any = {"Filters": [{"Name": "route-table-id", "Values": [second, first]}]}
    with pytest.raises(ClientError):
        net.client.describe_route_tables(RouteTableIds=[first])
    with pytest.raises(ClientError):
        net.client.describe_route_tables(**by_filter)
    net.client.describe_route_tables(RouteTableIds=[second])
    net.client.describe_route_tables()


def test_a_fault_hits_every_second_call(net: Network) -> None:
    fault(net, "error", every=2, times=2)
    fates = []
    for _ in range(6):
        try:
            net.client.describe_subnets()
            fates.append("good")
        except ClientError:
            fates.append("bad")
    assert fates == ["good", "bad", "good", "bad", "good", "good"]


@pytest.mark.parametrize(
    "how",
    [
        {"kind": "slow"},
        {"kind": "stale"},
        {"kind": "stale", "seconds": 1, "instance": "i-1"},
        {"kind": "half", "after": True},
    ],
)
def test_what_makes_no_sense_is_refused(net: Network, how: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Error"):
        net.ec2.set_faults([{"action": "*", **how}])


# ---- what is answered ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InternalError", 500),
        ("Unavailable", 503),
        ("RequestLimitExceeded", 503),
        ("AuthFailure", 401),
        ("RequestExpired", 400),
        ("SomethingNew", 400),
    ],
)
def test_an_error_has_the_status_of_ec2(net: Network, code: str, status: int) -> None:
    fault(net, "error", code=code)
    with pytest.raises(ClientError) as caught:
        net.client.describe_subnets()
    assert code_of(caught.value) == (code, status)
    assert caught.value.response["Error"]["Message"]


def test_a_single_action_is_not_authorized_and_the_message_has_an_encoded_part(
    net: Network,
) -> None:
    fault(net, "error", "ReplaceRoute", code="UnauthorizedOperation")
    table = net.table_ids[0]
    with pytest.raises(ClientError) as caught:
        net.replace_route(table, CIDR, B)
    assert code_of(caught.value) == ("UnauthorizedOperation", 403)
    message = caught.value.response["Error"]["Message"]
    assert "is not authorized to perform: ec2:ReplaceRoute" in message
    assert len(message.partition("Encoded authorization failure message: ")[2]) > 500
    net.delete_route(table, CIDR)


def test_a_200_can_carry_an_error_that_boto3_does_not_see(net: Network) -> None:
    fault(net, "error", http_status=200)
    assert "Subnets" not in net.client.describe_subnets()
    assert net.ec2.calls()[-1].error_code is None


@pytest.mark.parametrize("kind", ["truncated", "garbage"])
def test_xml_that_is_none(net: Network, kind: str) -> None:
    fault(net, kind)
    with pytest.raises(ResponseParserError):
        net.client.describe_route_tables()


@pytest.mark.parametrize("kind", ["truncated", "half"])
def test_a_call_is_executed_though_its_answer_is_spoilt(net: Network, kind: str) -> None:
    fault(net, kind, "CreateRoute")
    table = net.table_ids[0]
    with pytest.raises((ResponseParserError, HTTPClientError)):
        net.create_route(table, "192.168.0.0/16", A)
    assert net.routes("192.168.0.0/16")[table] == A
    assert net.ec2.stderr() == ""


def received(net: Network) -> bytes:
    """What comes of an answer, which boto3 does not interpret, whatever it is."""
    with urllib.request.urlopen(net.ec2.url, UNSIGNED, timeout=5) as answer:  # noqa: S310
        return bytes(answer.read())


def test_half_of_an_answer_is_less_than_its_length_says(net: Network) -> None:
    whole = received(net)
    fault(net, "half")
    with pytest.raises(IncompleteRead) as caught:
        received(net)
    assert caught.value.partial == whole[: len(whole) // 2]
    fault(net, "truncated")
    assert received(net) == whole[: len(whole) // 2]


@pytest.mark.parametrize(("after", "holder"), [(False, A), (True, None)])
def test_a_reset_connection(net: Network, after: bool, holder: str | None) -> None:
    fault(net, "reset", after=after)
    with pytest.raises(ConnectionResetError):
        received(net)
    fault(net, "drop")
    with pytest.raises(RemoteDisconnected):
        received(net)
    fault(net, "reset", "DeleteRoute", after=after)
    table = net.table_ids[0]
    with pytest.raises(HTTPClientError):
        net.delete_route(table, CIDR)
    assert net.routes(CIDR)[table] == holder
    assert net.ec2.calls()[-2].status == 0
    assert net.ec2.stderr() == ""


def test_a_slow_answer_comes_byte_by_byte(net: Network) -> None:
    fault(net, "slow", "DeleteRoute", seconds=0.005)
    began_s = time.monotonic()
    net.ec2.client(read_timeout_s=0.5).delete_route(
        RouteTableId=net.table_ids[0], DestinationCidrBlock=CIDR
    )
    assert time.monotonic() - began_s > 0.5, "no single wait is as long as a read's time-out"


def test_a_slow_answer_ends_with_its_fault_and_holds_nobody_up(net: Network) -> None:
    fault(net, "slow", "DescribeSubnets", seconds=1)
    failures: list[Exception] = []

    def describe() -> None:
        try:
            net.client.describe_subnets()
        except HTTPClientError as error:
            failures.append(error)

    thread = threading.Thread(target=describe)
    thread.start()
    wait_until(lambda: net.ec2.calls()[-1].action == "DescribeSubnets", 5, "an answer under way")
    began_s = time.monotonic()
    net.client.describe_vpcs()
    net.ec2.set_faults([])
    thread.join(5)
    assert time.monotonic() - began_s < 3
    assert len(failures) == 1


# ---- stale reads --------------------------------------------------------------------------


def test_a_stale_read_comes_after_a_fresh_one(net: Network) -> None:
    fault(net, "stale", "Describe*", seconds=60, every=2)
    table = net.table_ids[0]
    net.replace_route(table, CIDR, B)
    net.stop(B)
    assert [net.routes(CIDR)[table] for _ in range(4)] == [B, A, B, A]
    net.ec2.set_faults([])
    assert [net.routes(CIDR)[table] for _ in range(2)] == [B, B]


def test_a_stale_read_is_as_old_as_it_is_told(net: Network) -> None:
    fault(net, "stale", "Describe*", seconds=0.6)
    table = net.table_ids[0]
    net.replace_route(table, CIDR, B)
    began_s = time.monotonic()
    assert net.routes(CIDR)[table] == A
    wait_until(lambda: net.routes(CIDR)[table] == B, 5, "the replaced route")
    assert time.monotonic() - began_s > 0.5


def test_one_table_or_one_cidr_is_stale(net: Network) -> None:
    first, second = net.table_ids
    for scope in ({"table": first}, {"cidr": CIDR}):
        fault(net, "stale", seconds=60, **scope)
        for table in net.table_ids:
            net.replace_route(table, CIDR, B)
            net.delete_route(table, OTHER)
        seen = net.routes(CIDR), net.routes(OTHER)
        if "table" in scope:
            assert seen == ({first: A, second: B}, {first: A, second: None})
        else:
            assert seen == ({first: A, second: A}, {first: None, second: None})
        assert len(interfaces_of(net)) == 2
        net.ec2.set_faults([])
        for table in net.table_ids:
            net.replace_route(table, CIDR, A)
            net.create_route(table, OTHER, A)


def interfaces_of(net: Network) -> dict[str, set[str]]:
    """The addresses of the interfaces that EC2 shows."""
    found = net.client.describe_network_interfaces(
        Filters=[{"Name": "vpc-id", "Values": [net.vpc_id]}]
    )["NetworkInterfaces"]
    return {
        each["NetworkInterfaceId"]: {a["PrivateIpAddress"] for a in each["PrivateIpAddresses"]}
        for each in found
    }


def test_interfaces_are_stale(net: Network) -> None:
    first, second = net.eni_of[A], net.eni_of[B]
    fault(net, "stale", seconds=60, interface=first)
    for host in HOSTS:
        net.assign_secondary(host, host.replace(".10", ".77"))
    assert interfaces_of(net) == {first: {A}, second: {B, "127.0.2.77"}}
    net.delete_interface(A)
    by_address = [{"Name": "addresses.private-ip-address", "Values": [A]}]
    found: Any = net.client.describe_network_interfaces(Filters=by_address)["NetworkInterfaces"]  # type: ignore[arg-type]
    assert [each["Attachment"]["InstanceId"] for each in found] == [net.instance_of[A]]
    assert net.routes(CIDR)[net.table_ids[0]] == A
    net.ec2.set_faults([])
    assert set(interfaces_of(net)) == {second}


# ---- throttling ---------------------------------------------------------------------------


def admitted(count: int, call: Callable[[], Any]) -> int:
    """How many of so many calls are not throttled."""
    codes = []
    for _ in range(count):
        try:
            call()
        except ClientError as error:
            codes.append(code_of(error))
    assert set(codes) <= {("RequestLimitExceeded", 503)}
    return count - len(codes)


def replaced(net: Network, count: int) -> int:
    return admitted(count, lambda: net.replace_route(net.table_ids[0], CIDR, A))


def test_a_neighbour_drinks_from_the_same_bucket(net: Network) -> None:
    size = {"capacity": 10, "per_s": 5}
    net.ec2.settings(bucket=size, neighbour={"Replace*": 1000})
    net.replace_route(net.table_ids[0], CIDR, A)  # now there is a bucket
    time.sleep(0.05)
    assert replaced(net, 10) <= 2
    net.delete_route(net.table_ids[0], OTHER)
    net.ec2.settings(neighbour={"DeleteRoute": 1000})
    assert replaced(net, 10) == 10


def test_the_buckets_of_ec2_are_of_reads_too(net: Network) -> None:
    net.ec2.settings(bucket="ec2")
    began_s = time.monotonic()
    count = admitted(120, net.client.describe_network_interfaces)
    most = 51 + 10 * (time.monotonic() - began_s)
    assert 50 <= count <= most, "neither paginated nor filtered: 50, and 10 a second"
    net.client.describe_network_interfaces(MaxResults=100)
    began_s = time.monotonic()
    count = replaced(net, 90)
    assert 50 <= count <= 51 + 5 * (time.monotonic() - began_s)


@pytest.mark.parametrize(
    "setting", [{"bucket": "large"}, {"neighbour": {"*": 1}}, {"bucket": {"capacity": 1}}]
)
def test_a_nonsensical_bucket_is_refused(net: Network, setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Error"):
        net.ec2.settings(**setting)


# ---- credentials and clocks ---------------------------------------------------------------


def test_a_fault_is_for_one_access_key(net: Network) -> None:
    fault(net, "error", code="AuthFailure", access_key=DAEMON_KEY)
    with pytest.raises(ClientError) as caught:
        client_of(net, DAEMON_KEY).describe_subnets()
    assert code_of(caught.value) == ("AuthFailure", 401)
    client_of(net, "AKIAROTATED").describe_subnets()
    net.client.describe_subnets()


def test_a_queue_says_in_its_own_way_that_credentials_have_expired(net: Network) -> None:
    queue = EventQueue.create(net.ec2)
    fault(net, "error", code="ExpiredToken")
    with pytest.raises(ClientError) as caught:
        queue.count()
    assert code_of(caught.value) == ("ExpiredToken", 403)
    assert net.ec2.calls()[-1].error_code == "ExpiredToken"


@pytest.mark.parametrize("ahead_s", [-1000, 1000])
def test_a_clock_that_differs_by_more_than_15_minutes(net: Network, ahead_s: float) -> None:
    queue = EventQueue.create(net.ec2)
    net.ec2.settings(clock_s=ahead_s * 0.8)
    net.client.describe_subnets()
    net.ec2.settings(clock_s=ahead_s)
    with pytest.raises(ClientError) as caught:
        net.client.describe_subnets()
    assert code_of(caught.value) == ("RequestExpired", 400)
    with pytest.raises(ClientError) as caught:
        queue.count()
    assert code_of(caught.value) == ("InvalidSignatureException", 403)
    said = "Signature expired" if ahead_s > 0 else "Signature not yet current"
    assert said in caught.value.response["Error"]["Message"]
