"""The modes and healths that need no server of their own, through the real daemon."""

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import CIDR, HOSTS
from tests.process.daemon import CHECK_PORT, Daemon, Hosts, arguments
from tests.waiting import wait_until

OTHER = "10.56.0.0/16"


def post(daemon: Daemon, body: str, kind: str = "application/json") -> tuple[int, str]:
    request = urllib.request.Request(  # noqa: S310
        daemon.url + "/route_spec", body.encode(), {"Content-Type": kind}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def posting(ec2: EmbeddedEc2, net: Network, tmp_path: Path) -> Daemon:
    return Daemon(ec2, tmp_path, *arguments(net, tmp_path, "-m", "http", "-H", "always"))


def test_a_posted_spec_is_in_force_and_outlives_a_crash(posting: Daemon, net: Network) -> None:
    with posting:
        assert posting.get("/route_spec")[0] == 404
        assert post(posting, json.dumps({CIDR: [HOSTS[0]]})) == (200, "Ok\n")
        assert posting.json("/route_spec") == {CIDR: [HOSTS[0]]}
        net.wait_for_routes(CIDR, HOSTS[0])
        os.kill(posting.worker_pids()["api"], signal.SIGKILL)
        wait_until(lambda: posting.get("/route_spec")[0] == 200, 10, posting.log)
        assert posting.json("/route_spec") == {CIDR: [HOSTS[0]]}
        posting.end(signal.SIGKILL)
    net.replace_route(net.table_ids[0], CIDR, HOSTS[1])
    with posting:
        net.wait_for_routes(CIDR, HOSTS[0])
        assert posting.json("/route_spec") == {CIDR: [HOSTS[0]]}


def test_a_bad_post_is_refused_and_changes_nothing(posting: Daemon, net: Network) -> None:
    with posting:
        assert post(posting, json.dumps({CIDR: [HOSTS[0]]}))[0] == 200
        for body, kind, status, said in (
            ("{", "application/json", 400, "bad JSON"),
            ("{}", "application/json", 400, "is empty"),
            ('{"10.0.0.0/8": ["x"]}', "application/json", 400, "not an IP"),
            ("[" * 100_000, "application/json", 400, "bad JSON"),
            ("{}", "text/plain", 415, "application/json"),
        ):
            found, text = post(posting, body, kind)
            assert (found, said in text) == (status, True), text
            assert posting.json("/route_spec") == {CIDR: [HOSTS[0]]}
        try:
            status, _ = post(posting, '{"x": "' + "y" * (17 * 1024 * 1024) + '"}')
        except urllib.error.URLError:
            status = 413  # the connection is closed before all of it is sent
        assert status == 413
        assert posting.json("/route_spec") == {CIDR: [HOSTS[0]]}


def test_a_post_that_cannot_be_kept_is_not_accepted(posting: Daemon, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with posting:
        status, text = post(posting, json.dumps({CIDR: [HOSTS[0]]}))
        assert status == 507
        assert "could not save the route spec" in text
        assert posting.get("/route_spec")[0] == 404


def test_a_post_in_another_mode_is_refused(
    ec2: EmbeddedEc2, net: Network, spec_file: Path, tmp_path: Path
) -> None:
    flags = arguments(net, tmp_path, "-f", str(spec_file), "-H", "always")
    with Daemon(ec2, tmp_path, *flags) as daemon:
        daemon.wait_healthy()
        status, text = post(daemon, json.dumps({OTHER: [HOSTS[0]]}))
        assert status == 405
        assert "mode http" in text
        assert daemon.json("/route_spec") == {CIDR: list(HOSTS)}


def test_fixedconf(ec2: EmbeddedEc2, net: Network, tmp_path: Path) -> None:
    route = ("--fixed_cidr", CIDR, "--fixed_hosts", ":".join(HOSTS[:2]))
    flags = arguments(net, tmp_path, "-m", "fixedconf", "-H", "always", *route)
    with Daemon(ec2, tmp_path, *flags) as daemon:
        daemon.wait_healthy()
        assert daemon.json("/route_spec") == {CIDR: list(HOSTS[:2])}
        assert set(net.routes(CIDR).values()) <= set(HOSTS[:2])


def test_multi_fails_a_host_that_any_monitor_fails(
    ec2: EmbeddedEc2, net: Network, spec_file: Path, hosts: Hosts, tmp_path: Path
) -> None:
    """Here always says healthy and tcp says failed."""
    flags = arguments(
        net,
        tmp_path,
        *("-f", str(spec_file), "-H", "multi", "--multi_plugins", "always:tcp"),
        *("--tcp_check_port", str(CHECK_PORT), "--tcp_check_interval", "0.2"),
    )
    with Daemon(ec2, tmp_path, *flags) as daemon:
        daemon.wait_healthy()
        assert {"always", "tcp"} <= daemon.worker_pids().keys()
        (first,) = set(net.routes(CIDR).values())
        assert first is not None
        hosts.kill(first)
        wait_until(lambda: first not in net.routes(CIDR).values(), 10, daemon.log)
        assert daemon.json("/ips")["failed_ips"] == [first]


@pytest.mark.parametrize(
    ("plugins", "said"),
    [
        ("tcp:pigeon", "multi_plugins pigeon: unknown 'pigeon'; available: "),
        ("tcp:multi", "multi_plugins multi: unknown 'multi'; available: "),
        ("", "names no monitor; available: "),
    ],
)
def test_multi_refuses_what_it_cannot_combine(
    plugins: str, said: str, ec2: EmbeddedEc2, net: Network, spec_file: Path, tmp_path: Path
) -> None:
    flags = ("-f", str(spec_file), "-H", "multi", f"--multi_plugins={plugins}")
    with Daemon(ec2, tmp_path, *arguments(net, tmp_path, *flags)) as daemon:
        assert daemon.wait_exit() == 78
        assert said in daemon.log()


@pytest.fixture
def imds(net: Network) -> str:
    net.ec2.set_metadata(vpc_id=net.vpc_id)
    return net.ec2.url


def on_an_instance(ec2: EmbeddedEc2, folder: Path, spec_file: Path, endpoint: str) -> Daemon:
    env = {
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint,
        "AWS_DEFAULT_REGION": "",
    }
    control = ("--control_socket", str(folder / "c.sock"))
    flags = ("-f", str(spec_file), "-H", "always", "-p", "0", "--state_dir", str(folder / "s"))
    return Daemon(ec2, folder, *flags, *control, env=env)


def test_region_and_vpc_come_from_the_instance(
    ec2: EmbeddedEc2, net: Network, spec_file: Path, imds: str, tmp_path: Path
) -> None:
    with on_an_instance(ec2, tmp_path, spec_file, imds) as daemon:
        daemon.wait_healthy()
        assert daemon.json("/")["params"]["vpc"] == net.vpc_id
        assert daemon.json("/vpc")["region"] == "us-east-1"


def test_nowhere_near_aws_is_one_clear_error(
    ec2: EmbeddedEc2, spec_file: Path, tmp_path: Path
) -> None:
    with on_an_instance(ec2, tmp_path, spec_file, "http://127.0.0.1:1") as daemon:
        assert daemon.wait_exit(15) == 78
        (line,) = daemon.log().splitlines()
    assert line.startswith("vpcrouter: vpc: is needed: --vpc, or vpc in section [vpcrouter]")
    assert "the instance metadata service did not provide it (" in line


def test_a_metadata_service_that_hangs_is_given_up_in_2_s(
    ec2: EmbeddedEc2, spec_file: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with on_an_instance(ec2, tmp_path, spec_file, endpoint) as daemon:
            assert daemon.wait_exit(15) == 78
