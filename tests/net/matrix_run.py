"""One monitor that goes through all rows of the matrix, each on a host of its own."""

import ipaddress
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tests.net.conftest import Net
from tests.net.deeds import Deed
from tests.net.matrix_rows import CLEAN, Row
from tests.net.monitor import MonitorProcess
from tests.net.rules import Rule, Silence
from tests.net.testbed import Testbed
from vpcrouter.model.host_state import State
from vpcrouter.model.messages import HealthReport

START_S = 20.0
BUSY_S = 5.0
"""Added to the detection time: a monitor that is late itself does not judge its probes."""
BACK_BUSY_S = 15.0
"""Added to the hold, which then starts again."""
POOLS = {
    "far": "198.18.1.0",
    "far6": "fd18::100",
    "link": "10.77.4.0",
    "link6": "fd77::400",
    "narrow": "198.18.9.0",
}
ON_LINK = ("link", "link6")

Expected = Mapping[str, State]


@dataclass(frozen=True)
class Times:
    """What follows from the monitor's settings, in seconds."""

    interval_s: float
    detection_s: float
    hold_s: float
    busy_s: float = BUSY_S
    """So much later may things be noticed on a busy machine."""
    is_punctual: bool = True
    """Whether what is late for want of a processor counts for nothing."""

    @property
    def noticed_s(self) -> float:
        return self.detection_s + self.busy_s

    @property
    def kept_failed_s(self) -> float:
        """So long, at least, a host that is back stays failed: the last miss that counts may be
        of a probe that was sent an interval before its return."""
        return self.hold_s - 2 * self.interval_s if self.is_punctual else 0.0


def hosts_of(rows: Iterable[Row]) -> dict[str, Row]:
    """A host for each row."""
    pools: dict[str, Iterator[int]] = {name: itertools.count(1) for name in POOLS}
    return {row.host or _address(row.reach, next(pools[row.reach])): row for row in rows}


def _address(reach: str, number: int) -> str:
    return str(ipaddress.ip_address(POOLS[reach]) + number)


def narrow(rows: Mapping[str, Row]) -> list[str]:
    return [host for host, row in rows.items() if row.reach == "narrow"]


def add_on_link(net: Net, rows: Mapping[str, Row]) -> None:
    net.address("add", *(host for host, row in rows.items() if row.reach in ON_LINK))


class MatrixRun:
    """`expected` has each row's state while its thing goes on."""

    def __init__(
        self,
        bed: Testbed,
        monitor: MonitorProcess,
        rows: Mapping[str, Row],
        column: str,
        times: Times,
    ) -> None:
        self._bed = bed
        self._monitor = monitor
        self._rows = rows
        self._times = times
        states = {host: row.state(column) for host, row in rows.items()}
        self._expected = {host: state for host, state in states.items() if state is not None}
        self._rules = {h: row.thing for h, row in rows.items() if isinstance(row.thing, Rule)}
        self._deeds = {h: row.thing for h, row in rows.items() if isinstance(row.thing, Deed)}

    def begin(self) -> None:
        self._monitor.use(*self._rows, *CLEAN)
        self._reach(self._all(State.HEALTHY), START_S, "at the start")

    def each_thing_once(self) -> None:
        """One of each moves no host."""
        first = len(self._monitor.reports)
        self._bed.rules(self._rules, times=1)
        self._bed.wait_until_used(5 * self._times.interval_s)
        self._monitor.watch(2 * self._times.interval_s)
        self._bed.rules(dict.fromkeys(self._rules))
        self._have_kept(self._all(State.HEALTHY), first, "when each thing came once")

    def each_thing_still(self) -> None:
        """As long as each thing goes on, each host is as expected."""
        lasting = {h: s for h, s in self._expected.items() if s is State.HEALTHY}
        first = len(self._monitor.reports)
        self._bed.rules(self._rules)
        for host, deed in self._deeds.items():
            deed.begin(self._bed, host)
        self._reach(self._expected, self._times.noticed_s, "while each thing goes on")
        settled = len(self._monitor.reports)
        self._monitor.watch(3 * self._times.interval_s)
        self._have_kept(lasting, first, "while each thing goes on")
        self._have_kept(self._expected, settled, "as each thing went on")
        for host, deed in self._deeds.items():
            deed.end(self._bed, host)

    def our_uplink_down(self) -> None:
        """It fails no host, and all of them are healthy afterwards."""
        self.clean_hosts_were_healthy()
        first = len(self._monitor.reports)
        net = self._bed.net
        net.uplink("down")
        within_s = self._times.noticed_s
        self._reach(self._all(State.UNKNOWN), within_s, "with our uplink down")
        self._monitor.watch(2 * self._times.interval_s)
        failed = frozenset[str]().union(*(r.failed for _, r in self._monitor.reports[first:]))
        assert not failed, f"failed by our uplink: {', '.join(map(self._name, failed))}"
        net.uplink("up")
        net.add_gateway()
        net.add_gateway_6()
        # Over IPv6, the way may be open only a second later, and hosts fail until then.
        self._reach(self._all(State.HEALTHY), START_S, "with our uplink up again")
        del self._monitor.reports[:-1]  # the clean hosts were unknown, too

    def silence_and_return(self, when: str) -> None:
        """Each host's silence is noticed in time and believed, and so is its return."""
        self._bed.rules(dict.fromkeys(self._rows, Silence()))
        silent = dict.fromkeys(self._rows, State.FAILED)
        self._reach(silent, self._times.noticed_s, f"silent, {when}")
        first = len(self._monitor.reports)
        self._monitor.watch(3 * self._times.interval_s)
        back_s = time.monotonic()
        self._bed.rules(dict.fromkeys(self._rows))
        self._monitor.watch(back_s + self._times.kept_failed_s - time.monotonic())
        self._have_kept(silent, first, f"silent, {when}, or back for less than the hold")
        within_s = self._times.hold_s + BACK_BUSY_S
        self._reach(self._all(State.HEALTHY), within_s, f"back, {when}")

    def clean_hosts_were_healthy(self) -> None:
        """Since the start, or since our uplink was down."""
        assert not self._monitor.ever_unhealthy(frozenset(CLEAN))

    def _all(self, state: State) -> Expected:
        return dict.fromkeys((*self._rows, *CLEAN), state)

    def _reach(self, expected: Expected, within_s: float, when: str) -> None:
        began_s = time.monotonic()
        self._monitor.watch(within_s, lambda report: not _wrong(expected, report))
        wrong = _wrong(expected, self._monitor.last)
        took_s = time.monotonic() - began_s
        assert not wrong, self._say(wrong, expected, f"{took_s:.1f} s later: {when}")

    def _have_kept(self, expected: Expected, first: int, when: str) -> None:
        wrong: dict[str, State] = {}
        for _, report in self._monitor.reports[first:]:
            wrong |= _wrong(expected, report)
        assert not wrong, self._say(wrong, expected, f"at some time {when}")

    def _say(self, wrong: Expected, expected: Expected, when: str) -> str:
        lines = [
            f"  {self._name(host)} ({host}): {state}, not {expected[host]}"
            for host, state in wrong.items()
        ]
        return "\n".join([f"{len(wrong)} of {len(expected)} hosts {when}", *lines])

    def _name(self, host: str) -> str:
        return self._rows[host].what if host in self._rows else "clean host"


def _wrong(expected: Expected, report: HealthReport) -> dict[str, State]:
    """The hosts that are not as expected, and how they are."""
    states = {host: _state(report, host) for host in expected}
    return {host: state for host, state in states.items() if state is not expected[host]}


def _state(report: HealthReport, host: str) -> State:
    if host in report.healthy:
        return State.HEALTHY
    if host in report.failed:
        return State.FAILED
    return State.QUESTIONABLE if host in report.questionable else State.UNKNOWN
