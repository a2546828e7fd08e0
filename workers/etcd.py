"""Watcher `etcd`: the route spec is in etcd, in one key or in one key per CIDR."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from vpcrouter.errors import SpecError
from vpcrouter.etcd.follower import ENDPOINTS, EtcdAccess, EtcdFollower, EtcdKeys, etcd_urls
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.model.spec import Document, parse_spec
from vpcrouter.options.kinds import PATH, TEXT, Option, seconds
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Watcher

TLS_OPTIONS = ("etcd_tls_ca", "etcd_tls_cert", "etcd_tls_key")


class Etcd(Watcher):
    """Follows the key, or all keys below the prefix, and yields the whole spec on each change.

    Each key below the prefix is the prefix and a CIDR (`PREFIX10.1.0.0/16`), and its value a JSON
    list of hosts.
    """

    name: ClassVar[str] = "etcd"
    version: ClassVar[str] = "1"

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        self.key: str | None = values["etcd_spec_key"]
        self.prefix: str | None = values["etcd_spec_prefix"]
        self.origin = f"etcd {self.key or self.prefix}"

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        yield Option(
            "etcd_endpoints",
            ENDPOINTS,
            ("localhost:2379",),
            "members of the etcd cluster, as host:port or URL",
        )
        yield Option(
            "etcd_spec_key",
            TEXT,
            None,
            "key that holds the whole route spec",
            example="/vpcrouter/route_spec",
        )
        yield Option(
            "etcd_spec_prefix",
            TEXT,
            None,
            "key prefix, ending with /; each key is the prefix and a CIDR, and its value a JSON "
            "list of hosts",
            example="/vpcrouter/routes/",
        )
        yield Option("etcd_user", TEXT, None, "user name for etcd", example="vpcrouter")
        yield Option(
            "etcd_password_file",
            PATH,
            None,
            "file with the password of etcd_user",
            example="/etc/vpcrouter/etcd-password",
        )
        yield Option(
            "etcd_tls_ca",
            PATH,
            None,
            "file with the CA certificates that etcd's certificate is verified against",
            default_text="the system's",
            example="/etc/vpcrouter/etcd-ca.pem",
        )
        yield Option(
            "etcd_tls_cert",
            PATH,
            None,
            "file with the client certificate for etcd",
            example="/etc/vpcrouter/etcd-client.pem",
        )
        yield Option(
            "etcd_tls_key",
            PATH,
            None,
            "file with the private key of etcd_tls_cert",
            example="/etc/vpcrouter/etcd-client.key",
        )
        yield Option(
            "etcd_timeout", seconds(0.1, 60.0), 3.0, "timeout for connecting and for each response"
        )

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        prefix = values["etcd_spec_prefix"]
        if (values["etcd_spec_key"] is None) == (prefix is None):
            yield "etcd: either etcd_spec_key or etcd_spec_prefix is needed, and not both"
        if prefix is not None and not prefix.endswith("/"):
            yield f"etcd_spec_prefix: must end with /, not {prefix!r}"
        is_whole = True
        for one, other in (
            ("etcd_user", "etcd_password_file"),
            ("etcd_tls_cert", "etcd_tls_key"),
        ):
            if (values[one] is None) != (values[other] is None):
                yield f"etcd: {one} and {other} must be given together"
                is_whole = False
        try:
            access = _access(values)
        except ValueError as error:
            yield f"etcd_endpoints: {error}"
            return
        if is_whole:
            yield from (f"etcd: {fault}" for fault in access.faults())

    def watch(self, mailbox: Mailbox) -> Iterator[Document | SpecError | None]:
        keys = EtcdKeys.one(self.key) if self.key else EtcdKeys.below(str(self.prefix))
        for found in EtcdFollower(_access(self.values), keys).follow(mailbox):
            if isinstance(found, SpecError):
                yield found
                continue
            try:
                yield of_key(self.key, found) if self.key else of_prefix(str(self.prefix), found)
            except SpecError as error:
                yield error


def _access(values: Values) -> EtcdAccess:
    """Raises ValueError with a sentence about the endpoints."""
    has_tls = any(values[name] is not None for name in TLS_OPTIONS)
    return EtcdAccess(
        etcd_urls(values["etcd_endpoints"], has_tls),
        values["etcd_tls_ca"],
        values["etcd_tls_cert"],
        values["etcd_tls_key"],
        values["etcd_user"],
        values["etcd_password_file"],
        values["etcd_timeout"],
    )


def of_key(key: str, found: Mapping[bytes, bytes]) -> bytes:
    """The value of `key`, a route spec. Raises SpecError; each fault names the key."""
    value = found.get(key.encode())
    if value is None:
        raise SpecError(
            [f"{key}: there is no such key; an empty route spec would delete every route"]
        )
    try:
        parse_spec(value)
    except SpecError as error:
        raise SpecError(f"{key}: {fault}" for fault in error.faults) from None
    return value


def of_prefix(prefix: str, found: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    """The route spec of all keys below `prefix`. Raises SpecError; each fault names its key."""
    if not found:
        raise SpecError([f"{prefix}: no key begins with it; an empty route spec would delete all"])
    faults: list[str] = []
    entries: dict[str, Any] = {}
    for key, value in found.items():
        name = key.decode(errors="backslashreplace")
        cidr = name.removeprefix(prefix)
        try:
            entries[cidr] = _hosts(value)
            parse_spec({cidr: entries[cidr]})
        except SpecError as error:
            own = f"{json.dumps(cidr)}: "
            faults += (f"{name}: {fault.removeprefix(own)}" for fault in error.faults)
    if not faults:
        try:
            parse_spec(entries)
        except SpecError as error:
            faults += (f"{prefix}: {fault}" for fault in error.faults)
    if faults:
        raise SpecError(faults)
    return entries


def _hosts(value: bytes) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise SpecError([f"bad JSON: {error}"]) from None
