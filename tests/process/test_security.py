"""What the real daemon refuses, hides and gives up."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.client import EmbeddedEc2
from tests.aws.conformance import check_conformance
from tests.aws.network import Network
from tests.needs import ROOT, needs
from tests.process.authority import Authority
from tests.process.conftest import CIDR, HOSTS
from tests.process.daemon import CHECK_PORT, Daemon
from tests.process.ordinary import UID, OrdinaryDaemon, as_ordinary, rights
from tests.waiting import wait_until

TOKEN = "0123456789abcdef-a-good-one"  # noqa: S105
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SPEC = json.dumps({CIDR: [HOSTS[0]]})
EVERYWHERE = ("-a", "0.0.0.0")  # noqa: S104


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


class Api:
    """A daemon that does little but serve, and what it answers."""

    def __init__(self, ec2: EmbeddedEc2, net: Network, folder: Path) -> None:
        self._ec2, self._net, self._folder = ec2, net, folder
        self._daemon: Daemon | None = None
        self.context: ssl.SSLContext | None = None

    def start(self, *flags: str) -> Daemon:
        common = (
            *("-v", self._net.vpc_id, "-r", "us-east-1", "-p", "0", "-H", "always", "-m", "http"),
            *("--state_dir", str(self._folder / "state")),
            *("--control_socket", str(self._folder / "c.sock"), "--route_recheck_interval", "1"),
        )
        self._daemon = Daemon(self._ec2, self._folder, *common, *flags)
        self._daemon.start()
        return self._daemon

    def serve(self, *flags: str) -> Daemon:
        """Start, and wait until it answers."""
        daemon = self.start(*flags)
        assert self.ask("/health")[0] in {200, 503}
        return daemon

    def end(self) -> None:
        if self._daemon is not None:
            self._daemon.end()

    @property
    def where(self) -> tuple[str, int]:
        assert self._daemon is not None
        host, _, port = self._daemon.url.partition("://")[2].rpartition(":")
        return ("127.0.0.1" if host == "0.0.0.0" else host), int(port)  # noqa: S104

    def connect(self) -> socket.socket:
        return socket.create_connection(self.where, timeout=60)

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, str, http.client.HTTPMessage]:
        """Status, body and headers; `_` in a header's name stands for `-`."""
        host, port = self.where
        if self.context is None:
            connection = http.client.HTTPConnection(host, port, timeout=60)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=60, context=self.context)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers

    def status(self, path: str, method: str = "GET", **headers: str) -> int:
        return self.ask(path, method, SPEC if method == "POST" else None, **headers)[0]


@pytest.fixture
def api(ec2: EmbeddedEc2, net: Network, tmp_path: Path) -> Iterator[Api]:
    api = Api(ec2, net, tmp_path)
    yield api
    api.end()


class TestToken:
    def test_other_addresses_need_one(self, api: Api) -> None:
        daemon = api.start(*EVERYWHERE)
        assert daemon.wait_exit() == 78
        (line,) = daemon.log().splitlines()
        assert "address: 0.0.0.0 is reachable from other machines, which requires" in line
        assert "api_token_file" in line

    def test_everything_but_the_word_of_health_needs_it_there(
        self, api: Api, token_file: Path
    ) -> None:
        daemon = api.start(*EVERYWHERE, "--api_token_file", str(token_file))
        for path in ("/", "/ips", "/plugins", "/route_info", "/vpc", "/nothing"):
            status, text, headers = api.ask(path)
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer"), path
            assert "vpc-" not in text
            assert api.status(path, **BEARER) in {200, 404}, path
        _, text, _ = api.ask("/health")
        assert json.loads(text).keys() == {"status"}
        _, text, _ = api.ask("/health", **BEARER)
        assert json.loads(text).keys() > {"status", "reasons"}
        assert api.status("/route_spec", "POST", Content_Type="application/json") == 401
        post = {"Content_Type": "application/json", **BEARER}
        assert api.status("/route_spec", "POST", **post) == 200
        assert "API token is sent unencrypted" in daemon.log()
        assert TOKEN not in daemon.log()

    def test_on_loopback_only_writing_needs_it(self, api: Api, token_file: Path) -> None:
        api.start("--api_token_file", str(token_file))
        assert api.status("/") == 200
        post = {"Content_Type": "application/json"}
        assert api.status("/route_spec", "POST", **post) == 401
        for wrong in (
            TOKEN,
            f"Basic {TOKEN}",
            f"Bearer {TOKEN}x",
            "Bearer",
            f"Bearer {TOKEN[:-1]}",
        ):
            assert api.status("/route_spec", "POST", **post, Authorization=wrong) == 401, wrong
        assert api.status("/route_spec", "POST", **post, **BEARER) == 200

    def test_a_new_token_counts_without_a_restart(self, api: Api, token_file: Path) -> None:
        daemon = api.start("--api_token_file", str(token_file))
        post = {"Content_Type": "application/json", **BEARER}
        assert api.status("/route_spec", "POST", **post) == 200
        token_file.write_text("short")
        daemon.wait_log("new API token file rejected; keeping the old token", 15)
        assert api.status("/route_spec", "POST", **post) == 200
        token_file.write_text("another good token\n".replace(" ", "-"))
        daemon.wait_log("API token reloaded", 15)
        assert api.status("/route_spec", "POST", **post) == 401

    @pytest.mark.parametrize(
        ("content", "mode", "said"),
        [
            (TOKEN, 0o604, "is accessible to other users (mode 0604); try: chmod o= "),
            (TOKEN, 0o602, "is accessible to other users"),
            ("", 0o600, "has a token of 0 characters; 16 or more are required"),
            ("x" * 15 + "\n", 0o600, "has a token of 15 characters"),
            ("two words of a token\n", 0o600, "one line of printable ASCII without spaces"),
            ("x" * 5000, 0o600, "must contain one line"),
            (None, 0, "cannot be read: No such file or directory"),
        ],
    )
    def test_a_bad_file_is_refused_at_start(
        self, content: str | None, mode: int, said: str, api: Api, tmp_path: Path
    ) -> None:
        path = tmp_path / "bad-token"
        if content is not None:
            path.write_text(content)
            path.chmod(mode)
        daemon = api.start("--api_token_file", str(path))
        assert daemon.wait_exit() == 78
        assert f"api_token_file: {path} " in daemon.log()
        assert said in daemon.log()
        assert not content or content.strip() not in daemon.log()


@pytest.fixture(scope="module")
def shared(ec2_server: EmbeddedEc2, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One for all tests that need no settings but a name of its own."""
    net = Network.build(ec2_server, hosts=HOSTS)
    api = Api(ec2_server, net, tmp_path_factory.mktemp("shared"))
    api.start("--api_hosts", "router.example.com")
    yield api
    api.end()
    check_conformance(ec2_server)


class TestNames:
    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("localhost", 200),
            ("LOCALHOST.:33289", 200),
            ("127.0.0.1:1", 200),
            ("127.9.9.9", 200),
            ("[::1]:33289", 200),
            ("router.example.com", 200),
            ("evil.example", 421),
            ("localhost.evil.example", 421),
            ("10.0.0.1", 421),
            ("", 400),
            ("a b", 400),
            ("user@localhost", 400),
            ("localhost/", 400),
            ("localhost, evil.example", 400),
        ],
    )
    def test_only_the_names_it_serves(self, host: str, status: int, shared: Api) -> None:
        found, text, _ = shared.ask("/", Host=host)
        assert found == status, text
        if status == 421:
            assert "api_hosts" in text

    @pytest.mark.parametrize(
        ("target", "host", "status"),
        [
            ("http://localhost/", "localhost", 200),
            ("HTTP://Router.Example.com:80/", "localhost", 200),
            ("http://evil.example/", "localhost", 421),
            ("http://evil.example/health", "localhost", 421),
            ("https://10.0.0.1:1/", "localhost", 421),
            ("http://localhost/", "evil.example", 421),
            ("http://user@localhost/", "localhost", 400),
            ("http:///", "localhost", 400),
            ("evil.example:80", "localhost", 400),
        ],
    )
    def test_a_target_in_absolute_form_is_one_of_the_names(
        self, target: str, host: str, status: int, shared: Api
    ) -> None:
        """RFC 9112, 3.2.2: its host is the one that the request is for."""
        with shared.connect() as client:
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert client.makefile().readline().split()[1] == str(status)

    def test_a_name_of_dashes_costs_no_time(self, shared: Api) -> None:
        """Masking secrets in the answer took 16 s for these."""
        began_s = time.monotonic()
        assert shared.status("/", Host=15_000 * "-") == 421
        assert time.monotonic() - began_s < 8

    def test_no_other_sites_page(self, shared: Api) -> None:
        _, port = shared.where
        post = {"Content_Type": "application/json"}
        for origin in ("http://evil.example", "null", f"http://localhost:{port + 1}", "localhost"):
            assert shared.status("/route_spec", "POST", **post, Origin=origin) == 403, origin
            assert shared.status("/", Origin=origin) == 403, origin
        ours = f"http://127.0.0.1:{port}"
        assert shared.status("/route_spec", "POST", **post, Origin=ours) == 200
        for form in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            assert shared.status("/route_spec", "POST", Content_Type=form) == 415

    def test_what_browsers_are_told(self, shared: Api) -> None:
        for path, accept in (("/", "text/html"), ("/ips", "*/*"), ("/nothing", "text/html")):
            _, text, headers = shared.ask(path, Accept=accept)
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe-inline" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in headers
            assert "<script" not in text


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    def test_a_page_and_a_large_post(self, api: Api, authority: Authority) -> None:
        pair = authority.issue("localhost", "127.0.0.1")
        pair.key.chmod(0o600)
        daemon = api.start("--api_tls_cert", str(pair.cert), "--api_tls_key", str(pair.key))
        assert daemon.url.startswith("https://")
        api.context = ssl.create_default_context(cafile=str(authority.ca))
        assert api.status("/", Accept="text/html") == 200
        many = {f"10.{n // 256}.{n % 256}.0/24": list(HOSTS) for n in range(20_000)}
        status, text, _ = api.ask("/route_spec", "POST", json.dumps(many), **_posted())
        assert (status, text) == (200, "Ok\n")
        found = json.loads(api.ask("/route_spec")[1])
        assert found == many
        _, port = api.where
        assert api.status("/", Origin=f"https://127.0.0.1:{port}") == 200

    def test_who_speaks_no_tls_or_stalls_holds_nobody_up(
        self, api: Api, authority: Authority
    ) -> None:
        pair = authority.issue("localhost", "127.0.0.1")
        pair.key.chmod(0o600)
        daemon = api.start("--api_tls_cert", str(pair.cert), "--api_tls_key", str(pair.key))
        api.context = ssl.create_default_context(cafile=str(authority.ca))
        with api.connect() as plain, api.connect() as mute:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert not _read_all(plain).startswith(b"HTTP")
            assert api.status("/") == 200
            mute.settimeout(20)
            assert mute.recv(100) == b""
        old = ssl.create_default_context(cafile=str(authority.ca))
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="deprecated"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError), api.connect() as sock:
            old.wrap_socket(sock, server_hostname="127.0.0.1")
        assert "Traceback" not in daemon.log()

    def test_a_renewed_certificate_counts_without_a_restart(
        self, api: Api, authority: Authority
    ) -> None:
        first, second = (
            authority.issue("localhost", "127.0.0.1"),
            authority.issue("localhost", "127.0.0.1"),
        )
        first.key.chmod(0o600)
        daemon = api.start("--api_tls_cert", str(first.cert), "--api_tls_key", str(first.key))
        before = ssl.get_server_certificate(api.where)
        first.cert.write_bytes(second.cert.read_bytes())
        daemon.wait_log("new API TLS files rejected; keeping the old ones", 15)
        assert ssl.get_server_certificate(api.where) == before
        first.key.write_bytes(second.key.read_bytes())
        daemon.wait_log("API TLS files reloaded", 15)
        assert ssl.get_server_certificate(api.where) != before

    @pytest.mark.parametrize(
        ("case", "said"),
        [
            ("no key", "api_tls_key: required together with api_tls_cert"),
            ("no cert", "api_tls_cert: required together with api_tls_key"),
            ("another key", "does not match certificate "),
            ("no pem", "must be a certificate and its unencrypted private key in PEM format"),
            ("missing", "cannot be read: No such file or directory"),
            ("open key", "is accessible to other users (mode 0644)"),
            pytest.param("password", "unencrypted private key", marks=needs("openssl")),
        ],
    )
    def test_bad_files_are_refused_at_start(
        self, case: str, said: str, api: Api, authority: Authority, tmp_path: Path
    ) -> None:
        pair, other = (
            authority.issue("localhost", "127.0.0.1"),
            authority.issue("localhost", "127.0.0.1"),
        )
        cert, key = pair.cert, other.key if case == "another key" else pair.key
        key.chmod(0o644 if case == "open key" else 0o600)
        if case == "no pem":
            cert.write_text("no certificate")
        if case == "missing":
            key = tmp_path / "nothing"
        if case == "password":
            command = ["openssl", "ec", "-aes256", "-passout", "pass:word", "-in", str(key)]
            locked = subprocess.run(command, capture_output=True, check=True)
            key.write_bytes(locked.stdout)
        flags = {"--api_tls_cert": cert, "--api_tls_key": key}
        flags.pop({"no key": "--api_tls_key", "no cert": "--api_tls_cert"}.get(case, ""), None)
        daemon = api.start(*(str(word) for flag in flags.items() for word in flag))
        assert daemon.wait_exit() == 78
        assert said in daemon.log()


def _posted() -> dict[str, str]:
    return {"Content_Type": "application/json"}


def _read_all(sock: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            found += piece
    return found


class TestLimits:
    def test_idle_connections_stop_nobody_and_are_ended(self, shared: Api) -> None:
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(shared.connect()) for _ in range(400)]
            began_s = time.monotonic()
            for _ in range(20):
                assert shared.status("/ips") == 200
            assert time.monotonic() - began_s < 8
            assert idle[-1].recv(1) == b""
            assert time.monotonic() - began_s < 25

    def test_a_byte_a_moment_does_not_keep_a_connection(self, shared: Api) -> None:
        with shared.connect() as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            began_s = time.monotonic()
            ended = threading.Event()

            def drip() -> None:
                with contextlib.suppress(OSError):
                    while not ended.wait(0.2):
                        slow.sendall(b"x")

            dripping = threading.Thread(target=drip)
            dripping.start()
            try:
                assert _read_all(slow) == b""
            finally:
                ended.set()
                dripping.join()
            assert 9 < time.monotonic() - began_s < 25

    def test_who_does_not_read_is_ended(self, shared: Api, tmp_path: Path) -> None:
        """Many requests at once, none of the answers read: threads must stay free."""
        many = {f"10.{n // 256}.{n % 256}.0/24": list(HOSTS) for n in range(5_000)}
        assert shared.ask("/route_spec", "POST", json.dumps(many), **_posted())[0] == 200
        request = b"GET /route_spec HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with contextlib.ExitStack() as stack:
            for _ in range(12):
                deaf = stack.enter_context(shared.connect())
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                deaf.sendall(request * 100)
            began_s = time.monotonic()
            for _ in range(10):
                assert shared.status("/ips") == 200
            assert time.monotonic() - began_s < 20

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
            (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
            (
                b"POST /route_spec HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
                413,
            ),
            (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
            (b"rubbish\r\n\r\n", 400),
            (
                b"POST /route_spec HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                b"Content-Length: 3\r\nContent-Type: text/plain\r\n\r\n0\r\n\r\n",
                415,
            ),
        ],
        ids=["header", "line", "body", "unwanted", "negative", "no Host", "two", "rubbish", "both"],
    )
    def test_heads_that_are_refused(self, head: bytes, status: int, shared: Api) -> None:
        with shared.connect() as sock:
            sock.sendall(head)
            first = _read_all(sock).partition(b"\r\n")[0]
        assert first.split()[1:2] == [b"%d" % status], first
        assert shared.status("/") == 200

    def test_a_large_body_is_not_read_without_the_token(self, api: Api, token_file: Path) -> None:
        api.serve("--api_token_file", str(token_file))
        head = b"POST /route_spec HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n"
        with api.connect() as sock:
            sock.sendall(head + b"Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n")
            answer = _read_all(sock)
        assert answer.startswith(b"HTTP/1.1 401 "), answer
        assert b"www-authenticate: bearer" in answer.lower()


def test_no_secret_is_written_or_shown(api: Api, tmp_path: Path) -> None:
    said = "hunter2"
    daemon = api.start(
        *("-H", "multi", "--multi_plugins", "http:script", "--verbose"),
        *("--script_command", f"/bin/true --password {said} {{host}}"),
        *("--http_check_url", f"http://user:{said}@{{host}}/"),
    )
    assert daemon.wait_exit() == 78
    api.start(
        *("-H", "multi", "--multi_plugins", "http:script", "--verbose"),
        *("--script_command", f"/bin/true --password {said} {{host}}"),
        *("--http_check_url", f"http://{{host}}:{CHECK_PORT}/?token={said}"),
    )
    assert api.ask("/route_spec", "POST", SPEC, **_posted())[0] == 200
    daemon.wait_log("script", 20)
    for path in ("/", "/plugins", "/health", "/route_info"):
        for accept in ("application/json", "*/*", "text/html"):
            _, text, _ = api.ask(path, Accept=accept)
            assert said not in text, path
    api.end()
    assert said not in daemon.log()
    for file in (tmp_path / "state").rglob("*"):
        assert file.is_dir() or said.encode() not in file.read_bytes(), file


@needs(ROOT, "setpriv", "unshare")
class TestRights:
    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """A folder of that user's, which pytest's own are not."""
        path = Path(tempfile.mkdtemp(prefix="vpcrouter-"))
        os.chown(path, UID, UID)
        path.chmod(0o755)
        yield path
        shutil.rmtree(path)

    @pytest.fixture
    def daemon(self, ec2: EmbeddedEc2, net: Network, folder: Path) -> Iterator[Daemon]:
        flags = (
            *("-m", "fixedconf", "--fixed_cidr", CIDR, "--fixed_hosts", ":".join(HOSTS)),
            *("-v", net.vpc_id, "-r", "us-east-1", "-p", "0", "--route_recheck_interval", "1"),
            *("-H", "multi", "--multi_plugins", "icmpecho:script", "--icmp_check_interval", "0.3"),
            *("--script_command", "/bin/true", "--script_interval", "1", "--script_timeout", "0.5"),
            *("--state_dir", str(folder / "state"), "--control_socket", str(folder / "c.sock")),
        )
        with OrdinaryDaemon(ec2, folder, *flags) as daemon:
            yield daemon

    def test_only_the_supervisor_keeps_the_capability_for_the_monitor_that_needs_it(
        self, daemon: Daemon
    ) -> None:
        daemon.wait_log("event=ready", 40)
        wait_until(lambda: daemon.json("/ips")["unknown_ips"] == [], 10, daemon.log)
        pids = daemon.worker_pids()
        assert pids.keys() == {"reconciler", "fixedconf", "icmpecho", "script", "api", "control"}
        assert {found["CapEff"] for found in rights(daemon.pid)} & {"0000000000002000"}
        for name, pid in pids.items():
            threads = rights(pid)
            assert {found["Uid"].split()[1] for found in threads} == {str(UID)}
            for found in threads:
                sets = {found[f"Cap{each}"] for each in ("Inh", "Prm", "Eff", "Amb")}
                assert sets == {"0" * 16}, f"{name}: {found}"
                assert found["NoNewPrivs"] == ("0" if name == "script" else "1"), name
            # What cannot be dumped or traced belongs to root there (proc(5)).
            owner = Path(f"/proc/{pid}/environ").stat().st_uid
            assert owner == 0, name
        assert "could not drop unneeded capabilities" not in daemon.log()

    def test_a_monitor_that_is_started_anew_has_it_again(self, daemon: Daemon) -> None:
        daemon.wait_log("event=ready", 40)
        before = daemon.worker_pids()["icmpecho"]
        os.kill(before, 9)
        wait_until(lambda: daemon.worker_pids().get("icmpecho", before) != before, 10, daemon.log)
        wait_until(lambda: daemon.json("/ips")["unknown_ips"] == [], 10, daemon.log)

    def test_what_is_kept_is_kept_and_not_handed_down(self, folder: Path) -> None:
        code = (
            "import subprocess; from vpcrouter.linux import privileges as p;"
            "p.give_up({'CAP_NET_RAW', 'CAP_SYS_ADMIN'}); p.gain_no_more();"
            "print(open('/proc/self/status').read(), flush=True);"
            "subprocess.run(['cat', '/proc/self/status'])"
        )
        command = as_ordinary(
            [str(Path(sys.prefix) / "bin" / "python"), "-c", code], folder / "mounts", "net_raw"
        )
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        effective = [line.split()[1] for line in done.stdout.splitlines() if "CapEff" in line]
        assert effective == ["0000000000002000", "0" * 16], done.stderr

    def test_as_root_workers_keep_its_way_with_files_alone(
        self, ec2: EmbeddedEc2, net: Network, tmp_path: Path
    ) -> None:
        files = (1 << 1) | (1 << 2)
        flags = (
            *("-m", "http", "-H", "icmpecho", "-v", net.vpc_id, "-r", "us-east-1", "-p", "0"),
            *("--state_dir", str(tmp_path / "state"), "--control_socket", str(tmp_path / "c.sock")),
        )
        with Daemon(ec2, tmp_path, *flags) as daemon:
            daemon.wait_log("event=cycle", 40)
            wait_until(lambda: len(daemon.worker_pids()) == 4, 10, daemon.log)

            def kept() -> dict[str, int]:
                return {
                    name: int(found["CapPrm"], 16) & ~files
                    for name, pid in daemon.worker_pids().items()
                    for found in rights(pid)
                }

            wait_until(lambda: not any(kept().values()), 20, lambda: str(kept()))
