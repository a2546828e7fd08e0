"""The API of the real daemon: fields, kinds of answer, and that it tells the truth."""

import json

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import CIDR, HOSTS, StartDaemon
from tests.process.daemon import Daemon, Hosts
from tests.waiting import wait_until

SECRET = "testing"  # noqa: S105 - the key to the embedded EC2
PATHS = ("/", "/ips", "/plugins", "/route_info", "/route_spec", "/vpc", "/health")


@pytest.fixture
def daemon(hosts: Hosts, start_daemon: StartDaemon) -> Daemon:
    started = start_daemon("--ignore_routes", "10.98.0.0/16")
    started.wait_healthy()
    return started


def test_every_page_in_every_form_has_what_users_know_and_no_secret(
    daemon: Daemon, net: Network
) -> None:
    for path in PATHS:
        status, compact = daemon.get(path, "application/json")
        assert status == 200
        assert SECRET not in compact, path
        assert len(compact.strip().splitlines()) == 1
        _, indented = daemon.get(path, "*/*")
        assert json.loads(indented).keys() == json.loads(compact).keys()
        assert len(indented.splitlines()) > 2
        _, page = daemon.get(
            path, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        )
        assert page.startswith("<!doctype html>")
        assert 'href="/route_info"' in page
    assert daemon.get("/nothing")[0] == 404
    assert SECRET not in daemon.log()
    root = daemon.json("/")
    assert {"version", "start_time", "params", "_links"} <= root.keys()
    assert root["params"]["vpc"] == net.vpc_id
    assert {link["href"] for link in root["_links"]} == set(PATHS)
    ips = daemon.json("/ips")
    assert ips["failed_ips"] == ips["questionable_ips"] == []
    assert ips["working_set"] == sorted(HOSTS)
    info = daemon.json("/route_info")
    assert info["route_spec"] == {CIDR: list(HOSTS)} == daemon.json("/route_spec")
    assert info["ignore_routes"] == ["10.98.0.0/16"]
    tables = info["routes"][CIDR]["tables"]
    assert {table: target["host"] for table, target in tables.items()} == net.routes(CIDR)
    vpc = daemon.json("/vpc")
    assert vpc["id"] == net.vpc_id
    assert set(vpc["route_tables"]) == set(net.table_ids)
    plugins = daemon.json("/plugins")
    assert [plugins["mode"][0]["name"], plugins["health"][0]["name"]] == ["configfile", "tcp"]
    worst_s = plugins["health"][0]["worst_case_detection_s"]
    assert f"worst-case failure detection {worst_s:g} s" in daemon.log()


def test_a_failover_is_shown_with_its_stages(daemon: Daemon, net: Network, hosts: Hosts) -> None:
    (first,) = set(net.routes(CIDR).values())
    assert first is not None
    hosts.kill(first)

    def moves() -> list[dict[str, dict[str, float]]]:
        recent = daemon.json("/route_info")["recent_changes"]
        return [c for c in recent if c["action"] == "replace" and "seen" in c["at"]]

    wait_until(lambda: len(moves()) == 3, 15, daemon.log)
    for move in moves():
        at = move["at"]
        assert at["detected"] <= at["decided"] <= at["accepted"] <= at["seen"]
    assert daemon.json("/ips")["failed_ips"] == [first]


def test_health_says_why_not(ec2: EmbeddedEc2, daemon: Daemon) -> None:
    ec2.set_faults([{"action": "*", "kind": "drop"}])
    wait_until(lambda: daemon.get("/health")[0] == 503, 20, daemon.log)
    # A read that had begun before may have failed at a later call.
    wait_until(lambda: "DescribeRouteTables" in daemon.get("/health")[1], 20, daemon.log)
    ec2.set_faults([])
    daemon.wait_healthy()


def test_health_is_kept_up_to_date_while_ec2_hangs(
    ec2: EmbeddedEc2, daemon: Daemon, hosts: Hosts
) -> None:
    ec2.set_faults([{"action": "*", "kind": "hang"}])
    wait_until(ec2.in_flight, 10, daemon.log)
    hosts.kill(HOSTS[0])
    wait_until(lambda: daemon.json("/ips")["failed_ips"] == [HOSTS[0]], 10, daemon.log)
