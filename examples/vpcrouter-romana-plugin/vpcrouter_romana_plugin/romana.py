"""Watcher `romana`: the route spec follows the topology that Romana 2.0 keeps in etcd."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from vpcrouter.plugin import (
    PATH,
    TEXT,
    Document,
    EtcdAccess,
    EtcdFollower,
    EtcdKeys,
    Mailbox,
    Option,
    SpecError,
    Values,
    Watcher,
    etcd_urls,
    whole,
)

from vpcrouter_romana_plugin import __version__
from vpcrouter_romana_plugin.topology import routes_of

KEY = "/romana/ipam/data"
TLS_OPTIONS = ("etcd_ca_cert", "etcd_priv_key", "etcd_cert_chain")


class Romana(Watcher):
    """Yields a route for every group of hosts, anew at each change of the topology."""

    name: ClassVar[str] = "romana"
    version: ClassVar[str] = __version__
    origin = f"etcd {KEY}"

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        yield Option("etcd_addr", TEXT, "localhost", "address of Romana's etcd")
        yield Option("etcd_port", whole(1, 65_535, "PORT"), 2379, "port of Romana's etcd")
        yield Option(
            "etcd_ca_cert",
            PATH,
            None,
            "file with the CA certificates that etcd's certificate is verified against",
        )
        yield Option("etcd_priv_key", PATH, None, "file with the private key of etcd_cert_chain")
        yield Option(
            "etcd_cert_chain", PATH, None, "file with the client certificate and its chain"
        )

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        if (values["etcd_priv_key"] is None) != (values["etcd_cert_chain"] is None):
            yield "romana: etcd_priv_key and etcd_cert_chain must be given together"
            return
        try:
            yield from (f"romana: {fault}" for fault in _access(values).faults())
        except ValueError as error:
            yield f"etcd_addr: {error}"

    def watch(self, mailbox: Mailbox) -> Iterator[Document | SpecError | None]:
        for found in EtcdFollower(_access(self.values), EtcdKeys.one(KEY)).follow(mailbox):
            if isinstance(found, SpecError):
                yield found
                continue
            topology = found.get(KEY.encode())
            try:
                if topology is None:
                    raise SpecError(["there is no such key: either no Romana, or not its etcd"])
                yield routes_of(topology)
            except SpecError as error:
                yield SpecError(f"{KEY}: {fault}" for fault in error.faults)


def _access(values: Values) -> EtcdAccess:
    """Raises ValueError with a sentence about the address."""
    host = values["etcd_addr"]
    endpoint = f"[{host}]" if ":" in host else host
    has_tls = any(values[name] is not None for name in TLS_OPTIONS)
    return EtcdAccess(
        etcd_urls((f"{endpoint}:{values['etcd_port']}",), has_tls),
        ca=values["etcd_ca_cert"],
        cert=values["etcd_cert_chain"],
        key=values["etcd_priv_key"],
    )
