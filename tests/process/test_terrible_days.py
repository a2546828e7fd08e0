"""What EC2, instance metadata and clocks can do to the daemon, and what it makes of it."""

import json
import os
import signal
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.aws.client import DAEMON_KEY as DAEMON
from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import Daemon, Hosts, run_early
from tests.process.routes import wait_target
from tests.waiting import wait_until

FIRST_KEY, SECOND_KEY = "AKIAFIRST", "AKIASECOND"
SPOILT: list[dict[str, Any]] = [
    {"kind": "half"},
    {"kind": "truncated"},
    {"kind": "reset"},
    {"kind": "error", "http_status": 200},
    {"kind": "error", "code": "Unavailable"},
    {"kind": "error", "code": "UnauthorizedOperation"},
]
READ_S = 2.0
CIDRS = [f"10.{60 + number}.0.0/16" for number in range(len(SPOILT))]


def changes(ec2: EmbeddedEc2, since: int) -> list[Any]:
    return [call for call in ec2.calls(since) if call.mutating and not call.is_drivers]


def last(ec2: EmbeddedEc2) -> int:
    return ec2.calls()[-1].seq


# ---- EC2 ----------------------------------------------------------------------------------


def test_no_answer_to_a_read_changes_a_route(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    code = f"from vpcrouter.aws import ec2\nec2.READ_TIMEOUT_S = {READ_S}\n"
    daemon = start_daemon(env=run_early(code, tmp_path))
    chosen = wait_target(net, set(HOSTS))
    daemon.wait_healthy()
    since = last(ec2)
    for count, fault in enumerate(SPOILT[:-1], start=1):
        ec2.set_faults([{"action": "Describe*", **fault}])
        daemon.wait_log("cannot read EC2", count=count)
        ec2.set_faults([])
        daemon.wait_log("EC2 readable again", count=count)
    assert changes(ec2, since) == []
    # With a read that takes minutes, the view in force is acted on.
    ec2.set_faults([{"action": "Describe*", "kind": "slow", "seconds": 1, "access_key": DAEMON}])
    wait_until(lambda: ec2.calls(since)[-1].action.startswith("Describe"), 10, daemon.log)
    hosts.kill(chosen)
    wait_target(net, set(HOSTS) - {chosen})
    # It ends at its time limit, byte by byte as it comes.
    daemon.wait_log("cannot read EC2", count=len(SPOILT))
    assert daemon.json("/")["workers"]["reconciler"]["generation"] == 1


@pytest.fixture
def many(spec_file: Path, net: Network, start_daemon: StartDaemon) -> Daemon:
    """A daemon at rest, with all of `CIDRS` on the first host; the second one may take over."""
    spec_file.write_text(json.dumps(dict.fromkeys(CIDRS, HOSTS[:2])))
    for cidr in CIDRS:
        for table in net.table_ids:
            net.create_route(table, cidr, HOSTS[0])
    daemon = start_daemon()
    daemon.wait_healthy()
    return daemon


def test_changes_that_fail_in_one_table_succeed_in_the_others_and_later_there(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, many: Daemon
) -> None:
    table, *others = net.table_ids
    kind_of = dict(zip(CIDRS, SPOILT, strict=True))
    ec2.set_faults(
        [{"action": "ReplaceRoute", "table": table, "cidr": c, **f} for c, f in kind_of.items()]
    )
    since = last(ec2)
    hosts.kill(HOSTS[0])
    for cidr in CIDRS:
        wait_until(partial(is_at, net, cidr, others, HOSTS[1]), 15, many.log)
        wait_until(partial(was_tried, ec2, since, table, cidr), 15, many.log)
        is_executed = kind_of[cidr]["kind"] in ("half", "truncated")
        assert is_at(net, cidr, [table], HOSTS[1] if is_executed else HOSTS[0])
    wait_until(lambda: many.get("/health")[0] == 503, 10, many.log)
    many.wait_log("Encoded authorization failure message")
    ec2.set_faults([])
    for cidr in CIDRS:
        net.wait_for_routes(cidr, HOSTS[1], 20)
    many.wait_healthy()


def is_at(net: Network, cidr: str, tables: Collection[str], host: str) -> bool:
    routes = net.routes(cidr)
    return all(routes[table] == host for table in tables)


def was_tried(ec2: EmbeddedEc2, since: int, table: str, cidr: str) -> bool:
    tried = (
        (c.params["RouteTableId"], c.params["DestinationCidrBlock"]) for c in changes(ec2, since)
    )
    return (table, cidr) in tried


def test_stale_reads_after_fresh_ones_and_a_thirsty_neighbour_cost_no_route(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, many: Daemon
) -> None:
    ec2.set_faults(
        [{"action": "Describe*", "kind": "stale", "seconds": 60, "every": 2, "access_key": DAEMON}]
    )
    ec2.settings(bucket={"capacity": 4, "per_s": 5}, neighbour={"ReplaceRoute": 2})
    since = last(ec2)
    hosts.kill(HOSTS[0])
    for cidr in CIDRS:
        net.wait_for_routes(cidr, HOSTS[1], 20)
    accepted = [call for call in changes(ec2, since) if not call.error_code]
    routes = {(c.params["RouteTableId"], c.params["DestinationCidrBlock"]) for c in accepted}
    assert len(accepted) == len(routes) == len(CIDRS) * len(net.table_ids)


# ---- instance metadata, credentials, clocks ------------------------------------------------


@pytest.fixture
def on_instance(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, start_daemon: StartDaemon
) -> Iterator[Daemon]:
    """A daemon on an instance that has no role yet."""
    ec2.set_metadata(vpc_id=net.vpc_id)
    yield start_daemon(env=ec2.env_of_instance())
    ec2.settings(clock_s=0)


def test_credentials_and_metadata_come_and_go(
    ec2: EmbeddedEc2, net: Network, on_instance: Daemon
) -> None:
    daemon = on_instance
    daemon.wait_log("NoCredentialsError")
    ec2.set_metadata(vpc_id=net.vpc_id, access_key=FIRST_KEY)
    daemon.wait_healthy()
    wait_target(net, set(HOSTS))

    # Revoked before their time; then the role has others.
    for count, code in enumerate(("AuthFailure", "RequestExpired"), start=1):
        old, new = (FIRST_KEY, SECOND_KEY) if count == 1 else (SECOND_KEY, FIRST_KEY)
        ec2.set_faults([{"action": "*", "kind": "error", "code": code, "access_key": old}])
        daemon.wait_log(f"{code}: ")
        wait_until(lambda: daemon.get("/health")[0] == 503, 10, daemon.log)
        ec2.set_metadata(vpc_id=net.vpc_id, access_key=new)
        daemon.wait_healthy()
    assert {call.access_key for call in ec2.calls() if not call.is_drivers} >= {
        FIRST_KEY,
        SECOND_KEY,
    }
    ec2.set_faults([])

    # A clock that is wrong by more than 15 minutes, and right again.
    seen = daemon.log().count("RequestExpired: ")
    ec2.settings(clock_s=-1000)
    daemon.wait_log("RequestExpired: ", count=seen + 1)
    ec2.settings(clock_s=0)
    daemon.wait_healthy()

    # A reconciler that is replaced while metadata hangs is replaced again.
    ec2.set_faults([{"action": "imds:*", "kind": "hang"}])
    killed = reconciler_beside(daemon, None)
    os.kill(killed, signal.SIGKILL)
    late = reconciler_beside(daemon, killed)
    daemon.wait_log("region: is needed")
    ec2.set_faults([])
    reconciler_beside(daemon, killed, late)
    daemon.wait_healthy()
    assert "FATAL" not in daemon.log()


def reconciler_beside(daemon: Daemon, *others: int | None) -> int:
    """The process of a reconciler that is none of these."""

    def pid() -> int:
        found = daemon.worker_pids().get("reconciler", 0)
        return 0 if found in others else found

    return wait_until(pid, 20, daemon.log)
