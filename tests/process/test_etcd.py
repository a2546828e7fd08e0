"""The watcher `etcd` in the real daemon, against a real etcd."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.aws.network import Network
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import Daemon, Hosts
from tests.process.etcd import EtcdServer, Line, make_certificates, needs_etcd
from tests.waiting import wait_until
from vpcrouter.etcd.client import SILENCE_S

SOON_S = 2.0
BACK_S = 15.0
"""Longer than the longest pause between two tries, and a start of etcd."""
KEY = "/vpcrouter/route_spec"
PREFIX = "/vpcrouter/routes/"
PASSWORD = "open-sesame"  # noqa: S105
Spec = dict[str, list[str]]


def spec(number: int) -> Spec:
    return {f"10.{number}.0.0/16": list(HOSTS)}


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path) as server:
        yield server


StartFollowing = Callable[..., Daemon]


@pytest.fixture
def start_following(start_daemon: StartDaemon, hosts: Hosts) -> StartFollowing:
    """Starts the daemon on an etcd, or on other `endpoints`."""

    def start(etcd: EtcdServer, *flags: str, endpoints: str = "") -> Daemon:
        where = ("--etcd_endpoints", endpoints or etcd.url, "--etcd_timeout", "1")
        return start_daemon("-m", "etcd", *where, *flags)

    return start


def wait_in_force(daemon: Daemon, expected: Spec, timeout_s: float = SOON_S) -> None:
    def in_force() -> bool:
        status, body = daemon.get("/route_spec")
        return status == 200 and json.loads(body) == expected

    wait_until(in_force, timeout_s, daemon.log)


def wait_refused(daemon: Daemon, why: str, timeout_s: float = SOON_S) -> None:
    def refused() -> bool:
        return why in " ".join(daemon.json("/route_info")["refused_spec"])

    wait_until(refused, timeout_s, daemon.log)


def assert_all_is_well(daemon: Daemon) -> None:
    """No worker was replaced, nothing is refused, and it can do its work."""
    assert daemon.json("/route_info")["refused_spec"] == []
    assert {each["generation"] for each in daemon.json("/")["workers"].values()} == {1}
    assert "Traceback" not in daemon.log()
    daemon.wait_healthy()


def test_one_key_moves_routes(
    net: Network, etcd: EtcdServer, start_following: StartFollowing
) -> None:
    etcd.put(KEY, spec(1))
    daemon = start_following(etcd, "--etcd_spec_key", KEY)
    daemon.wait_healthy()
    wait_in_force(daemon, spec(1))
    etcd.put(KEY, spec(1) | spec(2))
    wait_in_force(daemon, spec(1) | spec(2))

    def targets(cidr: str) -> set[str | None]:
        return set(net.routes(cidr).values())

    wait_until(
        lambda: targets("10.1.0.0/16") | targets("10.2.0.0/16") <= set(HOSTS), 10, daemon.log
    )
    etcd.put(KEY, spec(2))
    wait_until(lambda: targets("10.1.0.0/16") == {None}, 10, daemon.log)
    assert_all_is_well(daemon)


def test_a_key_for_each_cidr(etcd: EtcdServer, start_following: StartFollowing) -> None:
    etcd.put(f"{PREFIX}10.1.0.0/16", HOSTS)
    etcd.put("/vpcrouter/routes-old/10.9.0.0/16", HOSTS)
    daemon = start_following(etcd, "--etcd_spec_prefix", PREFIX)
    daemon.wait_healthy()
    wait_in_force(daemon, spec(1))
    etcd.put(f"{PREFIX}10.2.0.0/16", HOSTS)
    wait_in_force(daemon, spec(1) | spec(2))
    etcd.delete(f"{PREFIX}10.1.0.0/16")
    wait_in_force(daemon, spec(2))
    assert_all_is_well(daemon)


def test_what_is_refused_leaves_the_spec_in_force(
    etcd: EtcdServer, start_following: StartFollowing
) -> None:
    etcd.put(f"{PREFIX}10.1.0.0/16", HOSTS)
    daemon = start_following(etcd, "--etcd_spec_prefix", PREFIX)
    daemon.wait_healthy()
    etcd.put(f"{PREFIX}10.2.0.0/16", ["router-1"])
    wait_refused(daemon, f'{PREFIX}10.2.0.0/16: host 1, "router-1", is not an IP address')
    etcd.put(f"{PREFIX}10.2.0.0/16", "[")
    wait_refused(daemon, f"{PREFIX}10.2.0.0/16: bad JSON")
    etcd.delete("--prefix", PREFIX)
    wait_refused(daemon, "an empty route spec")
    assert daemon.json("/route_spec") == spec(1)
    assert daemon.get("/health")[0] == 200, "the spec in force is still being kept"
    etcd.put(f"{PREFIX}10.3.0.0/16", HOSTS)
    wait_in_force(daemon, spec(3))
    assert_all_is_well(daemon)


def test_a_deleted_key_leaves_the_spec_in_force(
    etcd: EtcdServer, start_following: StartFollowing
) -> None:
    etcd.put(KEY, spec(1))
    daemon = start_following(etcd, "--etcd_spec_key", KEY)
    daemon.wait_healthy()
    etcd.delete(KEY)
    wait_refused(daemon, f"{KEY}: there is no such key")
    assert daemon.json("/route_spec") == spec(1)
    etcd.put(KEY, "{}")
    wait_refused(daemon, f"{KEY}: the route spec is empty")
    etcd.put(KEY, spec(2))
    wait_in_force(daemon, spec(2))
    assert_all_is_well(daemon)


def test_etcd_is_killed_and_restarted(etcd: EtcdServer, start_following: StartFollowing) -> None:
    etcd.put(KEY, spec(1))
    daemon = start_following(etcd, "--etcd_spec_key", KEY)
    daemon.wait_healthy()
    for number in (2, 3):
        etcd.kill()
        why = f"etcd {etcd.url} cannot be reached: Connection refused"
        wait_refused(daemon, why, BACK_S)
        assert daemon.json("/route_spec") == spec(number - 1)
        assert daemon.get("/health")[0] == 200
        daemon.wait_log(why, count=number - 1)
        etcd.start()
        etcd.put(KEY, spec(number))
        wait_in_force(daemon, spec(number), BACK_S)
    assert daemon.log().count(why) == 2, "each time it was said once"
    assert_all_is_well(daemon)


def test_a_restart_without_etcd_goes_on_with_the_last_accepted_spec(
    etcd: EtcdServer, tmp_path: Path, start_following: StartFollowing
) -> None:
    etcd.put(KEY, spec(1))
    daemon = start_following(etcd, "--etcd_spec_key", KEY)
    daemon.wait_healthy()
    wait_until((tmp_path / "state" / "route_spec.json").exists, 5, daemon.log)
    assert daemon.end() == 0
    etcd.kill()
    again = start_following(etcd, "--etcd_spec_key", KEY)
    again.wait_log("the last accepted route spec is used")
    again.wait_healthy()
    assert again.json("/route_spec") == spec(1)
    etcd.start()
    etcd.put(KEY, spec(2))
    wait_in_force(again, spec(2), BACK_S)


def test_compaction_while_the_watcher_stands_still(
    etcd: EtcdServer, start_following: StartFollowing
) -> None:
    etcd.put(KEY, spec(1))
    daemon = start_following(etcd, "--etcd_spec_key", KEY)
    daemon.wait_healthy()
    pid = daemon.worker_pids()["etcd"]
    os.kill(pid, signal.SIGSTOP)
    try:
        # A restart ends its watch, and what it would resume from is forgotten.
        etcd.kill()
        etcd.start()
        for number in (2, 3, 4):
            etcd.put(KEY, spec(number))
        etcd.compact()
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_in_force(daemon, spec(4), BACK_S)
    etcd.put(KEY, spec(5))
    wait_in_force(daemon, spec(5))
    assert_all_is_well(daemon)


def test_compaction_while_the_line_is_dead(
    etcd: EtcdServer, start_following: StartFollowing
) -> None:
    etcd.put(KEY, spec(1))
    with Line(etcd.port) as line:
        daemon = start_following(etcd, "--etcd_spec_key", KEY, endpoints=line.endpoint)
        daemon.wait_healthy()
        line.cut()
        etcd.put(KEY, spec(2))
        etcd.compact()
        wait_refused(daemon, "does not answer in time", SILENCE_S + BACK_S)
        line.mend()
        wait_in_force(daemon, spec(2), BACK_S)
        assert_all_is_well(daemon)
        assert daemon.end() == 0


def test_the_next_member_is_asked(etcd: EtcdServer, start_following: StartFollowing) -> None:
    etcd.put(KEY, spec(1))
    with Line(etcd.port) as line:
        both = f"{line.endpoint},{etcd.url}"
        daemon = start_following(etcd, "--etcd_spec_key", KEY, endpoints=both)
        daemon.wait_healthy()
        line.cut()
        etcd.put(KEY, spec(2))
        wait_in_force(daemon, spec(2), SILENCE_S + BACK_S)
        assert "route spec refused" not in daemon.log()
        assert_all_is_well(daemon)


def test_it_ends_at_once_though_etcd_does_not_answer(
    etcd: EtcdServer, start_following: StartFollowing
) -> None:
    etcd.put(KEY, spec(1))
    with Line(etcd.port) as line:
        daemon = start_following(etcd, "--etcd_spec_key", KEY, endpoints=line.endpoint)
        daemon.wait_healthy()
        line.cut()
        began_s = time.monotonic()
        assert daemon.end() == 0
        assert time.monotonic() - began_s < SILENCE_S


def test_user_and_password(
    etcd: EtcdServer, tmp_path: Path, start_following: StartFollowing
) -> None:
    etcd.put(KEY, spec(1))
    etcd.ctl("user", "add", f"root:{PASSWORD}")
    etcd.ctl("user", "grant-role", "root", "root")
    etcd.ctl("auth", "enable")
    etcd.login = ("--user", f"root:{PASSWORD}")
    password = tmp_path / "password"
    password.write_text("wrong\n")
    login = ("--etcd_user", "root", "--etcd_password_file", str(password))
    daemon = start_following(etcd, "--etcd_spec_key", KEY, *login)
    wait_refused(daemon, "authentication failed", 10)
    password.write_text(f"{PASSWORD}\n")
    wait_in_force(daemon, spec(1), BACK_S)
    etcd.kill()
    etcd.start()
    etcd.put(KEY, spec(2))
    wait_in_force(daemon, spec(2), BACK_S)
    assert_all_is_well(daemon)
    for page in ("/", "/route_info"):
        assert PASSWORD not in daemon.get(page)[1]
    assert PASSWORD not in daemon.log()


@needs_etcd
def test_tls_with_our_certificate(tmp_path: Path, start_following: StartFollowing) -> None:
    files = make_certificates(tmp_path)
    tls = [each for name in files for each in (f"--etcd_tls_{name}", str(files[name]))]
    with EtcdServer(tmp_path, tls=files) as etcd:
        etcd.put(KEY, spec(1))
        daemon = start_following(etcd, "--etcd_spec_key", KEY, *tls, endpoints=etcd.endpoint)
        daemon.wait_healthy()
        etcd.put(KEY, spec(2))
        wait_in_force(daemon, spec(2))
        assert_all_is_well(daemon)


@needs_etcd
def test_an_etcd_that_nobody_vouches_for(tmp_path: Path, start_following: StartFollowing) -> None:
    with EtcdServer(tmp_path, tls=make_certificates(tmp_path)) as etcd:
        daemon = start_following(etcd, "--etcd_spec_key", KEY)
        wait_refused(daemon, "TLS failed: unable to get local issuer certificate", 10)


def test_wrong_options_end_it(tmp_path: Path, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        *("-m", "etcd", "--etcd_spec_key", KEY, "--etcd_spec_prefix", "/routes"),
        *("--etcd_user", "root", "--etcd_endpoints", "http://root:secret@localhost"),
    )
    assert daemon.wait_exit() == 78
    log = daemon.log()
    for fault in ("and not both", "must end with /", "must be given together", "contains a user"):
        assert fault in log
