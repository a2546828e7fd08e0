"""TLS for the API: its files, and connections for a non-blocking WSGI server."""

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
"""Reading this much at once leaves no decrypted data buffered, which poll would not report."""
MISMATCH = "KEY_VALUES_MISMATCH"

log = logs.get(__name__)


def check_tls_files(cert: str | None, key: str | None) -> Iterator[str]:
    """The faults of the two files; either both are given or neither."""
    if cert is None and key is None:
        return
    if cert is None or key is None:
        missing, given = ("cert", "key") if cert is None else ("key", "cert")
        yield f"api_tls_{missing}: required together with api_tls_{given}"
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
            f"api_tls_key: {key} is accessible to other users (mode {mode:04o}); "
            f"try: chmod o= {key}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An encrypted key is refused; without this, OpenSSL would prompt on the terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        if error.reason == MISMATCH:
            raise ValueError(f"api_tls_key: {key} does not match certificate {cert}") from None
        raise ValueError(
            f"api_tls_cert, api_tls_key: {cert} and {key} must be a certificate and its "
            "unencrypted private key in PEM format"
        ) from None
    except ValueError:  # the key is encrypted
        raise ValueError(f"api_tls_key: {key} is encrypted; it must have no password") from None
    return context


class ServerTls:
    """The TLS context of two files, reloaded when they change (renewed certificates)."""

    def __init__(self, cert: str, key: str) -> None:
        """Raises ValueError with a sentence."""
        self._files = cert, key
        self._stamps = FileStamps(self._files)
        self._stamps.have_changed()
        self.context = load_context(cert, key)

    def renew(self) -> None:
        """Reload the files if they have changed; keep the old ones if the new are invalid."""
        if not self._stamps.have_changed():
            return
        try:
            self.context = load_context(*self._files)
        except ValueError as error:
            log.error("new API TLS files rejected; keeping the old ones", why=str(error))
        else:
            log.info("API TLS files reloaded")


class TlsSocket:
    """A thread-safe SSLSocket: OpenSSL's connections must not be used concurrently."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        """`sock` is non-blocking."""
        self._sock = sock
        self._lock = threading.Lock()

    def handshake(self) -> None:
        """Continue the handshake. Raises ssl.SSLWantReadError or SSLWantWriteError, or OSError."""
        with self._lock:
            self._sock.do_handshake()

    def recv(self, size: int) -> bytes:
        with self._lock:
            return self._sock.recv(size)

    def send(self, data: Any) -> int:
        with self._lock:
            return self._sock.send(data)

    def say_goodbye(self) -> None:
        """Send close_notify if that is possible without blocking."""
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
