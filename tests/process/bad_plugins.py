"""Plugins that do not keep their contract, for the tests."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from vpcrouter.plugin import Document, Mailbox, Monitor, SpecError, Watcher


class Bad_plugins:  # noqa: N801 - what the dotted path of this module names
    """No plugin at all."""


class Bad(Monitor):
    """Base of those below, each chosen through a module of its own."""

    version: ClassVar[str] = "0"

    @classmethod
    def interval_s(cls, values: Any) -> float:
        return 0.2


class Raising(Bad):
    name: ClassVar[str] = "raising"

    def do_health_checks(self, hosts: Sequence[str]) -> tuple[Iterable[str], Iterable[str]]:
        raise ZeroDivisionError("on purpose")


class Nonsense(Bad):
    name: ClassVar[str] = "nonsense"

    def do_health_checks(self, hosts: Sequence[str]) -> Any:
        return ["127.0.0.99"], 7


class Hanging(Bad):
    name: ClassVar[str] = "hanging"

    def do_health_checks(self, hosts: Sequence[str]) -> tuple[Iterable[str], Iterable[str]]:
        while True:
            time.sleep(1)


class Leaking(Bad):
    name: ClassVar[str] = "leaking"
    kept: ClassVar[list[bytes]] = []

    def do_health_checks(self, hosts: Sequence[str]) -> tuple[Iterable[str], Iterable[str]]:
        self.kept.append(b"x" * 200_000_000)
        return (), ()


class Crashing(Watcher):
    """Yields a good spec once, then raises."""

    name: ClassVar[str] = "crashing"
    version: ClassVar[str] = "0"

    def watch(self, mailbox: Mailbox) -> Iterator[Document | SpecError | None]:
        yield {"10.55.0.0/16": ["127.0.1.10"]}
        mailbox.wait(0.5)
        raise ZeroDivisionError("on purpose")


class Babbling(Watcher):
    """Yields what is no route spec."""

    name: ClassVar[str] = "babbling"
    version: ClassVar[str] = "0"

    def watch(self, mailbox: Mailbox) -> Iterator[Any]:
        yield {"10.55.0.0/16": ["127.0.1.10"]}
        while True:
            mailbox.wait(0.2)
            yield {1: object(), "10.0.0.0/8": {"x"}}
