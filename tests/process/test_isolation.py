"""Cut off from its hosts, the daemon changes nothing, says so, and goes on when they answer."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import CIDR, StartDaemon
from tests.process.daemon import Daemon, Hosts
from tests.process.test_routing import target, wait_rechecks, wait_target
from tests.waiting import wait_until

ADDRESSES = tuple(f"127.0.{zone}.{last}" for zone in (1, 2, 3) for last in (10, 11))


@pytest.fixture
def net(ec2: EmbeddedEc2) -> Network:
    return Network.build(ec2, hosts=ADDRESSES)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    listeners = Hosts(ADDRESSES)
    yield listeners
    listeners.close()


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    path = tmp_path / "route-spec.conf"
    path.write_text(json.dumps({CIDR: ADDRESSES}))
    return path


def reasons(daemon: Daemon) -> list[str]:
    status, body = daemon.get("/health")
    found: list[str] = json.loads(body)["reasons"] if status == 503 else []
    return found


def test_isolated_it_changes_nothing_until_hosts_answer_again(
    ec2: EmbeddedEc2, net: Network, hosts: Hosts, spec_file: Path, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon()
    first = wait_target(net, set(ADDRESSES))
    daemon.wait_healthy()
    daemon.wait_log("changes verified")
    since = ec2.calls()[-1].seq
    for host in (first, *(set(ADDRESSES) - {first})):
        hosts.kill(host)  # all at once, though each host's next probe is at a time of its own
    daemon.wait_log("changes withheld")
    wait_until(lambda: any("isolated" in reason for reason in reasons(daemon)), 10, daemon.log)
    isolated = "daemon is isolated"
    wait_until(lambda: isolated in daemon.json("/")["decided"], 5, daemon.log)
    assert daemon.json("/ips")["unknown_ips"] == list(ADDRESSES)
    spec_file.write_text(json.dumps({CIDR: ADDRESSES[:4], "10.66.0.0/16": ADDRESSES}))
    daemon.wait_log("route spec in force", count=2)
    assert wait_rechecks(ec2, since) == []
    for host in ADDRESSES:
        hosts.revive(host)
    wait_target(net, set(ADDRESSES), "10.66.0.0/16")
    daemon.wait_healthy()
    assert "host failed" not in daemon.log()
    moved = wait_target(net, set(ADDRESSES[:4]))
    assert moved == first or first not in ADDRESSES[:4], "what was right has stayed"
    hosts.kill(moved)
    wait_target(net, set(ADDRESSES[:4]) - {moved})


def test_one_zone_of_three_is_failed_over(
    net: Network, hosts: Hosts, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon()
    first = wait_target(net, set(ADDRESSES))
    daemon.wait_healthy()
    zone = {host for host in ADDRESSES if host.startswith(first[:8])}
    for host in zone:
        hosts.kill(host)
    wait_target(net, set(ADDRESSES) - zone)
    wait_until(lambda: set(daemon.json("/ips")["failed_ips"]) == zone, 10, daemon.log)
    assert target(net) not in zone
    assert "isolated" not in daemon.log()
