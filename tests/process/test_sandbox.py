"""What each process of a real daemon may see and open, and what commands of `script` can reach."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.network import Network
from tests.needs import ROOT, needs
from tests.process.conftest import CIDR, HOSTS
from tests.process.daemon import Daemon, descendants
from tests.process.ordinary import UID, OrdinaryDaemon
from tests.waiting import wait_until

SECRET = b"AWS_SECRET_ACCESS_KEY"
SPY = f"""#!/bin/sh
[ -e FOLDER/pids ] && [ ! -e FOLDER/said ] && [ "$VPCROUTER_HOST" = {HOSTS[0]} ] || exit 0
exec 2>/dev/null
{{
  echo "variables $(env | cut -d= -f1 | sort | tr '\\n' ' ')"
  echo "descriptors $(ls /proc/self/fd | tr '\\n' ' ')"
  for pid in $(cat FOLDER/pids); do
    for file in environ mem fd/5; do
      head -c1 /proc/$pid/$file >/dev/null && echo "read $pid $file"
      (: >>/proc/$pid/$file) && echo "wrote $pid $file"
    done
  done
  echo end
}} >FOLDER/said-$$ && mv FOLDER/said-$$ FOLDER/said
"""
KNOWN = {"PATH", "HOME", "LANG", "VPCROUTER_HOST", "PWD", "OLDPWD", "SHLVL", "_"}
"""The last four are the shell's own."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of that user's, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="vpcrouter-"))
    os.chown(path, UID, UID)
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def daemon(ec2: EmbeddedEc2, net: Network, folder: Path) -> Iterator[Daemon]:
    spy = folder / "spy"
    spy.write_text(SPY.replace("FOLDER", str(folder)))
    spy.chmod(0o755)
    flags = (
        *("-m", "fixedconf", "--fixed_cidr", CIDR, "--fixed_hosts", ":".join(HOSTS)),
        *("-v", net.vpc_id, "-r", "us-east-1", "-p", "0", "-H", "multi"),
        *("--multi_plugins", "tcp:script", "--script_command", str(spy)),
        *("--script_interval", "2", "--script_timeout", "1.9"),
        *("--state_dir", str(folder / "state"), "--control_socket", str(folder / "c.sock")),
    )
    with OrdinaryDaemon(ec2, folder, *flags) as daemon:
        yield daemon


@needs(ROOT, "setpriv", "unshare")
def test_credentials_and_processes_are_out_of_reach(daemon: Daemon, folder: Path) -> None:
    daemon.wait_log("event=ready", 40)
    daemon.wait_running()
    pids = {daemon.pid, *descendants(daemon.pid)}
    assert len(pids) > 7
    names = {pid: name for name, pid in daemon.worker_pids().items()}
    for pid in names | {daemon.pid: "supervisor"}:
        environ = Path(f"/proc/{pid}/environ")
        assert SECRET not in environ.read_bytes(), names.get(pid)
        assert environ.stat().st_uid == 0, "what is not dumpable belongs to root (proc(5))"
    (folder / "new").write_text("\n".join(map(str, [*names, daemon.pid])))
    (folder / "new").rename(folder / "pids")
    wait_until((folder / "said").exists, 20, daemon.log)
    said = (folder / "said").read_text().splitlines()
    variables, descriptors, *reached, end = (line.split() for line in said)
    assert set(variables[1:]) <= KNOWN
    assert descriptors[1:] == ["0", "1", "2", "3"], "the last one is of the list itself"
    assert (reached, end) == ([], ["end"])


@needs(ROOT, "setpriv", "unshare")
def test_workers_are_confined_and_say_so(daemon: Daemon) -> None:
    daemon.wait_log("event=ready", 40)
    daemon.wait_running()
    confined = {"fixedconf", "tcp", "reconciler", "api", "control"}
    for name, pid in daemon.worker_pids().items():
        status = Path(f"/proc/{pid}/status").read_text()
        assert ("Seccomp:\t2" in status) is (name in confined), name
    shown = daemon.json("/plugins")
    states = {each["name"]: each["sandbox"] for each in (*shown["mode"], *shown["health"])}
    assert states["tcp"].keys() == {"seccomp", "landlock"}
    assert states["tcp"]["seccomp"] == "in force"
    assert states["script"]["seccomp"].startswith("off")
    assert "not confined" not in daemon.log()
    assert json.dumps(shown).count("testing") == 0
