"""A real etcd on loopback, its own command-line client, and a line to it that can be cut."""

import ipaddress
import itertools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.needs import needs
from tests.waiting import wait_until

needs_etcd = needs("etcd", "etcdctl")

_taken = itertools.count()


def _own_port() -> int:
    """A port that no other test run and no connection gets, even while this etcd is killed.

    Below those that the kernel gives away (ip(7), ip_local_port_range).
    """
    return 16384 + (os.getpid() * 64 + next(_taken)) % 16384


class EtcdServer:
    """One etcd with its data in `folder`; a context manager that ends it."""

    def __init__(self, folder: Path, *flags: str, tls: Mapping[str, Path] | None = None) -> None:
        self.folder = folder
        self.port, peer_port = _own_port(), _own_port()
        self.endpoint = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.endpoint}"
        peer_url = f"http://127.0.0.1:{peer_port}"
        self._flags = [
            *("--data-dir", str(folder / "etcd")),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url),
            *("--initial-cluster", f"default={peer_url}", "--logger", "zap"),
            *flags,
        ]
        self._ctl_flags: list[str] = []
        if tls:
            cert, key, ca = (str(tls[name]) for name in ("cert", "key", "ca"))
            self._flags += ["--cert-file", cert, "--key-file", key]
            self._flags += ["--trusted-ca-file", ca, "--client-cert-auth"]
            self._ctl_flags = ["--cert", cert, "--key", key, "--cacert", ca]
        self.login: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["etcd", *self._flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._is_up, 20, (self.folder / "etcd.log").read_text)

    def _is_up(self) -> bool:
        try:
            self.ctl("get", "x")
        except subprocess.CalledProcessError as error:
            # It answers, though it lets nobody in.
            return b"user name is empty" in error.stderr
        return True

    def kill(self) -> None:
        """SIGKILL: nothing is said to anybody."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wipe(self) -> None:
        """Lose all data; it must not be running."""
        assert self._process is None
        shutil.rmtree(self.folder / "etcd")

    def ctl(self, *arguments: str, text: str = "") -> str:
        """What etcdctl prints. Raises CalledProcessError."""
        return subprocess.run(
            [
                "etcdctl",
                *("--endpoints", self.url, "--command-timeout", "2s"),
                *self._ctl_flags,
                *self.login,
                *arguments,
            ],
            input=text.encode(),
            env={**os.environ, "ETCDCTL_API": "3"},
            capture_output=True,
            check=True,
            timeout=20,
        ).stdout.decode()

    def put(self, key: str, value: Any) -> None:
        """Text as it is, anything else as JSON."""
        self.ctl("put", key, text=value if isinstance(value, str) else json.dumps(value))

    def delete(self, *arguments: str) -> None:
        self.ctl("del", *arguments)

    def revision(self) -> int:
        answer = json.loads(self.ctl("get", "x", "-w", "json"))
        return int(answer["header"]["revision"])

    def compact(self) -> None:
        """Forget all history."""
        self.ctl("compact", "--physical", str(self.revision()))


class Line:
    """A TCP relay to `port`. Cut, it is as silent as a network that drops every packet."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._is_cut = False
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._wake, self._wake_end = socket.socketpair()
        self._is_closing = False
        self._thread = threading.Thread(target=self._relay, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closing = True
        self._poke()
        self._thread.join()
        for each in (*self._pairs, self._listener, self._wake, self._wake_end):
            each.close()

    def cut(self) -> None:
        self._is_cut = True
        self._poke()

    def mend(self) -> None:
        self._is_cut = False
        self._poke()

    @property
    def connections(self) -> int:
        return len(self._pairs) // 2

    def _poke(self) -> None:
        self._wake_end.send(b"x")

    def _relay(self) -> None:
        while not self._is_closing:
            sources = [] if self._is_cut else [self._listener, *self._pairs]
            ready, _, _ = select.select([self._wake, *sources], [], [])
            for source in ready:
                if source is self._wake:
                    self._wake.recv(100)
                elif self._is_cut:
                    break
                elif source is self._listener:
                    self._accept()
                elif source in self._pairs:
                    self._pass_on(source)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._to))
        except OSError:
            near.close()
            return
        self._pairs[near], self._pairs[far] = far, near

    def _pass_on(self, source: socket.socket) -> None:
        try:
            piece = source.recv(65536)
            self._pairs[source].sendall(piece)
        except OSError:
            piece = b""
        if not piece:
            for each in (source, self._pairs[source]):
                del self._pairs[each]
                each.close()


def make_certificates(folder: Path, name: str = "etcd") -> dict[str, Path]:
    """A throw-away CA; the files `cert`, `key` and `ca`, good for server and client alike.

    `name` is the common name in the certificate, which may be empty.
    """
    now = datetime.now(UTC)
    ca_key, own_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throw-away CA")])
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    ca = (
        x509.CertificateBuilder()
        .subject_name(ca_name)
        .issuer_name(ca_name)
        .public_key(ca_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    # etcd's gateway is a client of etcd itself, with the server's certificate.
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    own = (
        x509.CertificateBuilder()
        .subject_name(own_name)
        .issuer_name(ca_name)
        .public_key(own_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=not name,
        )
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    files = {each: folder / f"{each}.pem" for each in ("cert", "key", "ca")}
    files["cert"].write_bytes(own.public_bytes(serialization.Encoding.PEM))
    files["ca"].write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files["key"].write_bytes(
        own_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
