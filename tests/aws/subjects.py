"""What a call is about: the tables, CIDRs, interfaces and instances that it names."""

from __future__ import annotations

from moto.ec2.models import ec2_backends

from .calls import Call

NAMED_BY = {
    "table": (("RouteTableId",), "route-table-id"),
    "cidr": (
        ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"),
        "route.destination-cidr-block",
    ),
    "interface": (("NetworkInterfaceId",), "network-interface-id"),
    "instance": (("InstanceId",), "attachment.instance-id"),
}
"""The parameters, and the filter of describes."""


def subjects_of(call: Call, kind: str) -> set[str]:
    """The names of things of this kind in the call; instances by their interfaces, too."""
    params, filter_name = NAMED_BY[kind]
    found = call.values(*params) | call.filtered(filter_name)
    if kind == "instance":
        found |= {_carrier(each) for each in subjects_of(call, "interface")}
    return found


def _carrier(interface_id: str) -> str:
    """The instance that the interface is attached to."""
    for _account, _region, backend in ec2_backends.iter_backends():
        interface = backend.enis.get(interface_id)  # type: ignore[attr-defined]
        if interface is not None and interface.instance is not None:
            return str(interface.instance.id)
    return ""
