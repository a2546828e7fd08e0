"""Monitor `always`: every host is healthy; for trials."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from vpcrouter.plugins.contract import Monitor


class Always(Monitor):
    """Reports all hosts healthy without checking them."""

    name: ClassVar[str] = "always"
    version: ClassVar[str] = "1"
    probes: ClassVar[bool] = False

    def do_health_checks(self, hosts: Sequence[str]) -> tuple[Iterable[str], Iterable[str]]:
        return (), ()
