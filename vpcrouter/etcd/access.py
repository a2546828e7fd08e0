"""How to reach an etcd, and the files that let one in."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vpcrouter.errors import EtcdError


@dataclass(frozen=True, slots=True)
class EtcdAccess:
    """How to reach an etcd cluster: URLs of its members, TLS files and credentials.

    `timeout_s` applies to connecting and to each response. Files are read again for each
    connection or login, so that they may be replaced.
    """

    urls: tuple[str, ...]
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    user: str | None = None
    password_file: str | None = None
    timeout_s: float = 3.0

    def faults(self) -> Iterator[str]:
        """A sentence for each fault in the files."""
        for check in (self.tls, self.password):
            try:
                check()
            except EtcdError as error:
                yield str(error)

    def tls(self) -> ssl.SSLContext:
        """Raises EtcdError if a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise EtcdError(f"the CA {self.ca} cannot be used: {why_os(error)}") from None
        if self.cert is not None:
            try:
                # Without a password, OpenSSL would prompt for one on the terminal.
                context.load_cert_chain(self.cert, self.key, password="")
            except (OSError, ValueError) as error:
                why = why_os(error) if isinstance(error, OSError) else str(error)
                raise EtcdError(
                    f"the certificate {self.cert} with the key {self.key} cannot be used: {why}"
                ) from None
        return context

    def password(self) -> str:
        """Raises EtcdError if the file cannot be read."""
        if self.password_file is None:
            return ""
        try:
            return Path(self.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = why_os(error) if isinstance(error, OSError) else "not UTF-8 text"
            raise EtcdError(f"{self.password_file} cannot be read: {why}") from None


def why_os(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return error.strerror or str(error)
