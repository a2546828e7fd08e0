"""The commands as people and systemd run them: settings, refusals, ends."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.needs import NAMESPACES, needs
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import BIN, CHECK_PORT, Daemon, Hosts, descendants
from tests.waiting import wait_until


def run(*words: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / words[0], *words[1:]], capture_output=True, text=True, timeout=timeout_s, check=False
    )


@pytest.fixture
def ini(tmp_path: Path, net: Network, spec_file: Path) -> Path:
    path = tmp_path / "vpcrouter.ini"
    path.write_text(f"""
[vpcrouter]
vpc = {net.vpc_id}
health = tcp
port = 0
state_dir = {tmp_path}/state
control_socket = {tmp_path}/control.sock
[configfile]
file = {spec_file}
[tcp]
tcp_check_port = {CHECK_PORT}
tcp_check_interval = 0.3
""")
    return path


def test_vpcrouterd_runs_on_an_ini_file(
    ec2: EmbeddedEc2, hosts: Hosts, ini: Path, tmp_path: Path
) -> None:
    with Daemon(ec2, tmp_path, "--config", str(ini), program="vpcrouterd") as daemon:
        daemon.wait_healthy()
        assert daemon.json("/")["params"]["tcp_check_interval"] == 0.3


def test_check_says_good_and_starts_nothing(ini: Path) -> None:
    done = run("vpcrouterd", "--config", str(ini), "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "configuration OK\n", "")


def test_check_lists_the_faults_of_the_spec(ini: Path, spec_file: Path) -> None:
    spec_file.write_text('{"10.0.0.0/8": [], "10.1.0.0/33": ["127.0.1.10"]}')
    done = run("vpcrouterd", "--config", str(ini), "--check")
    assert done.returncode == 78
    assert done.stderr.splitlines() == [
        f'vpcrouterd: route spec {spec_file}: "10.0.0.0/8": has no hosts',
        f'vpcrouterd: route spec {spec_file}: "10.1.0.0/33": is not a CIDR',
    ]


def test_wrong_settings_are_refused_in_one_list(tmp_path: Path) -> None:
    ini = tmp_path / "v.ini"
    ini.write_text("""
[vpcrouter]
prot = 80
port = many
health = pigeon
[tpc]
x = 1
[tcp]
tcp_check_interval = 1
tcp_check_timeout = 2
""")
    done = run("vpcrouterd", "--config", str(ini), "--tcp_check_fall", "0", "-m", "smoke")
    assert done.returncode == 78
    said = done.stderr
    for part in (
        f"{ini}: [vpcrouter] prot: unknown option; did you mean port?",
        f"{ini}: [vpcrouter] port: must be a whole number, not 'many'",
        f"{ini}: unknown section [tpc]; did you mean tcp?",
        "health pigeon: unknown 'pigeon'; available: ",
        "mode smoke: unknown 'smoke'; available: ",
        "--tcp_check_fall: must be from 1 to",
        "vpc: is needed",
    ):
        assert part in said
    assert "Traceback" not in said


def test_relations_between_options_are_checked(spec_file: Path) -> None:
    done = run(
        *("vpcrouter", "-v", "vpc-1", "-f", str(spec_file), "--health", "tcp"),
        *("--tcp_check_interval", "1", "--tcp_check_timeout", "2"),
    )
    assert done.returncode == 78
    assert "tcp_check_timeout" in done.stderr
    assert "tcp_check_interval" in done.stderr


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    done = run("vpcrouter", "-v", "vpc-1", "-f", str(tmp_path / "none"), "--health", "tcp")
    assert done.returncode == 78
    assert "cannot be read: No such file or directory" in done.stderr


def test_a_port_in_use_is_refused(start_daemon: StartDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = start_daemon("-p", str(port))
        assert daemon.wait_exit() == 69
    assert f"the API cannot listen on localhost port {port}: Address already in use" in daemon.log()
    assert "Traceback" not in daemon.log()


@needs(NAMESPACES, "setpriv")
def test_without_cap_net_raw_the_icmp_monitor_says_so(
    net: Network, spec_file: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"),
            *(BIN / "vpcrouter", "-v", net.vpc_id, "-f", spec_file, "-p", "0"),
            *("--state_dir", tmp_path / "state", "--control_socket", tmp_path / "c.sock"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **net.ec2.env()},
    )
    assert done.returncode == 78, done.stderr
    assert "CAP_NET_RAW" in done.stderr


def test_no_region_anywhere_is_a_wrong_setting(net: Network, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(env={"AWS_DEFAULT_REGION": "", "AWS_CONFIG_FILE": "/none"})
    assert daemon.wait_exit() == 78
    assert "region: is needed" in daemon.log()


@pytest.mark.usefixtures("hosts")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_no_process_and_the_routes_as_they_are(
    number: signal.Signals, net: Network, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon()
    daemon.wait_healthy()
    before = net.routes("10.55.0.0/16")
    processes = descendants(daemon.pid)
    assert len(processes) >= 4
    started_s = time.monotonic()
    assert daemon.end(number) == 0
    assert time.monotonic() - started_s < 5
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes), 2, daemon.log)
    assert net.routes("10.55.0.0/16") == before


@pytest.mark.usefixtures("hosts")
def test_a_stopped_worker_does_not_delay_the_end(start_daemon: StartDaemon) -> None:
    daemon = start_daemon()
    daemon.wait_healthy()
    processes = descendants(daemon.pid)
    for pid in daemon.worker_pids().values():
        os.kill(pid, signal.SIGSTOP)
    started_s = time.monotonic()
    assert daemon.end() == 0
    assert time.monotonic() - started_s < 5
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes), 2, daemon.log)


@pytest.mark.usefixtures("hosts")
def test_a_log_file_is_written_and_opened_anew_after_logrotate(
    tmp_path: Path, spec_file: Path, start_daemon: StartDaemon
) -> None:
    path = tmp_path / "vpcrouter.log"
    daemon = start_daemon("-l", str(path))
    wait_until(lambda: path.exists() and "event=ready" in path.read_text(), 20, daemon.log)
    path.rename(tmp_path / "vpcrouter.log.1")
    spec_file.write_text(json.dumps({"10.77.0.0/16": list(HOSTS)}))
    wait_until(lambda: path.exists() and "route created" in path.read_text(), 10, daemon.log)


def test_systemd_is_told_ready_once_the_routes_are_right(
    hosts: Hosts, net: Network, tmp_path: Path, start_daemon: StartDaemon
) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        daemon = start_daemon(env={"NOTIFY_SOCKET": path})
        said = b""
        while b"READY=1" not in said:
            said = manager.recv(4096)
        assert None not in net.routes("10.55.0.0/16").values()
        assert daemon.end() == 0
        while b"STOPPING=1" not in said:
            said = manager.recv(4096)
