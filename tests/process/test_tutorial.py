"""The plugins of docs/plugins.md, taken from the page as they stand, at work in the daemon."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.plugins_page import blocks
from tests.process.conftest import CIDR, HOSTS
from tests.process.daemon import CHECK_PORT, Daemon, Hosts
from tests.process.test_modes import arguments
from tests.process.web import Web, answer
from tests.waiting import wait_until

OTHER = "10.56.0.0/16"
SOON_S = 30.0
LONGEST = 40


def write(folder: Path) -> Path:
    """The package as the page has it."""
    for name, text in blocks().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "vpcrouter-example"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tutorial"))


@pytest.fixture(scope="module")
def installed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip has installed the package into."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--no-deps", "--target", str(folder), str(package))
    return folder


def run(*command: str, path: Path | None = None) -> str:
    """What the command prints; fails with it when the command does."""
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(path or "")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("name", ["inventory", "drained"])
def test_it_is_short(name: str) -> None:
    text = blocks()[f"vpcrouter-example/vpcrouter_example/{name}.py"]
    assert len(text.splitlines()) <= LONGEST


def test_its_own_tests_pass(package: Path) -> None:
    said = run(sys.executable, "-m", "pytest", "-q", str(package / "tests"), path=package)
    assert re.search(r"^3 passed", said, re.MULTILINE), said


@pytest.mark.timeout(180)
def test_it_keeps_the_typed_contract(package: Path, tmp_path: Path) -> None:
    mypy = (sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path))
    run(*mypy, str(package / "vpcrouter_example"), str(package / "tests"), path=package)


@pytest.fixture
def inventory() -> Iterator[Web]:
    with Web(["127.0.0.1"]) as web:
        tell(web, {CIDR: HOSTS})
        yield web


def tell(web: Web, spec: dict[str, tuple[str, ...]]) -> None:
    web.behave["127.0.0.1"] = answer(200, json.dumps(spec).encode())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("by", ["entry point", "dotted path"])
def test_it_works_in_the_daemon(
    by: str,
    request: pytest.FixtureRequest,
    ec2: EmbeddedEc2,
    net: Network,
    hosts: Hosts,
    inventory: Web,
    tmp_path: Path,
) -> None:
    is_installed = by == "entry point"
    path = request.getfixturevalue("installed" if is_installed else "package")
    prefix = "" if is_installed else "vpcrouter_example."
    file = tmp_path / "drained"
    file.write_text("")
    flags = arguments(
        net,
        tmp_path,
        *("-m", f"{prefix}inventory", "-H", "multi", "--multi_plugins", f"tcp:{prefix}drained"),
        *("--inventory_url", f"http://127.0.0.1:{inventory.port}/routes"),
        *("--inventory_interval", "0.2", "--drained_interval", "0.2"),
        *("--drained_file", str(file)),
        *("--tcp_check_port", str(CHECK_PORT), "--tcp_check_interval", "0.2"),
    )
    with Daemon(ec2, tmp_path, *flags, env={"PYTHONPATH": str(path)}) as daemon:
        daemon.wait_log("event=ready", SOON_S)
        daemon.wait_healthy()
        assert {"inventory", "tcp", "drained"} <= daemon.worker_pids().keys()
        (first,) = set(net.routes(CIDR).values())
        assert first in HOSTS

        file.write_text(f"{first}\n")
        wait_until(lambda: first not in net.routes(CIDR).values(), SOON_S, daemon.log)
        assert daemon.json("/ips")["questionable_ips"] == [first]
        (second,) = set(net.routes(CIDR).values())
        hosts.kill(str(second))
        third = (set(HOSTS) - {first, second}).pop()
        net.wait_for_routes(CIDR, third, SOON_S)

        inventory.behave["127.0.0.1"] = answer(200, b"{")
        daemon.wait_log("bad JSON", SOON_S)
        inventory.behave["127.0.0.1"] = answer(500)
        daemon.wait_log("no answer: HTTP Error 500", SOON_S)
        assert daemon.json("/route_spec") == {CIDR: list(HOSTS)}
        tell(inventory, {CIDR: HOSTS, OTHER: HOSTS})
        net.wait_for_routes(OTHER, third, SOON_S)

        file.unlink()
        daemon.wait_log("monitor error; host states unknown until a check succeeds", SOON_S)
        wait_until(
            lambda: set(daemon.json("/ips")["unknown_ips"]) == {first, third}, SOON_S, daemon.log
        )
        assert set(net.routes(CIDR).values()) == {third}
        assert daemon.json("/ips")["failed_ips"] == [second]


def test_a_missing_option_is_said_at_the_start(
    package: Path, ec2: EmbeddedEc2, net: Network, tmp_path: Path
) -> None:
    flags = ("-m", "vpcrouter_example.inventory", "-H", "vpcrouter_example.drained")
    daemon = Daemon(
        ec2, tmp_path, *arguments(net, tmp_path, *flags), env={"PYTHONPATH": str(package)}
    )
    with daemon:
        assert daemon.wait_exit(SOON_S) == 78
        said = daemon.log()
        assert "drained_file: is needed" in said
        assert "inventory_url: is needed" in said
