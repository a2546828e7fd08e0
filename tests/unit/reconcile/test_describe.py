"""What the API is told of the VPC."""

import json

import pytest

from tests.unit.building import BLACKHOLE, CIDR, OTHER, A, B, of_gateways, scoped, spec, view
from vpcrouter.model.spec import RouteSpec
from vpcrouter.reconcile import describe

SPEC = spec({CIDR: (A, B), OTHER: (B,)})
VIEW = view({CIDR: "eni-a"}, {CIDR: BLACKHOLE, OTHER: "eni-b"})


@pytest.mark.parametrize("wanted", [SPEC, None])
def test_the_pieces_are_one_json_object(wanted: RouteSpec | None) -> None:
    found = json.loads(describe.body(wanted, VIEW, "us-east-1"))
    assert set(found) == {"spec", "routes", "vpc"}
    assert found["spec"] == ({CIDR: [A, B], OTHER: [B]} if wanted else None)
    assert found["vpc"] == describe.vpc(VIEW, "us-east-1")
    assert set(found["routes"]) == set(wanted.routes if wanted else ())


def test_where_a_cidr_points() -> None:
    found = json.loads(describe.body(SPEC, VIEW, "us-east-1"))["routes"]
    assert found[CIDR]["hosts"] == [A]
    assert found[CIDR]["tables"]["rtb-1"] == {
        "host": A,
        "interface": "eni-a",
        "instance": "i-1",
        "target": "eni-a",
        "state": "active",
    }
    assert found[CIDR]["tables"]["rtb-2"]["state"] == "blackhole"
    assert found[OTHER]["missing_in"] == ["rtb-1"]


def test_a_gateways_table_is_shown_as_one_and_misses_no_route() -> None:
    found = json.loads(describe.body(SPEC, of_gateways(VIEW, 1), "us-east-1"))
    assert {n: t["gateway"] for n, t in found["vpc"]["route_tables"].items()} == {
        "rtb-1": "igw-1",
        "rtb-2": None,
    }
    assert list(found["routes"][CIDR]["tables"]) == ["rtb-2"]
    assert found["routes"][OTHER]["missing_in"] == []


def test_of_a_large_vpc_it_is_shown_which_interfaces_were_read() -> None:
    assert describe.vpc(VIEW, "us-east-1")["interfaces_shown"] == "all"
    shown = describe.vpc(scoped(VIEW, A), "us-east-1")["interfaces_shown"]
    assert shown == "those of hosts and routes"
