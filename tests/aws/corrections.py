"""Where moto is made to behave like EC2: the whole list of what is put in place of what.

The corrections themselves, each with EC2's behaviour in a comment, are modules of their own: of
state (`backend`, `route_tables`, `interfaces`, `instances`), of rules (`route_rules`), and of what
calls take and answer (`responses` and its bases).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from ipaddress import IPv6Network
from types import MappingProxyType, ModuleType
from typing import Any

from moto.backends import get_backend
from moto.ec2 import urls as moto_urls
from moto.ec2 import utils as moto_utils
from moto.ec2.models import ec2_backends
from moto.ec2.models import elastic_network_interfaces as moto_interfaces
from moto.ec2.models import instances as moto_instances
from moto.ec2.models import managed_prefixes as moto_prefix_lists
from moto.ec2.models import nat_gateways as moto_nat_gateways
from moto.ec2.models import route_tables as moto_routes
from moto.ec2.models import subnets as moto_subnets
from moto.ec2.models import vpcs as moto_vpcs
from moto.ec2.models import vpn_gateway as moto_vpn_gateways
from moto.moto_api._internal.models import moto_api_backend

from . import (
    backend,
    instances,
    interfaces,
    paging,
    planting,
    prefix_lists,
    responses,
    route_tables,
    sharing,
)
from .account import ACCOUNT

REPLACED: tuple[tuple[ModuleType, str, Any], ...] = (
    (moto_routes, "Route", route_tables.Route),
    (moto_routes, "RouteTable", route_tables.RouteTable),
    (moto_vpn_gateways, "VpnGateway", route_tables.VpnGateway),
    (moto_prefix_lists, "ManagedPrefixList", prefix_lists.ManagedPrefixList),
    (moto_interfaces, "NetworkInterface", interfaces.NetworkInterface),
    (moto_subnets, "Subnet", sharing.Subnet),
    (moto_vpcs, "VPC", sharing.VPC),
    (moto_instances, "Instance", instances.Instance),
    (moto_utils, "is_filter_matching", interfaces.filter_matches),
    # moto makes up addresses that are outside the subnets.
    (moto_instances, "random_private_ip", lambda: None),
    (moto_nat_gateways, "random_private_ip", lambda: None),
    (moto_vpcs, "random_private_ip", lambda: None),
    # EC2's own are canonical.
    (moto_vpcs, "random_ipv6_cidr", lambda: str(IPv6Network(moto_utils.random_ipv6_cidr()))),
)
"""Module of moto, name, and what is put in its place."""


def install() -> None:
    """Correct moto in this process; before its EC2 is first used, and once."""
    # No route needs any of the 1,300 machine images that moto loads at every reset.
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    for module, name, correct in REPLACED:
        setattr(module, name, correct)
    moto_utils.filter_dict_attribute_mapping.update(instances.INSTANCE_FILTERS)
    ec2_backends.backend = backend.Ec2Backend
    moto_urls.url_paths["{0}/"] = responses.EC2Response.dispatch


def warm_up(account_id: str, region: str) -> None:
    """Make the region now, so that the first call does not wait for it."""
    get_backend("ec2")[account_id][region]


def configure(page_size: int | None) -> None:
    """Set the forced page size of describes."""
    paging.Paging.forced = page_size


PLANTS: Mapping[str, Callable[..., dict[str, Any]]] = MappingProxyType(
    {
        "account": planting.account,
        "owner": planting.owner,
        "service": planting.service,
        "learned_routes": planting.learned_routes,
        "advertised_routes": planting.advertised_routes,
        "instance_status": planting.instance_status,
        "interfaces": planting.interfaces,
    }
)
"""What `POST /_control/…` puts into EC2 that no call of a user's can."""


def reset() -> None:
    """Forget every resource of every account: as just installed."""
    configure(page_size=None)
    ACCOUNT.reset()
    moto_api_backend.reset()
