"""Managed prefix lists, and routes to them.

Sources: VPC User Guide, "Managed prefix lists" and "Amazon VPC quotas"; EC2 API Reference,
CreateManagedPrefixList, ModifyManagedPrefixList and GetManagedPrefixListEntries.
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.waiting import wait_until

from .asserting import CIDR, A, B, refused, routes_of
from .network import Network
from .prefix_list_helpers import NETWORKS, cidrs_of, create, entries, modify, shown

pytestmark = pytest.mark.timeout(60)


def is_done(net: Network, list_id: str) -> bool:
    return not str(shown(net, list_id)["State"]).endswith("-in-progress")


# ---- states and versions ------------------------------------------------------------------


def test_a_list_is_created_modified_and_deleted_in_steps(net: Network) -> None:
    made = net.client.create_managed_prefix_list(
        PrefixListName="ours", MaxEntries=5, AddressFamily="IPv4", Entries=entries(CIDR)
    )["PrefixList"]
    list_id = made["PrefixListId"]
    assert (made["State"], made["Version"], made["MaxEntries"]) == ("create-in-progress", 1, 5)
    assert shown(net, list_id)["State"] == "create-complete"
    begun = modify(net, list_id, CurrentVersion=1, AddEntries=entries("11.0.0.0/8"))
    assert (begun["State"], begun["Version"]) == ("modify-in-progress", 1)
    now = shown(net, list_id)
    assert (now["State"], now["Version"]) == ("modify-complete", 2)
    assert cidrs_of(net, list_id) == [CIDR, "11.0.0.0/8"]
    doomed = net.client.delete_managed_prefix_list(PrefixListId=list_id)["PrefixList"]
    assert doomed["State"] == "delete-in-progress"
    refused("InvalidPrefixListID.NotFound", shown, net=net, list_id=list_id)


def test_what_is_in_progress_is_not_changed_and_shows_its_old_entries(net: Network) -> None:
    list_id = create(net, CIDR)
    net.ec2.account(prefix_list_s=0.5)
    modify(net, list_id, CurrentVersion=1, AddEntries=entries("11.0.0.0/8"))
    assert shown(net, list_id)["State"] == "modify-in-progress"
    assert cidrs_of(net, list_id) == [CIDR]
    change = {"net": net, "list_id": list_id, "AddEntries": entries("12.0.0.0/8")}
    refused("IncorrectState", modify, **change)
    refused("IncorrectState", net.client.delete_managed_prefix_list, PrefixListId=list_id)
    wait_until(lambda: is_done(net, list_id), 5, "a modified list")
    assert cidrs_of(net, list_id) == [CIDR, "11.0.0.0/8"]


def test_every_version_is_kept(net: Network) -> None:
    list_id = create(net, CIDR)
    modify(net, list_id, CurrentVersion=1, AddEntries=entries("11.0.0.0/8"))
    modify(net, list_id, CurrentVersion=2, RemoveEntries=entries(CIDR))
    assert cidrs_of(net, list_id) == ["11.0.0.0/8"]
    assert cidrs_of(net, list_id, TargetVersion=1) == [CIDR]
    assert cidrs_of(net, list_id, TargetVersion=2) == [CIDR, "11.0.0.0/8"]
    refused("InvalidParameterValue", cidrs_of, net=net, list_id=list_id, TargetVersion=4)


def test_a_stale_version_is_refused_and_loses_nothing(net: Network) -> None:
    list_id = create(net, CIDR)
    modify(net, list_id, CurrentVersion=1, AddEntries=entries("11.0.0.0/8"))
    change = {"AddEntries": entries("12.0.0.0/8")}
    for version in (1, 3):
        code = "PrefixListVersionMismatch"
        refused(code, modify, net=net, list_id=list_id, CurrentVersion=version, **change)
    assert cidrs_of(net, list_id) == [CIDR, "11.0.0.0/8"]


def test_a_new_name_makes_no_new_version(net: Network) -> None:
    list_id = create(net, CIDR)
    modify(net, list_id, PrefixListName="theirs")
    now = shown(net, list_id)
    assert (now["PrefixListName"], now["Version"], now["State"]) == ("theirs", 1, "create-complete")
    modify(net, list_id, AddEntries=entries("11.0.0.0/8"))
    assert shown(net, list_id)["PrefixListName"] == "theirs"


# ---- entries ------------------------------------------------------------------------------


def test_entries_are_canonical_and_of_the_lists_family(net: Network) -> None:
    v4 = create(net, "10.1.2.3/8")
    assert cidrs_of(net, v4) == [CIDR]
    v6 = create(net, "FD00:0:0::1/64", family="IPv6")
    assert cidrs_of(net, v6) == ["fd00::/64"]
    bad = "InvalidPrefixListModification"
    refused(bad, modify, net=net, list_id=v6, AddEntries=entries("fd00:0:0:0::/64"))
    modify(net, v6, RemoveEntries=entries("fd00:0::/64"))
    assert cidrs_of(net, v6) == []
    for cidr in ("fd00::/64", "10.0.0.0/99", "x"):
        change = {"AddEntries": entries(cidr)}
        refused("InvalidParameterValue", modify, net=net, list_id=v4, **change)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("InvalidPrefixListModification", {"AddEntries": entries(CIDR)}),
        ("InvalidPrefixListModification", {"RemoveEntries": entries("11.0.0.0/8")}),
        (
            "InvalidParameterValue",
            {"AddEntries": entries(CIDR), "RemoveEntries": entries(CIDR)},
        ),
        ("InvalidParameterCombination", {"AddEntries": entries("11.0.0.0/8"), "MaxEntries": 9}),
        ("PrefixListMaxEntriesExceeded", {"AddEntries": entries(*NETWORKS[:5])}),
        ("InvalidParameterValue", {"MaxEntries": 0}),
        ("InvalidParameterValue", {"MaxEntries": 1001}),
    ],
)
def test_a_change_that_does_not_fit_is_refused(
    net: Network, code: str, change: dict[str, Any]
) -> None:
    list_id = create(net, CIDR)
    refused(code, modify, net=net, list_id=list_id, **change)
    assert shown(net, list_id)["State"] == "create-complete"
    assert cidrs_of(net, list_id) == [CIDR]


def test_a_call_has_100_entries_at_most(net: Network) -> None:
    with pytest.raises(ClientError, match=r"InvalidParameterValue.*exceeds limit \(100\)"):
        create(net, *NETWORKS[:101], size=200)
    list_id = create(net, *NETWORKS[:100], size=200)
    modify(net, list_id, AddEntries=entries(*NETWORKS[100:200]))
    assert cidrs_of(net, list_id) == NETWORKS[:200]


def test_the_size_can_be_changed_down_to_the_entries(net: Network) -> None:
    list_id = create(net, CIDR, "11.0.0.0/8")
    refused("InvalidParameterValue", modify, net=net, list_id=list_id, MaxEntries=1)
    modify(net, list_id, MaxEntries=2)
    now = shown(net, list_id)
    assert (now["MaxEntries"], now["Version"], now["State"]) == (2, 1, "modify-complete")


def test_a_bad_list_is_not_created(net: Network) -> None:
    call = net.client.create_managed_prefix_list
    good: dict[str, Any] = {"PrefixListName": "ours", "MaxEntries": 2, "AddressFamily": "IPv4"}
    for change in (
        {"MaxEntries": 0},
        {"MaxEntries": 1001},
        {"PrefixListName": "com.amazonaws.ours"},
        {"Entries": entries(CIDR, "10.9.9.9/8")},
    ):
        refused("InvalidParameterValue", call, **{**good, **change})
    refused("PrefixListMaxEntriesExceeded", call, **good, Entries=entries(*NETWORKS[:3]))


def test_a_region_has_100_lists(net: Network) -> None:
    for _ in range(100):
        list_id = create(net)
    refused("PrefixListLimitExceeded", create, net=net)
    net.client.delete_managed_prefix_list(PrefixListId=list_id)
    create(net)
    net.ec2.account(prefix_lists=101)
    create(net)


def test_an_unknown_list_is_refused(net: Network) -> None:
    code, unknown = "InvalidPrefixListID.NotFound", "pl-0123456789abcdef0"
    refused(code, shown, net=net, list_id=unknown)
    refused(code, cidrs_of, net=net, list_id=unknown)
    refused(code, modify, net=net, list_id=unknown)
    refused(code, net.client.delete_managed_prefix_list, PrefixListId=unknown)


def test_a_dry_run_changes_no_list(net: Network) -> None:
    list_id = create(net, CIDR)
    dry = {"net": net, "list_id": list_id, "DryRun": True}
    refused("DryRunOperation", modify, **dry, RemoveEntries=entries(CIDR))
    call = net.client.delete_managed_prefix_list
    refused("DryRunOperation", call, PrefixListId=list_id, DryRun=True)
    assert cidrs_of(net, list_id) == [CIDR]


# ---- pages --------------------------------------------------------------------------------


def test_lists_and_their_entries_page(net: Network) -> None:
    list_id = create(net, *NETWORKS[:12], size=20)
    call: Any = net.client.get_managed_prefix_list_entries
    page = call(PrefixListId=list_id, MaxResults=5)
    assert [entry["Cidr"] for entry in page["Entries"]] == NETWORKS[:5]
    rest = call(PrefixListId=list_id, MaxResults=100, NextToken=page["NextToken"])
    assert [entry["Cidr"] for entry in rest["Entries"]] == NETWORKS[5:12]
    unchecked: Any = net.ec2.client(validate=False).get_managed_prefix_list_entries
    refused("InvalidParameterValue", unchecked, PrefixListId=list_id, MaxResults=101)
    first = net.client.describe_managed_prefix_lists(MaxResults=5)
    assert len(first["PrefixLists"]) == 5
    assert first["NextToken"]


# ---- routes to lists ----------------------------------------------------------------------


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


def test_a_list_in_use_is_not_deleted(net: Network, table: str) -> None:
    list_id = create(net, CIDR)
    key: dict[str, Any] = {"RouteTableId": table, "DestinationPrefixListId": list_id}
    net.client.create_route(**key, NetworkInterfaceId=net.eni_of[A])
    call = net.client.delete_managed_prefix_list
    refused("DependencyViolation", call, PrefixListId=list_id)
    assert shown(net, list_id)["State"] == "create-complete"
    net.client.delete_route(**key)
    call(PrefixListId=list_id)


def test_tables_are_found_by_the_lists_they_route_to(net: Network, table: str) -> None:
    list_id = create(net, CIDR)
    net.client.create_route(
        RouteTableId=table, DestinationPrefixListId=list_id, NetworkInterfaceId=net.eni_of[A]
    )
    answer = net.client.describe_route_tables(
        Filters=[{"Name": "route.destination-prefix-list-id", "Values": [list_id]}]
    )
    assert [each["RouteTableId"] for each in answer["RouteTables"]] == [table]
