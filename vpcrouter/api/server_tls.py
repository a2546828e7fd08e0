"""TLS of the API: its files, and connections that a non-blocking WSGI server can use."""

import os
import ssl
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vpcrouter.files.stamps import FileStamps
from vpcrouter.logs import setup as logs

MAX_RECORD_BYTES = 2**14
"""Who reads so much at once leaves nothing decrypted behind, that no poll would tell of."""
MISMATCH = "KEY_VALUES_MISMATCH"

log = logs.get(__name__)


def check_tls_files(cert: str | None, key: str | None) -> Iterator[str]:
    """A sentence for each thing wrong with the two files; both or none are given."""
    if cert is None and key is None:
        return
    if cert is None or key is None:
        missing, given = ("cert", "key") if cert is None else ("key", "cert")
        yield f"api_tls_{missing}: is needed beside api_tls_{given}"
        return
    try:
        load_context(cert, key)
    except ValueError as error:
        yield str(error)


def load_context(cert: str, key: str) -> ssl.SSLContext:
    """TLS 1.2 and later. Raises ValueError with a sentence that names the option."""
    for option, path in (("api_tls_cert", cert), ("api_tls_key", key)):
        try:
            with Path(path).open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        except OSError as error:
            raise ValueError(f"{option}: {path} cannot be read: {error.strerror}") from None
    if mode & stat.S_IRWXO:
        raise ValueError(
            f"api_tls_key: {key} is open to everybody (mode {mode:04o}); try: chmod o= {key}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A key under a password is refused; OpenSSL would ask for it on the terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        if error.reason == MISMATCH:
            raise ValueError(f"api_tls_key: {key} is not the key of {cert}") from None
        raise ValueError(
            f"api_tls_cert, api_tls_key: {cert} and {key} are no certificate and its key in PEM "
            "format, without a password"
        ) from None
    except ValueError:  # the key is under a password
        raise ValueError(f"api_tls_key: {key} is under a password; one without is needed") from None
    return context


class ServerTls:
    """The context of two files, made anew when they change: certificates are renewed."""

    def __init__(self, cert: str, key: str) -> None:
        """Raises ValueError with a sentence."""
        self._files = cert, key
        self._stamps = FileStamps(self._files)
        self._stamps.have_changed()
        self.context = load_context(cert, key)

    def renew(self) -> None:
        """Load the files if they have changed; the old ones stay when the new are no good."""
        if not self._stamps.have_changed():
            return
        try:
            self.context = load_context(*self._files)
        except ValueError as error:
            log.error("the API's TLS files have changed and are no good", why=str(error))
        else:
            log.info("the API's TLS files have changed; the new ones count")


class TlsSocket:
    """An SSLSocket that two threads may use: OpenSSL's connections can't stand that."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        """`sock` is non-blocking."""
        self._sock = sock
        self._lock = threading.Lock()

    def handshake(self) -> None:
        """Go on with it. Raises ssl.SSLWantReadError and its like, or OSError."""
        with self._lock:
            self._sock.do_handshake()

    def recv(self, size: int) -> bytes:
        with self._lock:
            return self._sock.recv(size)

    def send(self, data: Any) -> int:
        with self._lock:
            return self._sock.send(data)

    def say_goodbye(self) -> None:
        """Tell the client that no more comes, if that can be sent at once."""
        with self._lock:
            try:
                self._sock.unwrap()
            except (OSError, ValueError):
                return

    def close(self) -> None:
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, flag: int) -> None:
        self._sock.setblocking(bool(flag))

    def getsockopt(self, level: int, option: int) -> int:
        return self._sock.getsockopt(level, option)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self._sock.setsockopt(level, option, value)
