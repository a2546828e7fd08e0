"""What may come back for a probe, and what each monitor makes of it.

A state is what it leads to when it comes for every probe, in the time that follows from the
monitor's settings. When it comes once, it leads to nothing: one miss moves no host.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.net.conftest import HOSTS_SIDE
from tests.net.deeds import AddressGone, Deed, FullQueue, NoNeighbour, Route
from tests.net.packets import Kind
from tests.net.rules import (
    Damaged,
    Error,
    FromElsewhere,
    InFragments,
    Late,
    Lose,
    PathMtu,
    Repeated,
    Reset,
    Rule,
    Silence,
    Truncated,
    When,
    WrongChecksum,
    packed,
)
from vpcrouter.model.host_state import State

COLUMNS = ("tcp", "http", "icmpecho", "ping", "nc")
"""The monitors; the last two are `script` with these programs."""
HEALTHY, FAILED, UNKNOWN, NOT_TRIED = State.HEALTHY, State.FAILED, State.UNKNOWN, None
CLEAN = ("198.18.0.1", "198.18.0.2", "198.18.0.3", "fd18::1", "fd18::2", "fd18::3")
"""Hosts that nothing happens to."""
MIMIC = "198.18.0.9"
"""A host that is silent, and in whose name another answers."""
ROUTER, ROUTER_6 = "10.77.0.9", "fd77::9"
LATE_S = 1.2
"""Later than any monitor's time-out, and by more than a round of the probing ones."""
INSTEAD, BEFORE, AFTER = When.INSTEAD, When.BEFORE, When.AFTER
MTU = (1280).to_bytes(4)
GATEWAY, FROM_GATEWAY = packed(HOSTS_SIDE), ("", HOSTS_SIDE)
"""Only its own gateway's redirects does a host believe, and this one leads to it again."""

Cell = State | None
Cells = tuple[Cell, Cell, Cell, Cell, Cell]


@dataclass(frozen=True)
class Row:
    """`what` comes back, or befalls the host; `cells` are the states, in the order of COLUMNS.

    `reach` says where the host lies: behind a router (`far`, `far6`), on the monitor's own link
    (`link`, `link6`), or `narrow`: one with a listener of its own. `host` is given where it matters
    which one it is.
    """

    what: str
    thing: Rule | Deed
    cells: Cells
    reach: str = "far"
    host: str = ""

    def state(self, column: str) -> Cell:
        return self.cells[COLUMNS.index(column)]


H, F, U, N = HEALTHY, FAILED, UNKNOWN, NOT_TRIED
# fmt: off
ROWS = (
    #                                                                  tcp http echo ping nc
    Row("silence", Silence(),                                           (F, F, F, F, F)),
    Row("silence, IPv6", Silence(),                                     (F, F, F, F, F), "far6"),
    Row("its probes are lost", Lose(Kind.PROBE, from_monitor=True),     (F, F, F, N, N)),
    Row("its answers are lost", Lose(),                                 (F, F, F, F, F)),
    Row("its answers are lost, IPv6", Lose(),                           (F, F, F, N, N), "far6"),
    Row("requests are lost", Lose(Kind.DATA, from_monitor=True),        (N, F, N, N, N)),
    Row("data is lost", Lose(Kind.DATA),                                (N, F, N, N, N)),
    # Resets
    Row("reset", Reset(),                                               (F, F, N, N, F)),
    Row("reset, IPv6", Reset(),                                         (F, F, N, N, F), "far6"),
    Row("reset, then the answer", Reset(BEFORE),                        (F, F, N, N, F)),
    Row("answer, then a reset", Reset(AFTER),                           (N, F, N, N, N)),
    Row("reset of the request", Reset(on_request=True),                 (N, F, N, N, N)),
    Row("stray reset", Reset(is_genuine=False),                         (F, F, N, N, F)),
    Row("stray reset, then the answer", Reset(BEFORE, is_genuine=False), (H, H, N, N, H)),
    Row("reset late by a round", Reset(delay_s=LATE_S),                 (F, F, N, N, F)),
    Row("three resets", Reset(copies=3),                                (F, F, N, N, N)),
    # Answers that are not quite as they should be; ping is less strict than we are
    Row("three times", Repeated(3),                                     (H, H, H, H, H)),
    Row("three times, IPv6", Repeated(3),                               (H, H, H, N, N), "far6"),
    Row("in time, and again late by a round", Repeated(2, LATE_S),      (H, H, H, H, H)),
    Row("late by a round", Late(LATE_S),                                (F, F, F, F, F)),
    Row("late by a round, IPv6", Late(LATE_S),                          (F, F, F, N, N), "far6"),
    Row("wrong checksum", WrongChecksum(),                              (F, F, F, H, F)),
    Row("wrong checksum, IPv6", WrongChecksum(),                        (F, F, F, N, F), "far6"),
    Row("damaged data", Damaged(12),                                    (F, F, F, N, F)),
    Row("damaged data, IPv6", Damaged(12),                              (F, F, F, N, N), "far6"),
    Row("damaged data further on", Damaged(24),                         (F, F, F, N, F)),
    Row("damaged data at the end", Damaged(-1),                         (F, F, F, N, N)),
    Row("cut to 4 bytes", Truncated(4),                                 (F, F, F, F, F)),
    Row("cut to its header", Truncated(8),                              (F, F, F, N, N)),
    Row("cut to 28 bytes", Truncated(28),                               (F, F, F, N, N)),
    Row("cut to 28 bytes, right checksum", Truncated(28, True),         (F, F, F, N, F)),
    Row("cut to 28 bytes, IPv6", Truncated(28, True),                   (F, F, F, N, N), "far6"),
    Row("from another address", FromElsewhere("198.18.0.8"),            (F, F, F, N, F)),
    Row("from a healthy host's address", FromElsewhere(CLEAN[0]),       (F, F, F, N, F)),
    Row("from another address, IPv6", FromElsewhere("fd18::8"),         (F, F, F, N, F), "far6"),
    Row("in another's name, too", FromElsewhere(MIMIC, also=True),      (H, H, H, H, H)),
    Row("silence; others use its name", Silence(),                      (F, F, F, F, F), "", MIMIC),
    # Sizes
    Row("in fragments", InFragments(),                                  (H, H, H, H, H)),
    Row("in fragments, IPv6", InFragments(size=24),                     (H, H, H, N, N), "far6"),
    Row("the last fragment is lost", InFragments(is_complete=False),    (F, F, F, F, F)),
    Row("a small path MTU that is told", PathMtu(600, ROUTER),          (N, H, N, N, N)),
    Row("a small path MTU that is not told", PathMtu(500, "", True),    (N, F, N, N, N)),
    # ICMP errors that are not quite as they should be
    Row("three errors", Error(copies=3, source=ROUTER),                 (F, F, F, F, F)),
    Row("three errors, IPv6", Error(copies=3, kind=1, source=ROUTER_6), (F, F, F, F, F), "far6"),
    Row("error late by a round", Error(delay_s=LATE_S),                 (F, F, F, F, F)),
    Row("answer, and error late by a round", Error(BEFORE, delay_s=LATE_S), (H, H, H, H, H)),
    Row("error about another host", Error(about=CLEAN[0]),              (F, F, F, F, F)),
    Row("error about another, then the answer", Error(BEFORE, about=CLEAN[0]), (H, H, H, N, H)),
    Row("error with a wrong checksum", Error(has_wrong_checksum=True),  (F, F, F, F, F)),
    Row("wrong checksum, then the answer", Error(BEFORE, has_wrong_checksum=True), (H, H, H, N, H)),
    Row("error quoting 4 bytes", Error(quoted=4),                       (F, F, F, N, F)),
    Row("error quoting 4 bytes, then the answer", Error(BEFORE, quoted=4), (H, H, H, N, H)),
    Row("error quoting 8 bytes", Error(quoted=8),                       (F, F, F, N, F)),
    Row("error quoting 8 bytes, then the answer", Error(BEFORE, quoted=8), (F, F, H, N, F)),
    Row("error for the request", Error(on_request=True),                (N, F, N, N, N)),
    Row("error for the request: port", Error(on_request=True, code=3),  (N, F, N, N, N)),
    Row("error for the request, then the answer", Error(BEFORE, True),  (N, H, N, N, N)),
    Row("answer to the request, then an error", Error(AFTER, True),     (N, H, N, N, N)),
    Row("frag needed for the request", Error(on_request=True, code=4, rest=MTU), (N, F, N, N, N)),
    # A router's kernel, which sends one error a second after the first five
    Row("router's route: unreachable", Route("far", "unreachable"),     (F, F, F, F, F)),
    Row("router's route: prohibit", Route("far", "prohibit"),           (F, F, F, F, F)),
    Row("router's route: throw", Route("far", "throw"),                 (F, F, F, F, F)),
    Row("router's route: blackhole", Route("far", "blackhole"),         (F, F, F, F, F)),
    Row("unreachable, IPv6", Route("far", "unreachable"),               (F, F, F, F, F), "far6"),
    Row("prohibit, IPv6", Route("far", "prohibit"),                     (F, F, F, F, F), "far6"),
    # Our own kernel refuses to send; nc does not tell that from the rest
    Row("our own route: unreachable", Route("near", "unreachable"),     (U, U, U, U, F)),
    Row("our own route: prohibit", Route("near", "prohibit"),           (U, U, U, U, F)),
    Row("our own route: throw", Route("near", "throw"),                 (U, U, U, U, F)),
    Row("our own route: blackhole", Route("near", "blackhole"),         (U, U, U, U, F)),
    Row("unreachable here, IPv6", Route("near", "unreachable"),         (U, U, U, U, F), "far6"),
    Row("prohibit here, IPv6", Route("near", "prohibit"),               (U, U, U, U, F), "far6"),
    # The host
    Row("its address is gone", AddressGone(),                           (F, F, F, F, F), "link"),
    Row("its address does not resolve", NoNeighbour(),                  (F, F, F, F, F), "link"),
    Row("does not resolve, IPv6", NoNeighbour(),                        (F, F, F, F, F), "link6"),
    Row("its accept queue is full", FullQueue(),                        (F, F, H, H, F), "narrow"),
)


@dataclass(frozen=True)
class ErrorKind:
    """An ICMP error, and what it leads to when the answer follows, by what Linux makes of it.

    Without an answer each of them leads to a failed host; behind an answer, to nothing.
    `first` is the state that tcp, http and nc find when it comes before the answer, and `ping`
    that of ping; icmpecho gets no errors. `rest` are the last four bytes of the error's header.
    """

    code: tuple[int, int]
    name: str
    first: State
    ping: Cell
    rest: bytes = bytes(4)
    sources: tuple[str, ...] = ("", ROUTER)


ERRORS = (
    #                                              then the answer: TCP ping
    ErrorKind((3, 0), "network unreachable",                           F, F),
    ErrorKind((3, 1), "host unreachable",                              F, F),
    ErrorKind((3, 2), "protocol unreachable",                          F, F),
    ErrorKind((3, 3), "port unreachable",                              F, F),
    ErrorKind((3, 4), "fragmentation needed",                          H, N, MTU),
    ErrorKind((3, 5), "source route failed",                           F, F),
    ErrorKind((3, 6), "network unknown",                               F, F),
    ErrorKind((3, 7), "host unknown",                                  F, F),
    ErrorKind((3, 8), "host isolated",                                 F, F),
    ErrorKind((3, 9), "network prohibited",                            F, F),
    ErrorKind((3, 10), "host prohibited",                              F, F),
    ErrorKind((3, 11), "network unreachable for this service",         F, F),
    ErrorKind((3, 12), "host unreachable for this service",            F, F),
    ErrorKind((3, 13), "communication prohibited",                     F, F),
    ErrorKind((3, 14), "precedence violation",                         F, F),
    ErrorKind((3, 15), "precedence cut-off",                           F, F),
    ErrorKind((3, 16), "unreachable, of an unknown code",              H, N),
    ErrorKind((4, 0), "source quench",                                 H, N),
    ErrorKind((5, 0), "redirect for a network",                        H, N, GATEWAY, FROM_GATEWAY),
    ErrorKind((5, 1), "redirect",                                      H, N, GATEWAY, FROM_GATEWAY),
    ErrorKind((11, 0), "time to live exceeded",                        F, F),
    ErrorKind((11, 1), "reassembly time exceeded",                     H, N),
    ErrorKind((12, 0), "parameter problem",                            F, F),
    ErrorKind((42, 0), "a type that nobody knows",                     H, N),
)
ERRORS_6 = (
    ErrorKind((1, 0), "no route",                                      F, N),
    ErrorKind((1, 1), "prohibited",                                    F, N),
    ErrorKind((1, 2), "beyond scope",                                  F, N),
    ErrorKind((1, 3), "address unreachable",                           F, N),
    ErrorKind((1, 4), "port unreachable",                              F, N),
    ErrorKind((1, 5), "source address failed policy",                  F, N),
    ErrorKind((1, 6), "rejecting route",                               F, N),
    ErrorKind((1, 7), "unreachable, of an unknown code",               F, N),
    ErrorKind((2, 0), "packet too big",                                H, N, MTU),
    ErrorKind((3, 0), "hop limit exceeded",                            F, N),
    ErrorKind((3, 1), "reassembly time exceeded",                      F, N),
    ErrorKind((4, 0), "parameter problem",                             F, N),
    ErrorKind((4, 1), "unknown next header",                           F, N),
    ErrorKind((100, 0), "a type that nobody knows",                    F, N),
)
# fmt: on


def all_rows() -> Iterator[Row]:
    yield from ROWS
    for error in ERRORS:
        yield from _rows_of(error, "", "far")
    for error in ERRORS_6:
        yield from _rows_of(error, ", IPv6", "far6")


def _rows_of(error: ErrorKind, version: str, reach: str) -> Iterator[Row]:
    """Instead of the answer, from the host and from a router; before it; behind it."""
    name = f"ICMP {error.code[0]}/{error.code[1]} {error.name}{version}"
    sources = error.sources if reach == "far" else ("", ROUTER_6)
    (kind, code), rest = error.code, error.rest

    def thing(when: When, source: str) -> Error:
        return Error(when, kind=kind, code=code, rest=rest, source=source)

    instead = (FAILED, FAILED, FAILED, NOT_TRIED, NOT_TRIED)
    for source in sources:
        by = "the router" if source else "the host"
        yield Row(f"{name}, by {by}", thing(INSTEAD, source), instead, reach)
    before = (error.first, error.first, HEALTHY, error.ping, error.first)
    yield Row(f"{name}, then the answer", thing(BEFORE, sources[-1]), before, reach)
    behind = (HEALTHY, HEALTHY, HEALTHY, NOT_TRIED, NOT_TRIED)
    yield Row(f"answer, then {name}", thing(AFTER, sources[-1]), behind, reach)
