"""Access control of the API: by listening address, Host and Origin headers, and token.

On loopback, reading needs no token. Elsewhere everything except the status of `/health` does.
Writing needs the token wherever one is configured.
"""

import hmac
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vpcrouter.api.server_tls import check_tls_files
from vpcrouter.errors import ConfigError
from vpcrouter.files.stamps import FileStamps
from vpcrouter.options.groups import AccessSettings

MIN_TOKEN_CHARACTERS = 16
MAX_TOKEN_BYTES = 4096
OPEN_PATHS = frozenset({"/health"})
"""Read by load balancers, which have no token; they get the status without details."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_TOKEN = re.compile(rb"[\x21-\x7e]+")
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


def is_loopback(address: str) -> bool:
    """Whether an address, or every address of a name, is a loopback address."""
    if address in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(where[0]).is_loopback for *_, where in found)


def read_token(path: str) -> bytes:
    """The token in a file. Raises ValueError with a sentence that does not contain the token."""
    try:
        with Path(path).open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_TOKEN_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if mode & stat.S_IRWXO:
        raise ValueError(
            f"{path} is accessible to other users (mode {mode:04o}); try: chmod o= {path}"
        )
    token = content.strip()
    if len(token) < MIN_TOKEN_CHARACTERS:
        raise ValueError(
            f"{path} has a token of {len(token)} characters; {MIN_TOKEN_CHARACTERS} or more are "
            "required; try: openssl rand -hex 32"
        )
    if len(content) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(token):
        raise ValueError(f"{path} must contain one line of printable ASCII without spaces")
    return token


def check_access(settings: AccessSettings) -> Iterator[str]:
    """The faults of the API's options."""
    if settings.api_token_file is not None:
        try:
            read_token(settings.api_token_file)
        except ValueError as error:
            yield f"api_token_file: {error}"
    elif not is_loopback(settings.address):
        yield f"address: {_why_not_open(settings.address)}"
    yield from check_tls_files(settings.api_tls_cert, settings.api_tls_key)


def refuse_open(bound: str, settings: AccessSettings) -> None:
    """Raise ConfigError if the socket is bound to an address that the options do not allow.

    A host name may resolve differently than when it was checked.
    """
    if settings.api_token_file is None and not is_loopback(bound.partition("%")[0]):
        raise ConfigError([f"address: {_why_not_open(bound)}"])


def _why_not_open(address: str) -> str:
    return (
        f"{address} is reachable from other machines, which requires api_token_file, a file with "
        "a secret token; or use localhost"
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: an HTTP status and a sentence."""

    status: int
    sentence: str


class Gate:
    """Admits or refuses requests by their headers. Thread-safe; the token can be reloaded."""

    def __init__(self, settings: AccessSettings, bound: str) -> None:
        """`bound` is the socket's actual address, whatever its name resolves to now.

        Raises ConfigError for an invalid token file.
        """
        self._path = settings.api_token_file
        self._token = b""
        address = settings.address.lower().rstrip(".")
        self.is_local = is_loopback(bound)
        self._serves_any_address = ipaddress.ip_address(bound).is_unspecified
        self._names = LOOPBACK_NAMES | {address, bound} | set(settings.api_hosts)
        self._stamps = FileStamps(filter(None, [self._path]))
        try:
            self.renew()
        except ValueError as error:
            raise ConfigError([f"api_token_file: {error}"]) from None

    def renew(self) -> bool:
        """Reload the token if its file has changed; returns whether it did.

        Raises ValueError with a sentence, once for each change; the old token then stays valid.
        """
        if self._path is None or not self._stamps.have_changed():
            return False
        self._token = read_token(self._path)
        return True

    def refusal(self, method: str, path: str, head: Mapping[str, str]) -> Refusal | None:
        """Why a request is refused, or None.

        `head` has `host`, `origin` and `authorization`, "" for each not sent.
        """
        if (refusal := self.refusal_of_host(head["host"], "Host header")) is not None:
            return refusal
        if (origin := head["origin"]) and not _is_same(origin, head["host"]):
            return Refusal(403, "cross-origin requests are refused")
        if self._needs_token(method, path) and not self.is_trusted(head["authorization"]):
            return Refusal(401, "token required; send Authorization: Bearer TOKEN")
        return None

    def refusal_of_host(self, authority: str, where: str) -> Refusal | None:
        """Why a request to this authority is refused, or None; `where` says what it is from."""
        host = _host_of(authority)
        if host is None:
            return Refusal(400, f"missing or invalid {where}")
        if not self._is_served(host):
            return Refusal(421, f"{host} is not a name of this API; add it to api_hosts")
        return None

    def is_trusted(self, authorization: str) -> bool:
        """Whether the header has the valid token."""
        scheme, _, given = authorization.partition(" ")
        # Compare in every case, so that the time taken reveals nothing.
        is_same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        return is_same and scheme.lower() == "bearer" and bool(self._token)

    def may_see_all(self, authorization: str) -> bool:
        """Whether the sender may see the details of open paths."""
        return self.is_local or self.is_trusted(authorization)

    def _needs_token(self, method: str, path: str) -> bool:
        if method not in READING:
            return bool(self._token) or not self.is_local
        return not self.is_local and path not in OPEN_PATHS

    def _is_served(self, host: str) -> bool:
        """Guards against DNS rebinding; a numeric address needs no DNS, so it is safe."""
        if host in self._names:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return self._serves_any_address or (self.is_local and address.is_loopback)


def _host_of(authority: str) -> str | None:
    """The host in a Host header, lower case and without brackets, port and final dot."""
    found = _AUTHORITY.fullmatch(authority)
    return (found[1] or found[2]).lower().rstrip(".") if found else None


def _is_same(origin: str, host: str) -> bool:
    scheme, _, authority = origin.lower().partition("://")
    return scheme in {"http", "https"} and authority == host.lower()
