"""Each correction of moto, each fault, and the control endpoints really hold."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from tests.waiting import wait_until

from .client import IMAGE, REGION, ROOT, EmbeddedEc2, Network

pytestmark = pytest.mark.timeout(60)

HOSTS = ("127.0.1.10", "127.0.2.10", "127.0.3.10")
A, B, C = HOSTS
CIDR = "10.0.0.0/8"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedEc2]:
    with EmbeddedEc2() as ec2:
        yield ec2


@pytest.fixture
def ec2(server: EmbeddedEc2) -> EmbeddedEc2:
    server.reset()
    return server


@pytest.fixture
def net(ec2: EmbeddedEc2) -> Network:
    return Network.build(ec2, hosts=HOSTS)


@pytest.fixture
def table(net: Network) -> str:
    return net.table_ids[0]


def refused(code: str, call: Callable[..., Any], **params: Any) -> str:
    """Check that EC2 refuses the call with `code`; answer its message."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return str(caught.value.response["Error"]["Message"])


def routes_of(net: Network, table: str) -> list[dict[str, Any]]:
    answer = net.client.describe_route_tables(RouteTableIds=[table])
    return [dict(route) for route in answer["RouteTables"][0]["Routes"]]


def route_to(net: Network, table: str, cidr: str = CIDR) -> dict[str, Any]:
    [route] = [r for r in routes_of(net, table) if r.get("DestinationCidrBlock") == cidr]
    return route


# ---- routes: what is shown ----------------------------------------------------------------


@pytest.mark.parametrize("by", ["NetworkInterfaceId", "InstanceId"])
def test_a_route_shows_interface_instance_and_owner(net: Network, table: str, by: str) -> None:
    target: dict[str, Any] = {"NetworkInterfaceId": net.eni_of[A], "InstanceId": net.instance_of[A]}
    net.client.create_route(RouteTableId=table, DestinationCidrBlock=CIDR, **{by: target[by]})
    assert route_to(net, table) == {
        "DestinationCidrBlock": CIDR,
        "InstanceOwnerId": "123456789012",
        "Origin": "CreateRoute",
        "State": "active",
        **target,
    }


def test_a_replaced_route_shows_its_new_target_only(net: Network, table: str) -> None:
    gateway = net.client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    net.client.create_route(RouteTableId=table, DestinationCidrBlock=CIDR, GatewayId=gateway)
    net.replace_route(table, CIDR, B)
    route = route_to(net, table)
    assert "GatewayId" not in route
    assert route["InstanceId"] == net.instance_of[B]
    net.client.replace_route(RouteTableId=table, DestinationCidrBlock=CIDR, GatewayId=gateway)
    route = route_to(net, table)
    assert route["GatewayId"] == gateway
    assert not {"InstanceId", "NetworkInterfaceId", "InstanceOwnerId"} & set(route)


def test_the_local_route_has_its_own_origin(net: Network, table: str) -> None:
    assert route_to(net, table, "127.0.0.0/16") == {
        "DestinationCidrBlock": "127.0.0.0/16",
        "GatewayId": "local",
        "Origin": "CreateRouteTable",
        "State": "active",
    }


def test_a_propagated_route_stands_beside_a_static_one(net: Network, table: str) -> None:
    gateway = net.ec2.propagate_route(table, CIDR)
    assert gateway.startswith("vgw-")
    route = route_to(net, table)
    assert route["Origin"] == "EnableVgwRoutePropagation"
    assert route["GatewayId"] == gateway
    refused("InvalidParameterValue", net.replace_route, table_id=table, cidr=CIDR, target=A)
    refused("InvalidRoute.NotFound", net.delete_route, table_id=table, cidr=CIDR)
    net.create_route(table, CIDR, A)
    origins = [r["Origin"] for r in routes_of(net, table) if r["DestinationCidrBlock"] == CIDR]
    assert sorted(origins) == ["CreateRoute", "EnableVgwRoutePropagation"]
    net.delete_route(table, CIDR)
    assert route_to(net, table)["Origin"] == "EnableVgwRoutePropagation"


def test_a_propagated_route_needs_a_table_and_a_network(net: Network, table: str) -> None:
    with pytest.raises(ValueError, match="rtb-none"):
        net.ec2.propagate_route("rtb-none", CIDR)
    with pytest.raises(ValueError, match="nonsense"):
        net.ec2.propagate_route(table, "nonsense")


# ---- routes: blackhole --------------------------------------------------------------------


def test_a_stopped_instance_blackholes_its_routes_until_it_starts(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.stop(A)
    route = route_to(net, table)
    assert route["State"] == "blackhole"
    assert route["InstanceId"] == net.instance_of[A]
    net.start(A)
    assert route_to(net, table)["State"] == "active"


def test_a_terminated_instance_leaves_blackholes_and_takes_its_interface(
    net: Network, table: str
) -> None:
    net.create_route(table, CIDR, A)
    net.terminate(A)
    route = route_to(net, table)
    assert (route["State"], route["NetworkInterfaceId"]) == ("blackhole", net.eni_of[A])
    assert "InstanceId" not in route
    refused(
        "InvalidNetworkInterfaceID.NotFound",
        net.client.describe_network_interfaces,
        NetworkInterfaceIds=[net.eni_of[A]],
    )
    by_address = net.client.describe_network_interfaces(
        Filters=[{"Name": "addresses.private-ip-address", "Values": [A]}]
    )
    assert by_address["NetworkInterfaces"] == []
    answer = net.client.describe_instances(InstanceIds=[net.instance_of[A]])
    instance = answer["Reservations"][0]["Instances"][0]
    assert instance["State"]["Name"] == "terminated"
    assert not instance.get("NetworkInterfaces")
    assert not {"PrivateIpAddress", "SubnetId", "VpcId"} & set(instance)


def test_the_address_of_a_terminated_instance_can_be_used_again(net: Network) -> None:
    old = net.eni_of[A]
    net.terminate(A)
    assert net.add_host(A) != old


def test_an_interface_that_outlives_its_instance_stays_detached(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.detach(A)
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=[net.eni_of[A]])
    interface = answer["NetworkInterfaces"][0]
    assert interface["Status"] == "available"
    assert interface["PrivateIpAddress"] == A
    assert "Attachment" not in interface
    route = route_to(net, table)
    assert (route["State"], route["NetworkInterfaceId"]) == ("blackhole", net.eni_of[A])


def test_a_secondary_interface_can_be_detached_and_deleted(net: Network, table: str) -> None:
    host = "127.0.1.77"
    net.add_host(host, on_secondary=True)
    net.create_route(table, CIDR, host)
    assert route_to(net, table)["State"] == "active"
    net.detach(host)
    assert route_to(net, table)["State"] == "blackhole"
    answer = net.client.describe_instances(InstanceIds=[net.instance_of[host]])
    assert answer["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
    net.client.delete_network_interface(NetworkInterfaceId=net.eni_of[host])
    route = route_to(net, table)
    assert (route["State"], route["NetworkInterfaceId"]) == ("blackhole", net.eni_of[host])


def test_a_deleted_interface_blackholes_its_routes(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.delete_interface(A)
    assert route_to(net, table)["State"] == "blackhole"
    assert net.routes(CIDR)[table] == A


def test_an_attached_interface_is_not_deleted_nor_a_primary_one_detached(net: Network) -> None:
    eni = net.eni_of[A]
    refused("InvalidParameterValue", net.client.delete_network_interface, NetworkInterfaceId=eni)
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=[eni])
    attachment = answer["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    refused("OperationNotPermitted", net.client.detach_network_interface, AttachmentId=attachment)


# ---- routes: what is refused --------------------------------------------------------------


def test_a_duplicate_is_refused_and_changes_nothing(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    refused("RouteAlreadyExists", net.create_route, table_id=table, cidr=CIDR, target=B)
    refused("RouteAlreadyExists", net.create_route, table_id=table, cidr="10.9.9.9/8", target=B)
    refused("RouteAlreadyExists", net.create_route, table_id=table, cidr="127.0.0.0/16", target=B)
    assert net.routes(CIDR)[table] == A


@pytest.mark.parametrize("call", ["create_route", "replace_route", "delete_route"])
def test_a_bad_cidr_is_refused(net: Network, table: str, call: str) -> None:
    target = {} if call == "delete_route" else {"NetworkInterfaceId": net.eni_of[A]}
    for cidr in ("10.0.0.0/99", "10.0.0.0", "10.0.0.0/255.0.0.0", "fd00::/8", "10.0.0/8", "x"):
        message = refused(
            "InvalidParameterValue",
            getattr(net.client, call),
            RouteTableId=table,
            DestinationCidrBlock=cidr,
            **target,
        )
        assert f"({cidr}) for parameter destinationCidrBlock" in message
    assert len(routes_of(net, table)) == 1


@pytest.mark.parametrize("call", ["create_route", "replace_route"])
def test_a_route_needs_a_destination_and_a_target(net: Network, table: str, call: str) -> None:
    eni, method = net.eni_of[A], getattr(net.client, call)
    refused("MissingParameter", method, RouteTableId=table, DestinationCidrBlock=CIDR)
    refused("MissingParameter", method, RouteTableId=table, NetworkInterfaceId=eni)
    refused("MissingParameter", net.client.delete_route, RouteTableId=table)


@pytest.mark.parametrize("call", ["create_route", "replace_route"])
def test_a_route_has_one_target(net: Network, table: str, call: str) -> None:
    refused(
        "InvalidParameterCombination",
        getattr(net.client, call),
        RouteTableId=table,
        DestinationCidrBlock=CIDR,
        NetworkInterfaceId=net.eni_of[A],
        InstanceId=net.instance_of[A],
    )


def test_an_unknown_interface_is_refused(net: Network, table: str) -> None:
    code, unknown = "InvalidNetworkInterfaceID.NotFound", "eni-0123456789abcdef0"
    refused(code, net.create_route, table_id=table, cidr=CIDR, target=unknown)
    net.create_route(table, CIDR, A)
    refused(code, net.replace_route, table_id=table, cidr=CIDR, target=unknown)
    assert net.routes(CIDR)[table] == A


def test_an_interface_of_another_vpc_is_refused(net: Network, table: str) -> None:
    other = Network.build(net.ec2, "10.1.0.0/16", zones=1, tables=1, hosts=["10.1.1.10"])
    eni = other.eni_of["10.1.1.10"]
    refused("InvalidParameterValue", net.create_route, table_id=table, cidr=CIDR, target=eni)
    net.create_route(table, CIDR, A)
    refused("InvalidParameterValue", net.replace_route, table_id=table, cidr=CIDR, target=eni)
    assert net.routes(CIDR)[table] == A


def test_an_instance_with_two_interfaces_is_no_target(net: Network, table: str) -> None:
    net.add_host("127.0.1.77", on_secondary=True)
    refused(
        "InvalidInstanceID",
        net.client.create_route,
        RouteTableId=table,
        DestinationCidrBlock=CIDR,
        InstanceId=net.instance_of["127.0.1.77"],
    )


def test_a_missing_route_is_neither_replaced_nor_deleted(net: Network, table: str) -> None:
    message = refused(
        "InvalidParameterValue", net.replace_route, table_id=table, cidr=CIDR, target=A
    )
    assert message == (
        "There is no route defined for '10.0.0.0/8' in the route table. Use CreateRoute instead."
    )
    refused("InvalidRoute.NotFound", net.delete_route, table_id=table, cidr=CIDR)


def test_an_unknown_table_is_refused(net: Network) -> None:
    code, unknown = "InvalidRouteTableID.NotFound", "rtb-0123456789abcdef0"
    refused(code, net.create_route, table_id=unknown, cidr=CIDR, target=A)
    refused(code, net.replace_route, table_id=unknown, cidr=CIDR, target=A)
    refused(code, net.delete_route, table_id=unknown, cidr=CIDR)
    refused(code, net.client.describe_route_tables, RouteTableIds=[unknown])


def test_the_local_route_stays(net: Network, table: str) -> None:
    local = "127.0.0.0/16"
    refused("InvalidParameterValue", net.replace_route, table_id=table, cidr=local, target=A)
    refused("InvalidParameterValue", net.delete_route, table_id=table, cidr=local)
    assert route_to(net, table, local)["GatewayId"] == "local"


def test_host_bits_are_cut_off(net: Network, table: str) -> None:
    net.create_route(table, "10.1.2.3/8", A)
    assert net.routes(CIDR)[table] == A
    net.replace_route(table, "10.9.9.9/8", B)
    assert net.routes(CIDR)[table] == B
    net.delete_route(table, "10.5.5.5/8")
    assert net.routes(CIDR)[table] is None


def test_ipv6_destinations_are_canonical(net: Network, table: str) -> None:
    def call(name: str, text: str, **target: str) -> None:
        method = getattr(net.client, name)
        method(RouteTableId=table, DestinationIpv6CidrBlock=text, **target)

    call("create_route", "FD00:0:0::1/64", NetworkInterfaceId=net.eni_of[A])
    assert routes_of(net, table)[-1]["DestinationIpv6CidrBlock"] == "fd00::/64"
    refused(
        "RouteAlreadyExists",
        call,
        name="create_route",
        text="fd00::/64",
        NetworkInterfaceId=net.eni_of[A],
    )
    call("replace_route", "fd00:0::/64", NetworkInterfaceId=net.eni_of[B])
    assert routes_of(net, table)[-1]["NetworkInterfaceId"] == net.eni_of[B]
    call("delete_route", "fd00::5/64")
    assert len(routes_of(net, table)) == 1


def test_a_prefix_list_may_have_an_interface_as_target(net: Network, table: str) -> None:
    made = net.client.create_managed_prefix_list(
        PrefixListName="ours",
        MaxEntries=5,
        AddressFamily="IPv4",
        Entries=[{"Cidr": CIDR}],
    )
    key: dict[str, Any] = {
        "RouteTableId": table,
        "DestinationPrefixListId": made["PrefixList"]["PrefixListId"],
    }
    net.client.create_route(**key, NetworkInterfaceId=net.eni_of[A])
    assert routes_of(net, table)[-1]["DestinationPrefixListId"] == key["DestinationPrefixListId"]
    refused("RouteAlreadyExists", net.client.create_route, **key, NetworkInterfaceId=net.eni_of[A])
    net.client.replace_route(**key, NetworkInterfaceId=net.eni_of[B])
    assert routes_of(net, table)[-1]["InstanceId"] == net.instance_of[B]
    net.client.delete_route(**key)
    assert len(routes_of(net, table)) == 1
    key["DestinationPrefixListId"] = "pl-0123456789abcdef0"
    refused(
        "InvalidPrefixListID.NotFound",
        net.client.create_route,
        **key,
        NetworkInterfaceId=net.eni_of[A],
    )


def test_a_dry_run_changes_nothing(net: Network, table: str) -> None:
    dry: dict[str, Any] = {"RouteTableId": table, "DestinationCidrBlock": CIDR, "DryRun": True}
    a, b = net.eni_of[A], net.eni_of[B]
    refused("DryRunOperation", net.client.create_route, **dry, NetworkInterfaceId=a)
    assert net.routes(CIDR)[table] is None
    net.create_route(table, CIDR, A)
    refused("DryRunOperation", net.client.replace_route, **dry, NetworkInterfaceId=b)
    refused("DryRunOperation", net.client.delete_route, **dry)
    assert net.routes(CIDR)[table] == A


def test_a_subnet_has_one_table(net: Network, table: str) -> None:
    refused(
        "Resource.AlreadyAssociated",
        net.client.associate_route_table,
        RouteTableId=table,
        SubnetId=net.subnet_of(A),
    )


# ---- describes ----------------------------------------------------------------------------

PAGED = [
    ("describe_route_tables", "RouteTables", 100),
    ("describe_network_interfaces", "NetworkInterfaces", 1000),
    ("describe_subnets", "Subnets", 1000),
]


@pytest.fixture(scope="module")
def crowd(server: EmbeddedEc2) -> Network:
    """Enough of everything for several pages."""
    server.reset()
    return Network.build(server, tables=13, hosts=[f"127.0.1.{n}" for n in range(10, 22)])


@pytest.mark.parametrize(("call", "key", "most"), PAGED)
class TestPaging:
    @pytest.fixture(autouse=True)
    def _default_settings(self, crowd: Network) -> Iterator[None]:
        yield
        crowd.ec2.settings(page_size=None)

    def test_max_results_is_honoured(self, crowd: Network, call: str, key: str, most: int) -> None:
        method = getattr(crowd.client, call)
        everything = method()[key]
        pages: list[Any] = []
        token: dict[str, str] = {}
        while True:
            answer = method(MaxResults=5, **token)
            pages.append(answer[key])
            if not answer.get("NextToken"):
                break
            token = {"NextToken": answer["NextToken"]}
        assert len(pages) >= 3
        assert all(len(page) == 5 for page in pages[:-1])
        assert [item for page in pages for item in page] == everything
        assert len(method(MaxResults=most)[key]) == len(everything)

    def test_max_results_has_limits(self, crowd: Network, call: str, key: str, most: int) -> None:
        # boto3 would stop what is too small itself.
        method = getattr(crowd.ec2.client(validate=False), call)
        refused("InvalidParameterValue", method, MaxResults=4)
        refused("InvalidParameterValue", method, MaxResults=most + 1)

    def test_a_page_size_can_be_forced(
        self, crowd: Network, call: str, key: str, most: int
    ) -> None:
        method = getattr(crowd.client, call)
        everything = method()[key]
        crowd.ec2.settings(page_size=2)
        answer = method()
        assert answer[key] == everything[:2]
        assert answer["NextToken"]
        pages = crowd.client.get_paginator(call).paginate()  # type: ignore[call-overload]
        assert [item for page in pages for item in page[key]] == everything

    def test_a_bad_token_is_refused(self, crowd: Network, call: str, key: str, most: int) -> None:
        method = getattr(crowd.client, call)
        refused("InvalidPaginationToken", method, NextToken="nonsense")


def test_instances_page_by_the_forced_size_too(net: Network) -> None:
    net.ec2.settings(page_size=2)
    answer = net.client.describe_instances()
    assert len(answer["Reservations"]) == 2
    pages = net.client.get_paginator("describe_instances").paginate()
    instances = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
    assert {i["PrivateIpAddress"] for i in instances} == set(HOSTS)


def test_what_is_asked_by_id_is_not_paged(net: Network) -> None:
    net.ec2.settings(page_size=1)
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=list(net.eni_of.values()))
    assert len(answer["NetworkInterfaces"]) == 3
    refused(
        "InvalidParameterCombination",
        net.client.describe_network_interfaces,
        NetworkInterfaceIds=[net.eni_of[A]],
        MaxResults=5,
    )


def test_interfaces_and_instances_are_found_by_any_of_their_addresses(net: Network) -> None:
    net.assign_secondary(A, "127.0.1.99")
    wanted = ["127.0.1.99", B, "127.0.3.200"]
    interfaces = net.client.describe_network_interfaces(
        Filters=[{"Name": "addresses.private-ip-address", "Values": wanted}]
    )["NetworkInterfaces"]
    assert {i["NetworkInterfaceId"] for i in interfaces} == {net.eni_of[A], net.eni_of[B]}
    reservations = net.client.describe_instances(
        Filters=[{"Name": "network-interface.addresses.private-ip-address", "Values": wanted}]
    )["Reservations"]
    found = {i["InstanceId"] for r in reservations for i in r["Instances"]}
    assert found == {net.instance_of[A], net.instance_of[B]}


def test_an_address_is_on_one_interface_at_a_time(net: Network) -> None:
    net.assign_secondary(A, "127.0.1.99")
    other = net.add_host("127.0.1.11")
    call = net.client.assign_private_ip_addresses
    taken: dict[str, Any] = {"NetworkInterfaceId": other, "PrivateIpAddresses": ["127.0.1.99"]}
    refused("InvalidIPAddress.InUse", call, **taken)
    call(**taken, AllowReassignment=True)
    found = net.client.describe_network_interfaces(
        Filters=[{"Name": "private-ip-address", "Values": ["127.0.1.99"]}]
    )["NetworkInterfaces"]
    assert [i["NetworkInterfaceId"] for i in found] == [other]
    refused("InvalidIPAddress.InUse", net.add_host, address=A)
    subnet = net.subnet_of(A)
    refused(
        "InvalidIPAddress.InUse",
        net.client.create_network_interface,
        SubnetId=subnet,
        PrivateIpAddress=A,
    )
    refused(
        "InvalidParameterValue",
        net.client.run_instances,
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        PrivateIpAddress="127.0.9.9",
    )


def test_the_source_dest_check_is_one_value(net: Network) -> None:
    def of_instance() -> bool:
        answer = net.client.describe_instances(InstanceIds=[net.instance_of[A]])
        return answer["Reservations"][0]["Instances"][0]["SourceDestCheck"]

    assert not of_instance()
    net.client.modify_instance_attribute(
        InstanceId=net.instance_of[A], SourceDestCheck={"Value": True}
    )
    answer = net.client.describe_network_interfaces(NetworkInterfaceIds=[net.eni_of[A]])
    assert answer["NetworkInterfaces"][0]["SourceDestCheck"]
    assert of_instance()


def test_tables_are_filtered_by_their_routes(net: Network, table: str) -> None:
    def found(name: str, value: str) -> list[str]:
        answer = net.client.describe_route_tables(
            Filters=[
                {"Name": "vpc-id", "Values": [net.vpc_id]},
                {"Name": name, "Values": [value]},
            ]
        )
        return [t["RouteTableId"] for t in answer["RouteTables"]]

    net.create_route(table, CIDR, A)
    net.stop(A)
    assert found("route.state", "blackhole") == [table]
    assert found("route.origin", "CreateRoute") == [table]
    assert found("route.instance-id", net.instance_of[A]) == [table]
    assert found("route.instance-id", net.instance_of[B]) == []
    assert found("association.subnet-id", net.subnet_of(A)) == [net.table_ids[1]]
    refused("InvalidParameterValue", found, name="route.colour", value="blue")


# ---- reads that lag -----------------------------------------------------------------------


def test_route_state_can_lag_behind(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.ec2.settings(stale_s=0.6)
    net.replace_route(table, CIDR, B)
    replaced = time.monotonic()
    net.stop(B)
    assert route_to(net, table)["NetworkInterfaceId"] == net.eni_of[A]
    assert route_to(net, table)["State"] == "active"
    wait_until(
        lambda: route_to(net, table)["NetworkInterfaceId"] == net.eni_of[B], 5, "a replaced route"
    )
    assert time.monotonic() - replaced >= 0.5
    wait_until(lambda: route_to(net, table)["State"] == "blackhole", 5, "a blackhole")


def test_reads_stop_lagging_when_told(net: Network, table: str) -> None:
    net.create_route(table, CIDR, A)
    net.ec2.settings(stale_s=60)
    net.delete_route(table, CIDR)
    assert net.routes(CIDR)[table] == A
    net.ec2.settings(stale_s=0)
    assert net.routes(CIDR)[table] is None


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
    net.ec2.settings(bucket={"capacity": 3, "per_s": 10})
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
    time.sleep(0.15)
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
    assert time.monotonic() - started < 8


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
