"""What a confined process can no longer do, tried in processes of their own."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vpcrouter.linux import landlock, seccomp

BEFORE = """
import ctypes, errno, os, socket, sys
from vpcrouter.linux import landlock, privileges, seccomp
libc = ctypes.CDLL(None, use_errno=True)
def tried(call, *words):
    try:
        return call(*words) and "done"
    except OSError as error:
        return errno.errorcode[error.errno]
def traced():
    return "done" if libc.ptrace(0, 0, 0, 0) == 0 else errno.errorcode[ctypes.get_errno()]
privileges.gain_no_more()
"""
NO_SECCOMP = pytest.mark.skipif(bool(seccomp.unavailable()), reason=seccomp.unavailable())
NO_LANDLOCK = pytest.mark.skipif(bool(landlock.unavailable()), reason=landlock.unavailable())
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def run(code: str, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@NO_SECCOMP
def test_a_refused_call_fails_and_ends_nothing() -> None:
    code = """
seccomp.restrict([*seccomp.FORBIDDEN, *seccomp.EXECUTE, *seccomp.LISTEN], raw=False)
print(traced(), tried(os.execv, "/bin/true", ["true"]))
with socket.socket() as tcp:
    tcp.bind(("127.0.0.1", 0))
    print(tried(tcp.listen))
for family, kind in ((16, 3), (1, 1), (2, 1), (10, 2), (2, 3), (10, 3), (17, 3), (40, 1)):
    print(tried(socket.socket, family, kind | socket.SOCK_CLOEXEC))
"""
    assert run(code) == [*3 * ["EPERM"], *4 * ["done"], *4 * ["EPERM"]]


@NO_SECCOMP
def test_what_is_not_refused_goes_on() -> None:
    code = """
seccomp.restrict(seccomp.FORBIDDEN, raw=True)
with socket.socket() as tcp:
    tcp.bind(("127.0.0.1", 0))
    tcp.listen()
os.execv("/bin/echo", ["echo", "done"])
"""
    assert run(code) == ["done"]


@NO_LANDLOCK
def test_files_beneath_the_paths_alone_are_opened(tmp_path: Path) -> None:
    mine, others = tmp_path / "mine", tmp_path / "others"
    for folder in (mine, others):
        folder.mkdir()
        (folder / "file").write_text("x")
    code = """
mine, others = sys.argv[1:]
landlock.restrict([mine], [mine] if {limited} else None)
for folder in mine, others:
    print(tried(open, folder + "/file"), tried(open, folder + "/new", "w"))
"""
    paths = (str(mine), str(others))
    assert run(code.format(limited=True), *paths) == ["done", "done", "EACCES", "EACCES"]
    assert run(code.format(limited=False), *paths) == ["done", "done", "done", "EACCES"]


@NO_LANDLOCK
@pytest.mark.parametrize("isolated", [True, False])
def test_no_other_process_can_be_looked_into(isolated: bool, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "file").write_text("x")
    code = """
privileges.give_up({{"CAP_SYS_PTRACE"}})  # and not CAP_PERFMON, to which Landlock is nothing
if {isolated}:
    landlock.isolate()
for name in "environ", "mem":
    print(tried(open, f"/proc/{{os.getppid()}}/{{name}}"))
os.rename(sys.argv[1] + "/a/file", sys.argv[1] + "/b/file")
print("moved")
"""
    said = run(code.format(isolated=isolated), str(tmp_path))
    assert said == [*2 * ["EACCES" if isolated else "done"], "moved"]


@pytest.mark.parametrize("machine", sorted(seccomp.MACHINES))
def test_the_numbers_are_those_of_the_kernel(machine: str) -> None:
    numbers = seccomp.MACHINES[machine][1]
    absent = {"iopl", "ioperm"} if machine == "aarch64" else set()
    needed = {*seccomp.FORBIDDEN, *seccomp.EXECUTE, *seccomp.LISTEN, "socket", "seccomp"}
    assert needed - numbers.keys() == absent
    assert len(set(numbers.values())) == len(numbers)
    if not HEADERS[machine].exists():
        return
    defined = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text())
    assert numbers.items() <= {name: int(number) for name, number in defined}.items()


def test_a_machine_that_is_not_known_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert seccomp.unavailable() == "not on riscv64"
