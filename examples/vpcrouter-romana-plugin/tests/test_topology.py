"""Which topology gives which routes, and which is refused with which words."""

import json
from typing import Any

import pytest
from vpcrouter.plugin import SpecError, parse_spec

from vpcrouter_romana_plugin.topology import MAX_FAULTS_LISTED, routes_of

TOP = "networks.net1.host_groups"


def hosts(*ips: str) -> list[dict[str, str]]:
    return [{"ip": ip} for ip in ips]


def networks(**top: Any) -> dict[str, Any]:
    return {"networks": {name: {"name": name, "host_groups": top[name]} for name in top}}


LEAF = {"cidr": "10.1.0.0/28", "hosts": hosts("192.168.99.10", "192.168.99.11"), "groups": None}
OTHER = {"cidr": "10.1.0.16/28", "hosts": hosts("192.168.99.12"), "routing": "prefix-on-host"}
LEAF_ROUTE = {"10.1.0.0/28": ("192.168.99.10", "192.168.99.11")}
OTHER_ROUTE = {"10.1.0.16/28": ("192.168.99.12",)}


def nested(depth: int, group: dict[str, Any]) -> dict[str, Any]:
    for _ in range(depth):
        group = {"cidr": "10.0.0.0/8", "hosts": None, "groups": [group]}
    return group


@pytest.mark.parametrize(
    ("topology", "routes"),
    [
        (networks(net1=LEAF), LEAF_ROUTE),
        (networks(net1=LEAF, net2=OTHER), LEAF_ROUTE | OTHER_ROUTE),
        (networks(net1={"groups": [LEAF, OTHER]}), LEAF_ROUTE | OTHER_ROUTE),
        (networks(net1={**LEAF, "groups": [OTHER]}), LEAF_ROUTE | OTHER_ROUTE),
        (networks(net1=nested(100, LEAF)), LEAF_ROUTE),
        (networks(net1={"groups": [LEAF, {"cidr": "10.2.0.0/16", "hosts": []}]}), LEAF_ROUTE),
        (networks(net1={"groups": [LEAF, {}]}), LEAF_ROUTE),
        (networks(net1=LEAF, net2={}), LEAF_ROUTE),
        (networks(net1={**LEAF, "cidr": "10.1.0.5/28"}), LEAF_ROUTE),
        (
            networks(net1={**OTHER, "hosts": hosts("192.168.99.12", "192.168.99.12")}),
            OTHER_ROUTE,
        ),
        ({**networks(net1=LEAF), "version": 7}, LEAF_ROUTE),
    ],
)
def test_routes(topology: dict[str, Any], routes: dict[str, tuple[str, ...]]) -> None:
    found = routes_of(json.dumps(topology))
    assert found == routes
    assert parse_spec(found).routes == routes


@pytest.mark.parametrize(
    ("topology", "faults"),
    [
        ([], ["the topology: must be an object, not a list"]),
        ({}, ["networks: is missing"]),
        ({"networks": None}, ["networks: is null"]),
        ({"networks": [LEAF]}, ["networks: must be an object, not a list"]),
        ({"networks": {}}, ["networks: no group has hosts"]),
        ({"networks": {"net1": 1}}, ["networks.net1: must be an object, not a number"]),
        ({"networks": {"net1": {}}}, [f"{TOP}: is missing"]),
        ({"networks": {"net1": {"host_groups": None}}}, [f"{TOP}: is null"]),
        (networks(net1=[LEAF]), [f"{TOP}: a group is an object, not a list"]),
        (networks(net1={}), ["networks: no group has hosts"]),
        (networks(net1={**LEAF, "hosts": []}), ["networks: no group has hosts"]),
        (networks(net1={"groups": LEAF}), [f"{TOP}.groups: must be a list, not an object"]),
        (networks(net1={"groups": ["x"]}), [f"{TOP}.groups[0]: a group is an object, not text"]),
        (networks(net1={**LEAF, "hosts": {}}), [f"{TOP}.hosts: must be a list, not an object"]),
        (networks(net1={**LEAF, "hosts": False}), [f"{TOP}.hosts: must be a list, not false"]),
        (
            networks(net1={**LEAF, "hosts": [7, {}, {"ip": None}, {"ip": 7}]}),
            [
                f"{TOP}.hosts[0]: must be an object, not a number",
                f"{TOP}.hosts[1].ip: is missing",
                f"{TOP}.hosts[2].ip: is null",
                f"{TOP}.hosts[3].ip: must be text, not a number",
            ],
        ),
        (
            networks(net1={**LEAF, "hosts": hosts("192.168.99.10", "host-2", "::1")}),
            [
                f'{TOP}: "10.1.0.0/28": host 2, "host-2", is not an IP address',
                f'{TOP}: "10.1.0.0/28": host 3, "::1": only IPv4 hosts',
            ],
        ),
        (networks(net1={"hosts": hosts("192.168.99.10")}), [f"{TOP}: has hosts, but no cidr"]),
        (networks(net1={**LEAF, "cidr": ""}), [f"{TOP}: has hosts, but no cidr"]),
        (networks(net1={**LEAF, "cidr": 10}), [f"{TOP}.cidr: must be text, not a number"]),
        (networks(net1={**LEAF, "cidr": "10.1/33"}), [f'{TOP}: "10.1/33": is not a CIDR']),
        (
            networks(net1={"groups": [LEAF, {**OTHER, "cidr": "10.1.0.1/28"}]}),
            [f"{TOP}.groups[1].cidr: 10.1.0.0/28 is that of {TOP}.groups[0], too"],
        ),
        (
            networks(net1={"groups": [{"groups": [LEAF, {**OTHER, "cidr": None}]}]}, net2=OTHER),
            [f"{TOP}.groups[0].groups[1]: has hosts, but no cidr"],
        ),
    ],
)
def test_what_makes_no_sense(topology: object, faults: list[str]) -> None:
    with pytest.raises(SpecError) as refused:
        routes_of(json.dumps(topology))
    assert len(refused.value.faults) == len(faults)
    for fault, beginning in zip(refused.value.faults, faults, strict=True):
        assert fault.startswith(beginning)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "bad JSON: Expecting value"),
        (b"\xff\xfe\xfd", "bad JSON"),
        (b'{"networks": ', "bad JSON: Expecting value"),
        (b'{"networks": {"a": {}, "a": {}}}', 'bad JSON: an object has "a" twice'),
        (b"[" * 200_000, "bad JSON: it is nested too deeply"),
        (b'{"groups": [' * 200_000, "bad JSON: it is nested too deeply"),
    ],
)
def test_what_is_no_json(text: bytes, why: str) -> None:
    with pytest.raises(SpecError) as refused:
        routes_of(text)
    (fault,) = refused.value.faults
    assert fault.startswith(why)


def test_many_faults_and_long_places_stay_readable() -> None:
    deep = nested(150, {"groups": [{"hosts": hosts("192.168.99.10")}] * 1000})
    with pytest.raises(SpecError) as refused:
        routes_of(json.dumps(networks(net1=deep)))
    assert len(refused.value.faults) == MAX_FAULTS_LISTED + 1
    assert refused.value.faults[0].startswith("networks.net1.host_groups.groups[0]")
    assert "groups[199]: has hosts" in refused.value.faults[199]
    assert max(map(len, refused.value.faults)) < 300
