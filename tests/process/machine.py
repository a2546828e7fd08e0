"""A machine that systemd runs: the real one, as the first process of namespaces of its own.

It shares the network with the tests, so that listeners and the embedded EC2 on loopback are its
hosts and its AWS; nothing else that it writes to is the machine's.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.aws.client import EmbeddedEc2
from tests.needs import SYSTEMD
from tests.process.daemon import ROOT, Daemon, descendants
from tests.waiting import wait_until

BOOT = Path(__file__).with_name("boot.sh")
UNIT = "vpcrouter.service"
TARGETS = ("basic.target", "shutdown.target", "sysinit.target")
"""What every service depends on unless it says otherwise."""
COMMAND_S = 60.0


class Machine(Daemon):
    """A booted systemd with the delivered unit, not started; a context manager.

    `folder` becomes /opt/test, and vpcrouter.ini in it /etc/vpcrouter.ini.
    """

    def __init__(self, ec2: EmbeddedEc2, folder: Path, drop_in: str = "") -> None:
        """`drop_in` is what the unit's [Service] section says differently for a test."""
        super().__init__(ec2, folder)
        self._cgroup = f"vpcrouter-test-{os.getpid()}"
        self._lay_out(ec2, drop_in)

    def _lay_out(self, ec2: EmbeddedEc2, drop_in: str) -> None:
        folder = self.folder
        units = folder / "units"
        (units / f"{UNIT}.d").mkdir(parents=True)
        (folder / "cgroup").mkdir()
        for target in TARGETS:
            shutil.copy(SYSTEMD.parent / "system" / target, units)
        (units / "test.target").write_text("[Unit]\nDescription=Nothing but what a test starts\n")
        shutil.copy(ROOT / UNIT, units)
        environment = {
            **ec2.env(),
            # The package may be installed editable, and Python is not where it was made for.
            "PYTHONPATH": "/opt/source",
            "LD_LIBRARY_PATH": "/opt/python/lib",
        }
        settings = "".join(f'Environment="{name}={it}"\n' for name, it in environment.items())
        output = "append:/opt/test/daemon.log"
        (units / f"{UNIT}.d" / "test.conf").write_text(
            f"[Service]\n{settings}StandardOutput={output}\nStandardError={output}\n{drop_in}"
        )
        self._lay_out_venv(folder / "venv")
        self.log_path.touch()

    def _lay_out_venv(self, venv: Path) -> None:
        """As in docs/operating.md; the packages themselves are mounted there."""
        python = Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve())
        (venv / "bin").mkdir(parents=True)
        (venv / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages").mkdir(
            parents=True
        )
        (venv / "pyvenv.cfg").write_text(f"home = {Path('/opt/python') / python.parent}\n")
        (venv / "bin" / "python3").symlink_to(Path("/opt/python") / python)
        program = venv / "bin" / "vpcrouterd"
        program.write_text(
            "#!/opt/vpcrouter/bin/python3\nfrom vpcrouter.cli.daemon import vpcrouterd\n"
            'if __name__ == "__main__":\n    vpcrouterd()\n'
        )
        program.chmod(0o755)

    def start(self) -> None:
        """Boot."""
        packages, python = sysconfig.get_path("purelib"), Path(sys.base_prefix).resolve()
        with (self.folder / "boot.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "sh", BOOT),
                    *(self._cgroup, self.folder, packages, python, ROOT),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._is_booted, COMMAND_S, self._boot_log)
        except BaseException:
            self.end()
            raise

    def _is_booted(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._boot_log()
        is_there = any(map(_is_systemd, descendants(self._process.pid)))
        return is_there and self.run("systemctl", "is-system-running").stdout == "running\n"

    def _boot_log(self) -> str:
        return (self.folder / "boot.log").read_text()

    def end(self, number: signal.Signals = signal.SIGKILL, timeout_s: float = COMMAND_S) -> int:
        """Switch the machine off, and take away all that is left of it."""
        process, self._process = self._process, None
        if process is None:
            return 0
        for pid in descendants(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        process.kill()
        status = process.wait(timeout_s)
        sweep = (
            f'mount -t cgroup2 cgroup2 "{self.folder}/cgroup" && cd "{self.folder}/cgroup" && '
            f'test ! -d "{self._cgroup}" || find "{self._cgroup}" -depth -type d -delete'
        )
        wait_until(
            lambda: (
                not subprocess.run(
                    ["unshare", "--mount", "sh", "-c", sweep], check=False, capture_output=True
                ).returncode
            ),
            timeout_s,
            "an empty cgroup",
        )
        return status

    @property
    def pid(self) -> int:
        """systemd's."""
        assert self._process is not None
        return next(filter(_is_systemd, descendants(self._process.pid)))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine."""
        namespaces = ("--mount", "--pid", "--cgroup", "--ipc", "--uts")
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", *namespaces, *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": "/opt/python/lib"},
        )

    def systemctl(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """For the service; waits, as systemctl does, for what it orders."""
        return self.run("systemctl", "--no-pager", verb, *words, UNIT)

    def shown(self, name: str) -> str:
        """A property of the service, as systemd sees it."""
        return self.systemctl("show", "--value", f"--property={name}").stdout.rstrip("\n")

    def main_pid(self) -> int:
        """The supervisor's process id here, outside."""
        return self._outside()[int(self.shown("MainPID"))]

    def service_pids(self) -> set[int]:
        """All processes on the machine but systemd itself."""
        return descendants(self.pid)

    def worker_pids(self) -> dict[str, int]:
        outside = self._outside()
        inside = super().worker_pids().items()
        return {name: outside[pid] for name, pid in inside if pid in outside}

    def _outside(self) -> dict[int, int]:
        """The process id that each process of the machine has here."""
        return {ids[-1]: ids[0] for ids in map(_ids, self.service_pids()) if ids}


def _ids(pid: int) -> list[int]:
    """What a process is called here and in each namespace down to its own; nothing if it ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the latter when it ends meanwhile
        return []
    return [int(word) for word in status.split("NSpid:")[1].splitlines()[0].split()]


def _is_systemd(pid: int) -> bool:
    """Whether this is the first process of the machine."""
    return _ids(pid)[-1:] == [1] and Path(f"/proc/{pid}/exe").resolve().name == "systemd"
