"""The watcher `configfile` in the real daemon: every way in which a file changes."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import Daemon
from tests.waiting import wait_until

SOON_S = 2.0
"""Far above the 0.1 s that is promised, far below the watcher's look at the file anyway."""


def spec_text(number: int) -> str:
    return json.dumps({f"10.{number}.0.0/16": list(HOSTS)})


def wait_in_force(daemon: Daemon, number: int) -> None:
    expected = json.loads(spec_text(number))
    wait_until(lambda: daemon.json("/route_spec") == expected, SOON_S, daemon.log)


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


def replace_over(path: Path, text: str) -> None:
    new = path.with_name("new-file")
    new.write_text(text)
    new.replace(path)


def delete_and_return(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def write_slowly(path: Path, text: str) -> None:
    """In two halves, the file held open between them for longer than a change is settled."""
    with path.open("w") as file:
        file.write(text[:10])
        file.flush()
        time.sleep(0.2)
        file.write(text[10:])


def replace_folder(path: Path, text: str) -> None:
    folder = path.parent
    new = folder.with_name("new-folder")
    new.mkdir()
    (new / path.name).write_text(text)
    folder.rename(folder.with_name(f"old-{time.monotonic_ns()}"))
    new.rename(folder)


def replace_folder_slowly(path: Path, text: str) -> None:
    shutil.rmtree(path.parent)
    time.sleep(0.2)
    path.parent.mkdir()
    path.write_text(text)


@pytest.mark.usefixtures("hosts")
def test_every_kind_of_change_is_taken(tmp_path: Path, start_daemon: StartDaemon) -> None:
    path = tmp_path / "conf" / "route-spec.conf"
    path.parent.mkdir()
    path.write_text(spec_text(1))
    daemon = start_daemon(file=path)
    wait_until(lambda: daemon.get("/route_spec")[0] == 200, 10, daemon.log)
    wait_in_force(daemon, 1)
    changes: tuple[Callable[[Path, str], None], ...] = (
        rewrite,
        replace_over,
        delete_and_return,
        write_slowly,
        replace_folder,
        replace_folder_slowly,
        rewrite,
    )
    for number, change in enumerate(changes, start=2):
        change(path, spec_text(number))
        wait_in_force(daemon, number)
    assert "unhandled exception in worker" not in daemon.log()


@pytest.mark.usefixtures("hosts")
def test_a_configmap_is_followed(tmp_path: Path, start_daemon: StartDaemon) -> None:
    """Kubernetes: file → ..data/file, and ..data → a folder that is swapped for a new one."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def publish(number: int) -> None:
        folder = mount / f"..2026_{number}"
        folder.mkdir()
        (folder / "spec").write_text(spec_text(number))
        link = mount / "..data_tmp"
        link.symlink_to(folder.name)
        link.replace(mount / "..data")

    publish(1)
    (mount / "spec").symlink_to("..data/spec")
    daemon = start_daemon(file=mount / "spec")
    wait_until(lambda: daemon.get("/route_spec")[0] == 200, 10, daemon.log)
    for number in (2, 3, 4):
        publish(number)
        shutil.rmtree(mount / f"..2026_{number - 1}")
        wait_in_force(daemon, number)


@pytest.mark.usefixtures("hosts")
def test_an_overflowed_inotify_queue_loses_no_change(
    tmp_path: Path, start_daemon: StartDaemon
) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    path = folder / "spec"
    path.write_text(spec_text(1))
    daemon = start_daemon(file=path)
    wait_until(lambda: daemon.get("/route_spec")[0] == 200, 10, daemon.log)
    pid = daemon.worker_pids()["configfile"]
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    noise = [folder / "a", folder / "b"]
    for file in noise:
        file.touch()
    os.kill(pid, signal.SIGSTOP)
    try:
        for count in range(limit + 100):
            os.utime(noise[count % 2])
        path.write_text(spec_text(2))
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_in_force(daemon, 2)


BAD = {
    "half a file": ('{"10.9.0.0/16": ["127.0.1', "bad JSON at line 1"),
    "an empty file": ("", "bad JSON"),
    "an empty spec": ("{}", "is empty"),
    "a host that is none": ('{"10.9.0.0/16": ["router-1"]}', "is not an IP address"),
    "the same CIDR twice": (
        '{"10.9.0.0/16": ["127.0.1.10"], "10.9.0.1/16": ["127.0.1.10"]}',
        "same",
    ),
}


def wait_refused(daemon: Daemon, why: str) -> None:
    def refused() -> str:
        return " ".join(daemon.json("/route_info")["refused_spec"])

    wait_until(lambda: why in refused(), SOON_S, daemon.log)


@pytest.mark.usefixtures("hosts")
def test_a_refused_spec_leaves_the_one_in_force(spec_file: Path, start_daemon: StartDaemon) -> None:
    spec_file.write_text(spec_text(1))
    daemon = start_daemon()
    daemon.wait_healthy()
    for text, why in BAD.values():
        spec_file.write_text(text)
        wait_refused(daemon, why)
        assert daemon.json("/route_spec") == json.loads(spec_text(1))
    spec_file.unlink()
    wait_refused(daemon, "cannot be read")
    assert daemon.json("/route_spec") == json.loads(spec_text(1))
    assert daemon.get("/health")[0] == 200, "the spec in force is still being kept"
    spec_file.write_text(spec_text(2))
    wait_in_force(daemon, 2)
    assert daemon.json("/route_info")["refused_spec"] == []


@pytest.mark.usefixtures("hosts")
def test_a_restart_with_a_bad_file_goes_on_with_the_last_accepted_spec(
    spec_file: Path, start_daemon: StartDaemon
) -> None:
    spec_file.write_text(spec_text(1))
    daemon = start_daemon()
    daemon.wait_healthy()
    wait_until((spec_file.parent / "state" / "route_spec.json").exists, 5, daemon.log)
    assert daemon.end() == 0
    spec_file.write_text("{")
    again = start_daemon()
    again.wait_log("the last accepted route spec is used")
    again.wait_healthy()
    assert again.json("/route_spec") == json.loads(spec_text(1))


@pytest.mark.usefixtures("hosts")
def test_a_folder_of_files_is_merged(tmp_path: Path, start_daemon: StartDaemon) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "a.json").write_text(spec_text(1))
    (folder / "b.conf").write_text(spec_text(2))
    (folder / "b.conf~").write_text("an editor's backup")
    daemon = start_daemon(file=folder)
    wait_until(lambda: daemon.get("/route_spec")[0] == 200, 10, daemon.log)
    assert daemon.json("/route_spec") == {**json.loads(spec_text(1)), **json.loads(spec_text(2))}
    (folder / "c.json").write_text(spec_text(2))
    wait_refused(daemon, '"10.2.0.0/16": is in b.conf and in c.json')
    assert len(daemon.json("/route_spec")) == 2
    (folder / "b.conf").unlink()
    wait_until(lambda: daemon.json("/route_info")["refused_spec"] == [], SOON_S, daemon.log)
    (folder / "c.json").unlink()
    wait_in_force(daemon, 1)
