"""A plugin that misbehaves is reported as such and harms nothing else."""

from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import CIDR, HOSTS
from tests.process.daemon import CHECK_PORT, ROOT, Daemon, Hosts
from tests.process.test_modes import arguments
from tests.waiting import wait_until


def module(folder: Path, name: str) -> None:
    """A module whose dotted path leads to one class of `bad_plugins`, as a user would have it."""
    package = folder / "others"
    package.mkdir(exist_ok=True)
    text = f"from tests.process.bad_plugins import {name.capitalize()}\n"
    (package / f"{name}.py").write_text(text)


def daemon_with(ec2: EmbeddedEc2, net: Network, folder: Path, *names_and_flags: str) -> Daemon:
    env = {"PYTHONPATH": f"{folder}:{ROOT}"}
    return Daemon(ec2, folder, *arguments(net, folder, *names_and_flags), env=env)


def test_bad_monitors_beside_a_good_one(
    ec2: EmbeddedEc2, net: Network, spec_file: Path, hosts: Hosts, tmp_path: Path
) -> None:
    """The routes that stand are kept, and the good monitor's failures still move them."""
    bad = {
        "raising": "ZeroDivisionError('on purpose')",
        "nonsense": "a check must return",
        "hanging": "worker heartbeat lost; sending SIGABRT",
        "leaking": "worker exceeded memory_limit",
    }
    for name in bad:
        module(tmp_path, name)
    for table in net.table_ids:
        net.create_route(table, CIDR, HOSTS[0])
    monitors = ":".join(["tcp", *(f"others.{name}" for name in bad)])
    daemon = daemon_with(
        ec2,
        net,
        tmp_path,
        *("-f", str(spec_file), "-H", "multi", "--multi_plugins", monitors),
        *("--tcp_check_port", str(CHECK_PORT), "--tcp_check_interval", "0.2"),
        *("--silence_limit", "5", "--memory_limit", "400"),
    )
    with daemon:
        for said in bad.values():
            daemon.wait_log(said, 30)
        assert set(net.routes(CIDR).values()) == {HOSTS[0]}
        pids = daemon.worker_pids()
        hosts.kill(HOSTS[0])
        wait_until(lambda: daemon.json("/ips")["failed_ips"] == [HOSTS[0]], 10, daemon.log)
        assert daemon.worker_pids()["reconciler"] == pids["reconciler"]
        assert daemon.worker_pids()["tcp"] == pids["tcp"]


def test_a_watcher_that_crashes_is_replaced_and_its_spec_stays(
    ec2: EmbeddedEc2, net: Network, tmp_path: Path
) -> None:
    module(tmp_path, "crashing")
    with daemon_with(ec2, net, tmp_path, "-m", "others.crashing", "-H", "always") as daemon:
        net.wait_for_routes(CIDR, HOSTS[0])
        daemon.wait_log("ZeroDivisionError: on purpose", count=3)
        assert daemon.json("/route_spec") == {CIDR: [HOSTS[0]]}
        net.delete_route(net.table_ids[0], CIDR)
        net.wait_for_routes(CIDR, HOSTS[0], 20)


def test_a_watcher_that_yields_nonsense_is_refused(
    ec2: EmbeddedEc2, net: Network, tmp_path: Path
) -> None:
    module(tmp_path, "babbling")
    with daemon_with(ec2, net, tmp_path, "-m", "others.babbling", "-H", "always") as daemon:
        net.wait_for_routes(CIDR, HOSTS[0])
        daemon.wait_log("a CIDR is text, not a number")
        assert daemon.json("/route_spec") == {CIDR: [HOSTS[0]]}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("others.missing", "does not load: ModuleNotFoundError"),
        ("tests.process.bad_plugins", "is not a worker class"),
        ("others.broken", "does not load: SyntaxError"),
    ],
)
def test_a_plugin_that_does_not_load(
    path: str, said: str, ec2: EmbeddedEc2, net: Network, spec_file: Path, tmp_path: Path
) -> None:
    module(tmp_path, "raising")
    (tmp_path / "others" / "broken.py").write_text("this is no Python")
    flags = ("-f", str(spec_file), "-H", path)
    with daemon_with(ec2, net, tmp_path, *flags) as daemon:
        assert daemon.wait_exit() == 78
        assert f"health {path}: " in daemon.log()
        assert said in daemon.log()
