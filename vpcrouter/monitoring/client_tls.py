"""TLS settings of a client: trusted CAs and the client certificate."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vpcrouter.files.stamps import FileStamps
from vpcrouter.logs import setup as logs

LOOK_S = 60.0

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files, and whether servers' certificates are verified.

    Without `ca` the system's CAs are trusted; without `key` the key is in the file `cert`.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True

    def load(self) -> ssl.SSLContext:
        """Raises ValueError with a sentence."""
        context = self._of_authorities()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert is not None:
            _check_readable(self.cert)
            _check_readable(self.key or self.cert)
            try:
                # An encrypted key is refused; OpenSSL would prompt for its password.
                context.load_cert_chain(self.cert, self.key, password="")
            except (ssl.SSLError, ValueError):
                where = self.cert if self.key is None else f"{self.cert} and {self.key}"
                raise ValueError(
                    f"{where}: not a certificate with its unencrypted private key"
                ) from None
        return context

    def _of_authorities(self) -> ssl.SSLContext:
        if self.ca is None:
            return ssl.create_default_context()
        _check_readable(self.ca)
        try:
            return ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError:
            raise ValueError(f"{self.ca}: no PEM certificates found") from None

    def paths(self) -> Iterator[str]:
        """The files that there are."""
        yield from filter(None, (self.ca, self.cert, self.key))


class ClientTls:
    """A TLS context that is reloaded when its files change, as when certificates are renewed."""

    def __init__(
        self, files: TlsFiles | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._files = files or TlsFiles()
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._stamps = FileStamps(self._files.paths())
        self._stamps.have_changed()
        self._looked_s = clock()

    def context(self) -> ssl.SSLContext:
        """Raises ValueError with a sentence if the files have never been valid."""
        if self._context is None:
            self._context = self._files.load()
        elif self._clock() - self._looked_s >= LOOK_S:
            self._looked_s = self._clock()
            if self._stamps.have_changed():
                self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            self._context = self._files.load()
        except ValueError as error:
            log.error("new TLS files rejected; keeping the old ones", why=error)
        else:
            log.info("TLS files reloaded")


def _check_readable(path: str) -> None:
    try:
        with Path(path).open("rb"):
            return
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
