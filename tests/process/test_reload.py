"""Reload: what the new settings do not concern keeps running; bad ones change nothing."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import CIDR, HOSTS
from tests.process.daemon import BIN, CHECK_PORT, Daemon, Hosts
from tests.waiting import wait_until


class Ini:
    """The daemon's INI file, written anew for each change."""

    def __init__(self, folder: Path, net: Network, spec_file: Path) -> None:
        self.path = folder / "vpcrouter.ini"
        self.folder = folder
        self.general = {
            "vpc": net.vpc_id,
            "health": "tcp",
            "port": "0",
            "route_recheck_interval": "1",
            "state_dir": str(folder / "state"),
            "control_socket": str(folder / "control.sock"),
        }
        self.file = spec_file
        self.tcp = {"tcp_check_port": str(CHECK_PORT), "tcp_check_interval": "0.2"}

    def write(self) -> None:
        file = {"file": str(self.file)}
        sections = {"vpcrouter": self.general, "configfile": file, "tcp": self.tcp}
        self.path.write_text(
            "".join(
                f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
                for section, options in sections.items()
            )
        )


@pytest.fixture
def ini(tmp_path: Path, net: Network, spec_file: Path) -> Ini:
    made = Ini(tmp_path, net, spec_file)
    made.write()
    return made


@pytest.fixture
def daemon(ec2: EmbeddedEc2, hosts: Hosts, ini: Ini, tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(ec2, tmp_path, "--config", str(ini.path), program="vpcrouterd") as started:
        started.wait_healthy()
        yield started


def reload(daemon: Daemon, said: str = 'event="configuration reloaded"') -> None:
    before = daemon.log().count(said)
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_log(said, count=before + 1)


def ctl(ini: Ini, *words: str) -> str:
    socket = f"unix://{ini.general['control_socket']}"
    done = subprocess.run(
        [str(BIN / "supervisorctl"), "-s", socket, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def pids_settled(daemon: Daemon, names: set[str]) -> dict[str, int]:
    wait_until(lambda: daemon.worker_pids().keys() == names, 10, daemon.log)
    return daemon.worker_pids()


def test_signals_restart_nobody_when_nothing_has_changed(daemon: Daemon) -> None:
    daemon.wait_running()
    before = daemon.worker_pids()
    os.kill(daemon.pid, signal.SIGUSR1)
    daemon.wait_log("signal=SIGUSR1")
    os.kill(daemon.pid, signal.SIGUSR2)
    daemon.wait_log('event="worker state" subject=reconciler role=reconciler state=RUNNING')
    daemon.wait_log('event="latest message" subject=tcp kind=HealthReport')
    reload(daemon)
    assert daemon.worker_pids() == before
    assert "level=error" not in daemon.log()
    daemon.wait_healthy()


def test_only_those_concerned_begin_anew(daemon: Daemon, ini: Ini, net: Network) -> None:
    before = daemon.worker_pids()
    routes = net.routes(CIDR)
    ini.tcp["tcp_check_fall"] = "2"
    ini.write()
    reload(daemon)
    wait_until(lambda: daemon.json("/")["params"]["tcp_check_fall"] == 2, 10, daemon.log)
    after = pids_settled(daemon, set(before))
    assert changed(before, after) == {"tcp", "api"}
    assert net.routes(CIDR) == routes
    daemon.wait_healthy()


def test_who_is_asking_the_api_is_answered(daemon: Daemon, ini: Ini) -> None:
    host, _, port = daemon.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        old = daemon.worker_pids()["api"]
        ini.tcp["tcp_check_fall"] = "2"
        ini.write()
        reload(daemon)
        time.sleep(0.5)
        slow.sendall(b"\r\n")
        with slow.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
    wait_until(lambda: daemon.worker_pids().get("api", old) != old, 10, daemon.log)


def test_another_file_and_another_monitor(
    daemon: Daemon, ini: Ini, net: Network, tmp_path: Path
) -> None:
    before = daemon.worker_pids()
    other = tmp_path / "other.conf"
    other.write_text(json.dumps({CIDR: HOSTS, "10.56.0.0/16": HOSTS[:1]}))
    ini.file = other
    ini.general["health"] = "always"
    ini.write()
    reload(daemon)
    net.wait_for_routes("10.56.0.0/16", HOSTS[0])
    after = pids_settled(daemon, {*before, "always"} - {"tcp"})
    assert "control" not in changed(before, after)
    daemon.wait_healthy()
    assert daemon.json("/plugins")["health"][0]["name"] == "always"


BAD = {
    ("port", "many"): "[vpcrouter] port: must be a whole number, not 'many'",
    ("health", "pigeon"): "unknown 'pigeon'",
    ("address", "127.0.0.2"): "cannot change from localhost to 127.0.0.2 while running",
}


def test_bad_settings_change_nothing_and_say_why(
    daemon: Daemon, ini: Ini, net: Network, hosts: Hosts
) -> None:
    daemon.wait_running()
    before = daemon.worker_pids()
    good = dict(ini.general)
    for (option, value), said in BAD.items():
        assert said not in daemon.log()
        ini.general = {**good, option: value}
        ini.write()
        reload(daemon, "reload rejected; keeping the old configuration")
        assert said in daemon.log()
    assert daemon.worker_pids() == before
    (first,) = set(net.routes(CIDR).values())
    assert first is not None
    hosts.kill(first)
    wait_until(lambda: first not in net.routes(CIDR).values(), 10, daemon.log)


def test_supervisorctl_update_reloads(daemon: Daemon, ini: Ini) -> None:
    ini.general["delete_limit"] = "0.7"
    ini.write()
    ctl(ini, "update")
    wait_until(lambda: daemon.json("/")["params"]["delete_limit"] == 0.7, 10, daemon.log)
    ini.general["delete_limit"] = "7"
    ini.write()
    assert "delete_limit: must be from 0 to 1, not '7'" in ctl(ini, "reread")
    assert daemon.json("/")["params"]["delete_limit"] == 0.7


def test_a_worker_stopped_by_hand_stays_so_over_a_reload(daemon: Daemon, ini: Ini) -> None:
    ctl(ini, "stop", "vpcrouter:tcp")
    ini.tcp["tcp_check_fall"] = "2"
    ini.write()
    reload(daemon)
    wait_until(lambda: daemon.json("/")["params"]["tcp_check_fall"] == 2, 10, daemon.log)
    assert "tcp is STOPPED" in daemon.json("/health")["reasons"]


def test_a_reload_asked_for_while_a_worker_still_leaves_is_done_once_it_has(
    daemon: Daemon, ini: Ini
) -> None:
    os.kill(daemon.worker_pids()["tcp"], signal.SIGSTOP)  # it leaves only when it is killed
    ini.general["health"] = "always"
    ini.write()
    reload(daemon)
    reload(daemon)
    assert "tcp" not in daemon.worker_pids()
