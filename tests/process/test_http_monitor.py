"""The http monitor, end to end: real daemon, real HTTP servers, EC2 over HTTP."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.aws.network import Network
from tests.process.authority import Authority
from tests.process.conftest import HOSTS, StartDaemon
from tests.process.daemon import Daemon, assert_refused
from tests.process.test_routing import target, wait_target
from tests.process.web import Behave, Web, answer, drips, says, stalls
from tests.waiting import wait_until

StartHttp = Callable[..., Daemon]
READY = answer(200, b"all is ready")


@pytest.fixture
def web() -> Iterator[Web]:
    with Web(HOSTS) as servers:
        for host in HOSTS:
            servers.behave[host] = READY
        yield servers


def flags_for(web: Web, scheme: str = "http") -> tuple[str, ...]:
    return (
        *("--health", "http", "--http_check_url", f"{scheme}://{{host}}:{web.port}/healthz"),
        *("--http_check_interval", "0.5", "--http_check_timeout", "0.3"),
        *("--http_check_body", "ready"),
    )


def test_a_host_that_does_not_answer_well_loses_its_routes(
    net: Network, web: Web, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon(*flags_for(web))
    faults: list[tuple[Behave, str]] = [
        (answer(500, b"all is ready"), "status 500"),
        (answer(200, b"in maintenance"), "body does not contain the expected text"),
        (stalls, "timed out waiting for the response"),
        (drips, "timed out waiting for the response"),
        (says(b"rubbish\r\n\r\n"), "not an HTTP response"),
    ]
    for behave, reason in faults:
        first = wait_target(net, set(HOSTS))
        daemon.wait_healthy()
        told = daemon.log().count(reason)
        web.behave[first] = behave
        second = wait_target(net, set(HOSTS) - {first})
        assert daemon.json("/ips")["failed_ips"] == [first]
        daemon.wait_log(reason, count=told + 1)
        web.behave[first] = READY
        wait_until(lambda: daemon.json("/ips")["failed_ips"] == [], 30, daemon.log)
        assert target(net) == second


def test_over_tls_with_a_client_certificate(
    net: Network, tmp_path: Path, start_daemon: StartDaemon
) -> None:
    authority = Authority(tmp_path)
    theirs, ours = authority.issue(*HOSTS), authority.issue("vpcrouter")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca))
    context.load_cert_chain(theirs.cert, theirs.key)
    context.verify_mode = ssl.CERT_REQUIRED
    with Web(HOSTS, tls=context) as web:
        for host in HOSTS:
            web.behave[host] = READY
        daemon = start_daemon(
            *flags_for(web, "https"),
            *("--http_check_ca", str(authority.ca)),
            *("--http_check_cert", str(ours.cert), "--http_check_key", str(ours.key)),
        )
        first = wait_target(net, set(HOSTS))
        daemon.wait_healthy()
        assert daemon.json("/ips")["failed_ips"] == []
        web.behave[first] = answer(503)
        wait_target(net, set(HOSTS) - {first})


def test_certificates_that_nobody_trusts_fail_all_hosts_and_are_told_once(
    net: Network, tmp_path: Path, start_daemon: StartDaemon
) -> None:
    pair = Authority(tmp_path).issue(*HOSTS)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    with Web(HOSTS, tls=context) as web:
        for host in HOSTS:
            web.behave[host] = READY
        daemon = start_daemon(*flags_for(web, "https"))
        daemon.wait_log("TLS: unable to get local issuer certificate", 20, 3)
        daemon.wait_log("ready")
        wait_until(lambda: len(daemon.json("/ips")["failed_ips"]) == 3, 15, daemon.log)
        assert daemon.log().count("TLS: unable to get local issuer certificate") == 3
        daemon.end()
        # As a switch that is on by default is turned off:
        daemon = start_daemon(*flags_for(web, "https"), "--http_check_verify", "no")
        wait_target(net, set(HOSTS))
        wait_until(lambda: daemon.json("/ips")["failed_ips"] == [], 30, daemon.log)


@pytest.mark.parametrize(
    ("flags", "faults"),
    [
        ([], ["http_check_url: is needed, such as http://{host}:8080/healthz"]),
        (
            ["--http_check_url", "http://10.0.0.1/"],
            ["--http_check_url: must have {host}, and nothing else, as its host"],
        ),
        (
            ["--http_check_url", "http://{host}/", "--http_check_ca", "/nowhere.pem"],
            ["http_check_ca: has no effect unless http_check_url begins with https://"],
        ),
        (
            ["--http_check_url", "https://{host}/", "--http_check_ca", "/nowhere.pem"],
            ["http_check options for TLS: /nowhere.pem: No such file or directory"],
        ),
        (
            ["--http_check_url", "https://{host}/", "--http_check_key", "/nowhere.key"],
            ["http_check_key: has no effect without http_check_cert"],
        ),
        (
            ["--http_check_url", "https://{host}/", "--http_check_cert", "/dev/null"],
            [
                "http_check options for TLS: /dev/null: not a certificate with its "
                "unencrypted private key"
            ],
        ),
        (
            ["--http_check_url", "http://{host}/", "--http_check_timeout", "3"],
            ["http_check_timeout (3 s) must be less than http_check_interval (2 s)"],
        ),
        (
            ["--http_check_url", "http://{host}/", "--http_check_status", "200-100"],
            ["--http_check_status: must be statuses from 200 to 599, such as 200,204 or 200-399"],
        ),
    ],
)
def test_wrong_settings(flags: list[str], faults: list[str], spec_file: Path) -> None:
    assert_refused("http", flags, spec_file, faults)
