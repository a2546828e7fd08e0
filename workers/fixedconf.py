"""Watcher `fixedconf`: one route from the command line; also the simplest watcher to copy."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from vpcrouter.errors import SpecError
from vpcrouter.ipc.mailbox import Mailbox
from vpcrouter.model.spec import Document, parse_spec
from vpcrouter.options.kinds import TEXT, Option
from vpcrouter.options.values import Values
from vpcrouter.plugins.contract import Watcher

IDLE_S = 3600.0


class FixedConf(Watcher):
    """Yields one route spec, then waits."""

    name: ClassVar[str] = "fixedconf"
    version: ClassVar[str] = "1"

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        yield Option("fixed_cidr", TEXT, None, "CIDR of the only route", example="10.1.0.0/16")
        yield Option(
            "fixed_hosts",
            TEXT,
            None,
            "hosts for fixed_cidr, separated by colons",
            example="10.33.20.1:10.33.20.2",
        )

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        for name in ("fixed_cidr", "fixed_hosts"):
            if values[name] is None:
                yield f"{name}: is needed in mode fixedconf"
                return
        try:
            parse_spec(_document(values))
        except SpecError as error:
            yield from (f"fixedconf: {fault}" for fault in error.faults)

    def watch(self, mailbox: Mailbox) -> Iterator[Document | SpecError | None]:
        yield _document(self.values)
        while True:
            mailbox.wait(IDLE_S)


def _document(values: Values) -> Document:
    return {values["fixed_cidr"]: values["fixed_hosts"].split(":")}
