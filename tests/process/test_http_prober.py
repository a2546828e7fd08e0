"""The http prober against loopback servers, good and bad, with and without TLS."""

import contextlib
import datetime
import resource
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.process.authority import DAY, Authority, Pair
from tests.process.web import GOOD, Behave, Web, answer, drips, floods, says, stalls
from tests.waiting import wait_until
from vpcrouter import __version__
from vpcrouter.monitoring.client_tls import ClientTls, TlsFiles
from vpcrouter.monitoring.http import CheckUrl, HttpCheck, HttpProber, Statuses

A, B = "127.0.78.1", "127.0.78.2"
NAME = "web.example"


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        made.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


def prober_of(stack: contextlib.ExitStack, url: str, **facts: Any) -> HttpProber:
    check = HttpCheck(CheckUrl.of(url), Statuses.of(facts.pop("statuses", "200-399")), **facts)
    prober = HttpProber("http", check)
    stack.callback(prober.close)
    return prober


def outcomes_of(prober: HttpProber, count: int, timeout_s: float = 5.0) -> dict[int, bool | None]:
    """What becomes of `count` probes; fails when that takes too long."""
    found: dict[int, bool | None] = {}
    deadline_s = time.monotonic() + timeout_s
    while len(found) < count:
        select.select([prober], [], [], max(0.0, deadline_s - time.monotonic()))
        for serial, outcome, _ in prober.collect() or ():
            assert serial not in found
            found[serial] = outcome
        assert time.monotonic() < deadline_s, f"only {found}"
    return found


def judged(prober: HttpProber, host: str = A) -> tuple[bool | None, str]:
    """What becomes of one probe, and the reason that is logged."""
    prober.set_hosts([A, B])
    with capture_logs() as logs:
        assert list(prober.send([host], 7)) == []
        outcome = outcomes_of(prober, 1)[7]
    return outcome, " ".join(str(event["reason"]) for event in logs if "reason" in event)


@pytest.mark.parametrize(
    ("behave", "outcome", "reason"),
    [
        (answer(200), True, ""),
        (answer(302), True, ""),
        (answer(404), False, "status 404"),
        (answer(500), False, "status 500"),
        (says(b"HTTP/1.0 200 OK\r\n\r\nuntil the end"), True, ""),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"), False, "closed before"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n"), False, "closed before"),
        (says(b"\x00\xff" * 40000), False, "not an HTTP response"),
        (says(b""), False, "closed before"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), False, "not an HTTP response"),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000), False, "response exceeds 256 KiB"),
        (says(b"HTTP/1.1 103 Early Hints\r\n\r\n" + GOOD), True, ""),
        (floods, True, ""),
    ],
)
def test_answers(behave: Behave, outcome: bool, reason: str, stack: contextlib.ExitStack) -> None:
    web = stack.enter_context(Web([A]))
    web.behave[A] = behave
    found, said = judged(prober_of(stack, f"http://{{host}}:{web.port}/x"))
    assert (found, reason in said) == (outcome, True), said


def test_what_is_asked(stack: contextlib.ExitStack) -> None:
    web = stack.enter_context(Web([A]))
    url = f"http://{{host}}:{web.port}/health?of={{host}}"
    assert judged(prober_of(stack, url)) == (True, "")
    assert judged(prober_of(stack, url, server_name=NAME)) == (True, "")
    lines = web.requests[0].decode().split("\r\n")
    assert lines[0] == f"GET /health?of={A} HTTP/1.1"
    assert {f"Host: {A}:{web.port}", f"User-Agent: vpcrouter/{__version__}"} <= set(lines)
    assert "Connection: close" in lines
    assert f"Host: {NAME}:{web.port}" in web.requests[1].decode()


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"all is ready", True),
        (b"x" * 65_531 + b"ready", True),
        (b"x" * 65_532 + b"ready", False),
        (b"all is read", False),
        (b"", False),
    ],
)
def test_text_in_the_body(body: bytes, outcome: bool, stack: contextlib.ExitStack) -> None:
    web = stack.enter_context(Web([A]))
    web.behave[A] = answer(200, body)
    found, said = judged(prober_of(stack, f"http://{{host}}:{web.port}/", body=b"ready"))
    assert (found, said) == (outcome, "" if outcome else "body does not contain the expected text")


@pytest.mark.parametrize("behave", [drips, stalls])
def test_a_slow_host_is_left_at_its_time_out_and_delays_no_other(
    behave: Behave, stack: contextlib.ExitStack
) -> None:
    web = stack.enter_context(Web([A, B]))
    web.behave[B] = behave
    prober = prober_of(stack, f"http://{{host}}:{web.port}/")
    prober.set_hosts([A, B])
    prober.send([B, A, B, A], 1)
    assert outcomes_of(prober, 2) == {2: True, 4: True}
    with capture_logs() as logs:
        prober.expire([(1, B), (3, B)])
    assert logs[0]["reason"] == "timed out waiting for the response"
    assert prober.collect() is None
    prober.send([A], 9)
    assert outcomes_of(prober, 1) == {9: True}


def test_a_reason_is_said_once_until_it_changes(stack: contextlib.ExitStack) -> None:
    web = stack.enter_context(Web([A]))
    prober = prober_of(stack, f"http://{{host}}:{web.port}/")
    with capture_logs() as logs:
        for status in (500, 500, 503, 200, 200, 503):
            web.behave[A] = answer(status)
            prober.set_hosts([A])
            prober.send([A], 1)
            outcomes_of(prober, 1)
    said = [log.get("reason", "passes") for log in logs if log["log_level"] != "debug"]
    assert said == ["status 500", "status 503", "passes", "status 503"]


def test_nobody_listens(stack: contextlib.ExitStack) -> None:
    with socket.create_server((A, 0)) as server:
        port = server.getsockname()[1]
    assert judged(prober_of(stack, f"http://{{host}}:{port}/"))[0] is False


def test_no_connection_is_left_in_time_wait(stack: contextlib.ExitStack) -> None:
    web = stack.enter_context(Web([A]))
    prober = prober_of(stack, f"http://{{host}}:{web.port}/")
    prober.set_hosts([A])
    prober.send([A] * 20, 0)
    assert set(outcomes_of(prober, 20).values()) == {True}
    port = f":{web.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert not [row for row in rows if row[3] == "06" and port in row[2]], "TIME_WAIT of ours"


def test_no_descriptor_is_left(stack: contextlib.ExitStack) -> None:
    web = stack.enter_context(Web([A]))
    prober = prober_of(stack, f"http://{{host}}:{web.port}/")
    prober.set_hosts([A])
    ours = f"{A}:{web.port}"

    def connected() -> int:
        return len(prober._pending)

    web.behave[A] = stalls
    prober.send([A] * 6, 0)
    assert connected() == 6, ours
    prober.forget([0, 1])
    prober.expire([(2, A)])
    assert connected() == 3
    prober.close()
    assert connected() == 0
    with pytest.raises(ValueError, match="closed"):
        prober.collect()
    stack.pop_all().callback(web.__exit__)


# TLS


def server_side(pair: Pair, client_ca: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def tls_web(stack: contextlib.ExitStack) -> Callable[..., str]:
    def start(pair: Pair, client_ca: Path | None = None) -> str:
        web = stack.enter_context(Web([A], tls=server_side(pair, client_ca)))
        return f"https://{{host}}:{web.port}/"

    return start


TlsWeb = Callable[..., str]


def trusting(authority: Authority, **files: Any) -> ClientTls:
    return ClientTls(TlsFiles(str(authority.ca), **files))


def test_tls(authority: Authority, stack: contextlib.ExitStack, tls_web: TlsWeb) -> None:
    url = tls_web(authority.issue(A))
    assert judged(prober_of(stack, url, tls=trusting(authority))) == (True, "")


def test_tls_for_a_name(authority: Authority, stack: contextlib.ExitStack, tls_web: TlsWeb) -> None:
    url = tls_web(authority.issue(NAME))
    prober = prober_of(stack, url, tls=trusting(authority), server_name=NAME)
    assert judged(prober) == (True, "")


@pytest.mark.parametrize(
    ("name", "age", "server_name", "reason"),
    [
        (B, DAY, "", "IP address mismatch"),
        (NAME, DAY, "other.example", "Hostname mismatch"),
        (A, 10 * DAY, "", "expired"),
        (A, -5 * DAY, "", "not yet valid"),
    ],
)
def test_a_wrong_certificate_is_a_miss(
    name: str,
    age: datetime.timedelta,
    server_name: str,
    reason: str,
    authority: Authority,
    stack: contextlib.ExitStack,
    tls_web: TlsWeb,
) -> None:
    url = tls_web(authority.issue(name, age=age))
    outcome, said = judged(prober_of(stack, url, tls=trusting(authority), server_name=server_name))
    assert outcome is False
    assert said.startswith("TLS: ")
    assert reason in said
    unverified = trusting(authority, verify=False)
    assert judged(prober_of(stack, url, tls=unverified, server_name=server_name)) == (True, "")


def test_an_authority_that_is_not_trusted(
    authority: Authority, tmp_path: Path, stack: contextlib.ExitStack, tls_web: TlsWeb
) -> None:
    url = tls_web(Authority(tmp_path, "foreign").issue(A))
    outcome, said = judged(prober_of(stack, url, tls=trusting(authority)))
    assert outcome is False
    assert "unable to get local issuer certificate" in said
    assert judged(prober_of(stack, url))[0] is False, "nor by the system"


def test_a_client_certificate(
    authority: Authority, stack: contextlib.ExitStack, tls_web: TlsWeb
) -> None:
    url = tls_web(authority.issue(A), authority.ca)
    ours = authority.issue("vpcrouter")
    with_it = trusting(authority, cert=str(ours.cert), key=str(ours.key))
    assert judged(prober_of(stack, url, tls=with_it)) == (True, "")
    outcome, said = judged(prober_of(stack, url, tls=trusting(authority)))
    assert outcome is False
    assert "TLS" in said.upper()


def test_plain_http_where_tls_is_expected(
    authority: Authority, stack: contextlib.ExitStack
) -> None:
    with socket.create_server((A, 0)) as server:
        prober = prober_of(
            stack, f"https://{{host}}:{server.getsockname()[1]}/", tls=trusting(authority)
        )
        prober.set_hosts([A])
        prober.send([A], 1)
        wait_until(lambda: prober.collect() is None, 5, "the hello sent")
        connection, _ = server.accept()
        connection.sendall(GOOD)
        assert outcomes_of(prober, 1) == {1: False}
        connection.close()


def test_a_host_that_says_nothing_to_our_hello_delays_no_other(
    authority: Authority, stack: contextlib.ExitStack, tls_web: TlsWeb
) -> None:
    url = tls_web(authority.issue(A))
    port = CheckUrl.of(url).port
    with socket.create_server((B, port)):
        prober = prober_of(stack, url, tls=trusting(authority))
        prober.set_hosts([A, B])
        prober.send([B, A], 1)
        assert outcomes_of(prober, 1) == {2: True}
        with capture_logs() as logs:
            prober.expire([(1, B)])
    assert logs[0]["reason"] == "timed out in the TLS handshake"


def test_renewed_files_count_without_a_restart(authority: Authority, tmp_path: Path) -> None:
    now_s = [0.0]
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.ca.read_bytes())
    tls = ClientTls(TlsFiles(str(ca)), lambda: now_s[0])
    first = tls.context()
    ca.write_bytes(Authority(tmp_path, "next").ca.read_bytes())
    assert tls.context() is first, "not looked at all the time"
    now_s[0] = 61
    second = tls.context()
    assert second is not first
    ca.write_text("rubbish")
    now_s[0] = 122
    with capture_logs() as logs:
        assert tls.context() is second
    assert "no PEM certificates found" in str(logs[0]["why"])
