"""Checks a prober's count of answers against the kernel's counters."""

from pathlib import Path
from typing import Protocol

TABLES = Path("/proc/self/net")
"""The counters of this network namespace (snmp_counter.rst of the kernel's documentation)."""


class KernelCount:
    """The sum of some of the kernel's counters, each named `Protocol.Field` as in nstat(8)."""

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)

    def read(self) -> int | None:
        """None where the kernel does not provide it."""
        try:
            rows = {**_snmp(), **_snmp6()}
        except (OSError, ValueError):
            return None
        found = [rows[name] for name in self._names if name in rows]
        return sum(found) if found else None


def _snmp() -> dict[str, int]:
    """Two lines per protocol: the names, then the numbers."""
    lines = (TABLES / "snmp").read_text(encoding="ascii").splitlines()
    rows: dict[str, int] = {}
    for names, numbers in zip(lines[::2], lines[1::2], strict=True):
        protocol, *fields = names.split()
        values = map(int, numbers.split()[1:])
        rows.update(zip((f"{protocol[:-1]}.{field}" for field in fields), values, strict=True))
    return rows


def _snmp6() -> dict[str, int]:
    """One name and number per line; the table does not exist without IPv6."""
    try:
        lines = (TABLES / "snmp6").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return {}
    return {name: int(number) for name, number in map(str.split, lines)}


class Audited(Protocol):
    """The part of a prober that is audited."""

    @property
    def answers(self) -> int: ...

    def counted(self) -> int | None: ...


class Audit:
    """Compares a prober's count of answers with the packets the kernel received.

    The kernel also counts what other programs receive. So this may miss invented answers, but
    never doubts real ones.
    """

    def __init__(self, prober: Audited) -> None:
        self._prober = prober
        self._told = 0
        self._base: int | None = None
        self._seen: int | None = None

    def look(self) -> str:
        """Why the answers since `begin` are not trusted, or an empty string."""
        told = self._prober.answers - self._told
        self._seen = self._prober.counted()
        if self._base is None or self._seen is None or told <= (came := self._seen - self._base):
            return ""
        return f"{told} answers counted, but the kernel received at most {came}"

    def begin(self) -> None:
        """Restart counting. All that had arrived by the last `look` must have been read."""
        self._told = self._prober.answers
        self._base = self._seen
