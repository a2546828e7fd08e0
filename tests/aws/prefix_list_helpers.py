"""What tests do with managed prefix lists."""

from __future__ import annotations

from typing import Any

from .network import Network

NETWORKS = [f"10.{n}.0.0/16" for n in range(256)]


def entries(*cidrs: str) -> list[Any]:
    return [{"Cidr": cidr} for cidr in cidrs]


def create(net: Network, *cidrs: str, size: int = 5, family: str = "IPv4") -> str:
    made = net.client.create_managed_prefix_list(
        PrefixListName="ours", MaxEntries=size, AddressFamily=family, Entries=entries(*cidrs)
    )
    return made["PrefixList"]["PrefixListId"]


def shown(net: Network, list_id: str) -> dict[str, Any]:
    answer = net.client.describe_managed_prefix_lists(PrefixListIds=[list_id])
    return dict(answer["PrefixLists"][0])


def modify(net: Network, list_id: str, **changes: Any) -> dict[str, Any]:
    answer = net.client.modify_managed_prefix_list(PrefixListId=list_id, **changes)
    return dict(answer["PrefixList"])


def cidrs_of(net: Network, list_id: str, **version: Any) -> list[str]:
    answer = net.client.get_managed_prefix_list_entries(PrefixListId=list_id, **version)
    return [entry["Cidr"] for entry in answer["Entries"]]
