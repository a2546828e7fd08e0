"""supervisord, the real one, around the daemon, with the settings that we deliver."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.process.conftest import HOSTS
from tests.process.daemon import BIN, CHECK_PORT, descendants
from tests.process.test_routing import wait_target
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("hosts")

DELIVERED = Path(__file__).parents[2] / "etc" / "supervisord.conf"
END_S = 20.0


@pytest.fixture
def ini(tmp_path: Path, net: Network, spec_file: Path) -> Path:
    path = tmp_path / "vpcrouter.ini"
    path.write_text(
        f"""
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
"""
    )
    return path


class Supervised:
    """vpcrouterd under supervisord."""

    def __init__(self, conf: Path, pid: int) -> None:
        self._conf = conf
        self.pid = pid

    def ctl(self, *words: str) -> str:
        done = subprocess.run(
            [BIN / "supervisorctl", "-c", self._conf, *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.stdout + done.stderr

    def wait_state(self, *states: str) -> None:
        wait_until(
            lambda: not {*states}.isdisjoint(self.ctl("status").split()),
            30,
            lambda: self.ctl("status"),
        )

    def daemon_pid(self) -> int:
        return int(self.ctl("pid", "vpcrouterd"))

    def log(self) -> str:
        return self._conf.with_name("supervisord.log").read_text()


@contextmanager
def supervisord(folder: Path, ini: Path, ec2: EmbeddedEc2) -> Iterator[Supervised]:
    text = DELIVERED.read_text()
    for delivered, here in (
        ("/run", str(folder)),
        ("/var/log", str(folder)),
        ("/etc/vpcrouter.ini", str(ini)),
        ("/opt/vpcrouter/bin", str(BIN)),
    ):
        assert delivered in text
        text = text.replace(delivered, here)
    conf = folder / "supervisord.conf"
    conf.write_text(text)
    process = subprocess.Popen(
        [BIN / "supervisord", "--nodaemon", "-c", conf],
        env={**os.environ, **ec2.env()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until((folder / "supervisord.sock").exists, 10, "supervisord's socket")
        yield Supervised(conf, process.pid)
    finally:
        family = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(END_S)
        wait_until(lambda: not any(map(is_there, family)), 5, str(family))


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_daemon_that_is_killed_comes_back_and_start_stop_and_restart_do_as_they_say(
    tmp_path: Path, ini: Path, ec2: EmbeddedEc2, net: Network
) -> None:
    with supervisord(tmp_path, ini, ec2) as supervised:
        supervised.wait_state("RUNNING")
        wait_target(net, set(HOSTS))
        killed = supervised.daemon_pid()
        family = descendants(supervised.pid)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: supervised.daemon_pid() not in (0, killed), 20, supervised.log)
        wait_until(lambda: not any(map(is_there, family)), 5, str(family))
        supervised.wait_state("RUNNING")
        first = supervised.daemon_pid()
        wait_until(lambda: len(descendants(supervised.pid)) > 5, 20, supervised.log)
        family = descendants(supervised.pid)
        assert supervised.ctl("stop", "vpcrouterd") == "vpcrouterd: stopped\n"
        wait_until(lambda: not any(map(is_there, family)), 2, str(family))
        assert re.search(r"stopped: vpcrouterd \(exit status 0\)", supervised.log())
        assert supervised.ctl("start", "vpcrouterd") == "vpcrouterd: started\n"
        second = supervised.daemon_pid()
        assert "vpcrouterd: started" in supervised.ctl("restart", "vpcrouterd")
        assert supervised.daemon_pid() not in (0, first, second)


def test_wrong_settings_are_no_loop(tmp_path: Path, ini: Path, ec2: EmbeddedEc2) -> None:
    ini.write_text(ini.read_text() + "tcp_check_interval = soon\n")
    with supervisord(tmp_path, ini, ec2) as supervised:
        supervised.wait_state("FATAL", "EXITED")
        tries = supervised.log().count("spawned: 'vpcrouterd'")
        assert 1 <= tries <= 4
        said = (tmp_path / "vpcrouter.log").read_text()
        assert said.count("[tcp] tcp_check_interval: must be a number of seconds") == tries


def test_settings_that_turn_out_wrong_later_are_no_loop(
    tmp_path: Path, ini: Path, ec2: EmbeddedEc2
) -> None:
    with supervisord(tmp_path, ini, ec2) as supervised:
        supervised.wait_state("RUNNING")
        ini.write_text(ini.read_text() + "tcp_check_interval = soon\n")
        os.kill(supervised.daemon_pid(), signal.SIGKILL)
        supervised.wait_state("FATAL", "EXITED")
        assert supervised.log().count("spawned: 'vpcrouterd'") <= 5
