"""Monitor `http`: a host is healthy if it answers a GET request as expected."""

import re
from collections.abc import Iterable
from typing import ClassVar

from vpcrouter.errors import ConfigError
from vpcrouter.monitoring.client_tls import ClientTls, TlsFiles
from vpcrouter.monitoring.http import CheckUrl, HttpCheck, HttpProber, Statuses
from vpcrouter.options.kinds import PATH, SWITCH, TEXT, Kind, Option
from vpcrouter.options.values import Values
from vpcrouter.plugins.probing_monitor import ProbingMonitor

PREFIX = "http_check"
NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")


def _url(value: str) -> str:
    CheckUrl.of(value)
    return value


def _statuses(value: str) -> str:
    Statuses.of(value)
    return value


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("must be a host's name or IP address")
    return value


def _tls_options() -> Iterable[Option]:
    yield Option(
        f"{PREFIX}_ca",
        PATH,
        None,
        "file with the CA certificates that are trusted",
        default_text="the system's",
        example="/etc/vpcrouter/ca.pem",
    )
    yield Option(
        f"{PREFIX}_cert",
        PATH,
        None,
        "file with the client certificate",
        example="/etc/vpcrouter/client.pem",
    )
    yield Option(
        f"{PREFIX}_key",
        PATH,
        None,
        "file with the private key of http_check_cert",
        default_text="in the file http_check_cert",
        example="/etc/vpcrouter/client.key",
    )
    yield Option(f"{PREFIX}_verify", SWITCH, True, "verify the hosts' certificates")
    yield Option(
        f"{PREFIX}_server_name",
        Kind("NAME", _name),
        None,
        "name that the hosts' certificates must contain; also sent as SNI and Host header",
        default_text="each host's address",
        example="router.example.com",
    )


class Http(ProbingMonitor):
    """Needs no privileges."""

    name: ClassVar[str] = "http"
    version: ClassVar[str] = "1"
    prefix: ClassVar[str] = PREFIX

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        yield Option(
            f"{PREFIX}_url",
            Kind("URL", _url),
            None,
            "URL to request, such as http://{host}:8080/healthz; {host} is each host's address",
            example="http://{host}:8080/healthz",
        )
        yield Option(
            f"{PREFIX}_status",
            Kind("N,N-N,...", _statuses),
            "200-399",
            "HTTP statuses that count as healthy; redirects are not followed",
        )
        yield Option(
            f"{PREFIX}_body",
            TEXT,
            None,
            "text that the first 64 KiB of the response body must contain",
            example="ready",
        )
        yield from super().add_arguments()
        yield from _tls_options()

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        yield from super().check_arguments(values)
        ca, cert, key = (values[f"{PREFIX}_{name}"] for name in ("ca", "cert", "key"))
        if key is not None and cert is None:
            yield f"{PREFIX}_key: has no effect without {PREFIX}_cert"
        if values[f"{PREFIX}_url"] is None:
            yield f"{PREFIX}_url: is needed, such as http://{{host}}:8080/healthz"
            return
        if not CheckUrl.of(values[f"{PREFIX}_url"]).is_tls:
            for name, value in (("ca", ca), ("cert", cert), ("key", key)):
                if value is not None:
                    yield f"{PREFIX}_{name}: has no effect unless {PREFIX}_url begins with https://"
            return
        try:
            _tls_files(values).load()
        except ValueError as error:
            yield f"{PREFIX} options for TLS: {error}"

    def make_prober(self) -> HttpProber:
        """Raises ConfigError if the TLS files are not valid any more."""
        values = self.values
        tls = ClientTls(_tls_files(values))
        check = HttpCheck(
            CheckUrl.of(values[f"{PREFIX}_url"]),
            Statuses.of(values[f"{PREFIX}_status"]),
            (values[f"{PREFIX}_body"] or "").encode(),
            tls,
            values[f"{PREFIX}_server_name"] or "",
        )
        if check.url.is_tls:
            try:
                tls.context()
            except ValueError as error:
                raise ConfigError([f"{PREFIX} options for TLS: {error}"]) from None
        return HttpProber(self.name, check)


def _tls_files(values: Values) -> TlsFiles:
    return TlsFiles(
        values[f"{PREFIX}_ca"],
        values[f"{PREFIX}_cert"],
        values[f"{PREFIX}_key"],
        values[f"{PREFIX}_verify"],
    )
