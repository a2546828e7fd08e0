"""Faults: which calls they hit, how often, and what they make of the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from .answers import Answer, NoAnswerError, ResetError
from .calls import Call
from .error_codes import refusal
from .subjects import subjects_of

HANG_LIMIT_S = 60.0
REPLACING = ("error", "garbage", "drop", "reset")
"""These replace the answer of a call that is not executed, or, with `after`, of one that is."""
ALTERING = ("slow", "half", "truncated")
"""These spoil the answer of a call that is executed."""
KINDS = (*REPLACING, *ALTERING, "delay", "hang", "stale")
SCOPES = ("table", "cidr", "interface", "instance")
GARBAGE = b"<html><h1>\x00\xff It works!</h1"


@dataclass(kw_only=True)
class Fault:
    """Something to go wrong with each call whose action matches `action` (fnmatch).

    Only with calls that name a matching table, CIDR, interface or instance (`subjects`), and are
    signed with a matching access key, where these are given. Only every `every`-th of them, and
    `times` at most.

    `error` answers `code`, with status and message of EC2 unless told otherwise; with
    `http_status` 200 it is an answer whose body carries the error. `garbage` is HTML. `drop`
    closes the connection, `reset` resets it. `truncated` is XML that ends in its middle; `half`
    announces the whole answer and closes the connection after half of it; `slow` sends a byte
    every `seconds`. `delay` waits `seconds`, then lets the call go on. `hang` waits until the
    faults are replaced, then drops the connection; the call is not executed. `stale` shows routes
    and interfaces as they were `seconds` ago, at the earliest when the fault was set; its table,
    CIDR and interface say what of the answer is old.
    """

    action: str
    kind: str
    table: str | None = None
    cidr: str | None = None
    interface: str | None = None
    instance: str | None = None
    access_key: str = "*"
    code: str = "InternalError"
    message: str | None = None
    http_status: int | None = None
    seconds: float = 0.0
    every: int = 1
    times: int | None = None
    after: bool = False
    seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.after and self.kind not in REPLACING:
            raise ValueError(f"kind {self.kind!r} can't come after the call")
        if self.kind in ("slow", "stale") and self.seconds <= 0:
            raise ValueError(f"kind {self.kind!r} needs seconds")
        if self.kind == "stale" and self.instance is not None:
            raise ValueError("stale reads are of tables, CIDRs and interfaces")

    def hits(self, call: Call) -> bool:
        """Whether the fault is this call's, which is counted."""
        if not self._concerns(call) or self.times == 0:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def _concerns(self, call: Call) -> bool:
        if not fnmatchcase(call.action, self.action):
            return False
        if not fnmatchcase(call.access_key, self.access_key):
            return False
        return self.kind == "stale" or all(self._names(call))

    def _names(self, call: Call) -> Iterator[bool]:
        for name in SCOPES:
            pattern = getattr(self, name)
            if pattern is not None:
                yield any(fnmatchcase(each, pattern) for each in subjects_of(call, name))

    def replaced(self, call: Call) -> Answer:
        """The answer that a REPLACING fault gives to the call, executed or not."""
        if self.kind == "drop":
            raise NoAnswerError
        if self.kind == "reset":
            raise ResetError
        if self.kind == "garbage":
            return Answer(200, GARBAGE, [("Content-Type", "text/html")])
        return refusal(call, self.code, self.message, self.http_status)

    def altered(self, answer: Answer) -> Answer:
        """What an ALTERING fault makes of the answer."""
        if self.kind == "truncated":
            return replace(answer, body=answer.half)
        return replace(answer, is_cut=self.kind == "half", pace_s=self.seconds)


@dataclass
class Fate:
    """What the faults make of a call: `fault` decides the answer, `stale` what it shows."""

    fault: Fault | None = None
    stale: list[Fault] = field(default_factory=list)


class Faults:
    """The faults in force; `state` guards them, and is notified when they are replaced."""

    def __init__(self, state: threading.Condition) -> None:
        self._state = state
        self._faults: list[Fault] = []
        self._version = 0

    @property
    def history_s(self) -> float:
        """How far back stale reads look."""
        return max((fault.seconds for fault in self._faults if fault.kind == "stale"), default=0.0)

    def replace(self, faults: list[Fault]) -> None:
        with self._state:
            self._faults = faults
            self._version += 1
            self._state.notify_all()

    def suffer(self, call: Call, is_void: Callable[[], bool]) -> Fate:
        """Wait as the faults say; a delay ends early when the call is void."""
        fate = Fate()
        with self._state:
            version = self._version
            for fault in self._faults:
                if not fault.hits(call):
                    continue
                if fault.kind == "delay":
                    self._state.wait_for(is_void, fault.seconds)
                elif fault.kind == "hang":
                    self._state.wait_for(lambda: self._version != version, HANG_LIMIT_S)
                    raise NoAnswerError
                elif fault.kind == "stale":
                    fate.stale.append(fault)
                else:
                    fate.fault = fault
                    break
        return fate

    def waiter(self) -> Callable[[float], bool]:
        """Waits for so many seconds; False once the faults of today are replaced."""
        version = self._version

        def wait(seconds: float) -> bool:
            with self._state:
                return not self._state.wait_for(lambda: self._version != version, seconds)

        return wait
