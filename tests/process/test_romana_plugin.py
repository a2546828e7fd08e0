"""The example of a package from outside: installed by pip beside the daemon, and at work in it."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import HOSTS
from tests.process.daemon import CHECK_PORT, Daemon, Hosts
from tests.process.etcd import EtcdServer, make_certificates, needs_etcd
from tests.waiting import wait_until

pytestmark = [pytest.mark.timeout(400), needs_etcd]

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "vpcrouter-romana-plugin"
KEY = "/romana/ipam/data"
SOON_S = 2.0
BACK_S = 15.0
Routes = dict[str, list[str]]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a new virtual environment with what pip installs of the two packages."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # made once for all processes that run tests
    folder = base / "clean"
    with (base / "clean.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            install(folder)
            (folder / "done").touch()
    return folder


def install(folder: Path) -> None:
    # Copies, so that building leaves nothing in the work tree.
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*_cache")
    for name in ("vpcrouter", "workers"):
        shutil.copytree(ROOT / name, folder / "core" / name, ignore=unwanted)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "core")
    shutil.copytree(PLUGIN, folder / "plugin", ignore=unwanted)
    run(sys.executable, "-m", "venv", str(folder / "venv"))
    python = str(folder / "venv" / "bin" / "python")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, str(folder / "core"))
    run(*pip, f"{folder / 'plugin'}[test]")


def run(*command: str, cwd: Path | None = None) -> str:
    """What the command prints; fails with it when the command does."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path) as server:
        yield server


StartRomana = Callable[..., Daemon]


@pytest.fixture
def start_romana(
    clean: Path, ec2: EmbeddedEc2, net: Network, hosts: Hosts, tmp_path: Path
) -> Iterator[StartRomana]:
    """Starts the daemon of the clean environment on an etcd."""
    with ExitStack() as stack:

        def start(etcd: EtcdServer, mode: str, *flags: str) -> Daemon:
            arguments = (
                *("-m", mode, "--etcd_addr", "127.0.0.1", "--etcd_port", str(etcd.port)),
                *("-v", net.vpc_id, "-p", "0", "--route_recheck_interval", "1"),
                *("--health", "tcp", "--tcp_check_port", str(CHECK_PORT)),
                *("--state_dir", str(tmp_path / "state")),
                *("--control_socket", str(tmp_path / "control.sock")),
                *flags,
            )
            program = str(clean / "venv" / "bin" / "vpcrouter")
            return stack.enter_context(Daemon(ec2, tmp_path, *arguments, program=program))

        yield start


def topology(routes: Routes) -> dict[str, Any]:
    """As Romana has it: the groups of one network, each below another one."""
    groups = [
        {
            "name": "",
            "cidr": None,
            "hosts": None,
            "groups": [{"cidr": cidr, "groups": None, "hosts": [{"ip": ip} for ip in ips]}],
        }
        for cidr, ips in routes.items()
    ]
    return {"networks": {"net1": {"name": "net1", "host_groups": {"groups": groups}}}}


def routes(number: int) -> Routes:
    return {f"10.{number}.0.0/16": list(HOSTS)}


def wait_in_force(daemon: Daemon, expected: Routes, timeout_s: float = SOON_S) -> None:
    def in_force() -> bool:
        status, body = daemon.get("/route_spec")
        return status == 200 and json.loads(body) == expected

    wait_until(in_force, timeout_s, daemon.log)


def wait_refused(daemon: Daemon, why: str, timeout_s: float = SOON_S) -> None:
    def refused() -> bool:
        return why in " ".join(daemon.json("/route_info")["refused_spec"])

    wait_until(refused, timeout_s, daemon.log)


def test_its_own_tests_pass(clean: Path) -> None:
    python = str(clean / "venv" / "bin" / "python")
    where = run(python, "-c", "import vpcrouter; print(vpcrouter.__file__)", cwd=clean / "plugin")
    assert where.startswith(str(clean / "venv"))
    printed = run(python, "-m", "pytest", "-q", cwd=clean / "plugin")
    assert "passed" in printed
    assert "skipped" not in printed


@pytest.mark.parametrize("mode", ["vpcrouter_romana_plugin.romana", "romana"])
def test_it_follows_the_topology(
    mode: str, net: Network, etcd: EtcdServer, start_romana: StartRomana
) -> None:
    etcd.put(KEY, topology(routes(1)))
    daemon = start_romana(etcd, mode)
    daemon.wait_healthy()
    wait_in_force(daemon, routes(1))
    etcd.put(KEY, topology(routes(1) | routes(2)))
    wait_in_force(daemon, routes(1) | routes(2))

    def targets(cidr: str) -> set[str | None]:
        return set(net.routes(cidr).values())

    wait_until(
        lambda: targets("10.1.0.0/16") | targets("10.2.0.0/16") <= set(HOSTS), 10, daemon.log
    )
    assert set(daemon.worker_pids()) >= {"romana"}


def test_etcd_goes_away_and_comes_back(etcd: EtcdServer, start_romana: StartRomana) -> None:
    etcd.put(KEY, topology(routes(1)))
    daemon = start_romana(etcd, "vpcrouter_romana_plugin.romana")
    daemon.wait_healthy()
    etcd.kill()
    wait_refused(daemon, "cannot be reached: Connection refused", BACK_S)
    assert daemon.json("/route_spec") == routes(1)
    assert daemon.get("/health")[0] == 200
    etcd.start()
    etcd.put(KEY, topology(routes(2)))
    wait_in_force(daemon, routes(2), BACK_S)
    assert daemon.json("/route_info")["refused_spec"] == []
    assert {each["generation"] for each in daemon.json("/")["workers"].values()} == {1}


def test_a_topology_that_makes_no_sense_leaves_the_routes_in_force(
    etcd: EtcdServer, start_romana: StartRomana
) -> None:
    etcd.put(KEY, topology(routes(1)))
    daemon = start_romana(etcd, "vpcrouter_romana_plugin.romana")
    daemon.wait_healthy()
    place = "networks.net1.host_groups.groups[0].groups[0]"
    senseless = {
        "{": f"{KEY}: bad JSON",
        '{"networks": 7}': f"{KEY}: networks: must be an object, not a number",
        "[" * 100_000: f"{KEY}: bad JSON: it is nested too deeply",
        json.dumps(topology({"10.2.0.0/99": ["127.0.1.10"]})): f"{place}: ",
        json.dumps(topology({"": ["127.0.1.10"]})): f"{place}: has hosts, but no cidr",
        json.dumps(topology({})): f"{KEY}: networks: no group has hosts",
    }
    for text, why in senseless.items():
        etcd.put(KEY, text)
        wait_refused(daemon, why)
        assert daemon.json("/route_spec") == routes(1)
    etcd.delete(KEY)
    wait_refused(daemon, f"{KEY}: there is no such key")
    assert daemon.json("/route_spec") == routes(1)
    assert daemon.get("/health")[0] == 200
    etcd.put(KEY, topology(routes(3)))
    wait_in_force(daemon, routes(3))


def test_tls(tmp_path: Path, start_romana: StartRomana) -> None:
    files = make_certificates(tmp_path)
    with EtcdServer(tmp_path, tls=files) as etcd:
        etcd.put(KEY, topology(routes(1)))
        daemon = start_romana(
            etcd,
            "romana",
            *("--etcd_ca_cert", str(files["ca"])),
            *("--etcd_priv_key", str(files["key"]), "--etcd_cert_chain", str(files["cert"])),
        )
        daemon.wait_healthy()
        wait_in_force(daemon, routes(1))
