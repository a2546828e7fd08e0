"""The hosts: how they die and return, and what the monitors report of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.aws.network import Network
from tests.week.calm import Calm
from tests.week.clock import Clock
from vpcrouter.model.host_state import State
from vpcrouter.model.messages import HealthReport

FIXED = tuple(f"127.0.{zone}.{last}" for zone in (1, 2, 3) for last in (10, 11))
MOVABLE = ("127.0.2.12", "127.0.3.12")
"""On second interfaces, which can be replaced."""
FLOATING = "127.0.1.100"
"""An address that is moved between two instances."""
CARRIERS = ("127.0.1.50", "127.0.1.51")
HOSTS = (*FIXED, *MOVABLE, FLOATING)
PROBER, REPORTER = "tcp", "ec2status"
MONITORS = (PROBER, REPORTER)
DETECTED_S = (0.5, 3.0)
RISEN_S = (5.0, 20.0)


@dataclass
class Hosts:
    """All hosts that a spec can name. `tell` sends a report to the daemon."""

    clock: Clock
    network: Network
    calm: Calm
    rng: random.Random
    tell: Callable[[HealthReport], None]
    failed: Callable[[str], None] = lambda _: None
    """Called when the daemon has been told that a host failed."""
    moved: Callable[[], None] = lambda: None
    """Called when an interface or an address has come to be elsewhere."""
    asked: frozenset[str] = frozenset()
    """The hosts that the daemon wants to know about."""
    isolated: str = ""
    isolated_s: float = 0.0
    """Since when that is so."""
    _states: dict[tuple[str, str], State] = field(default_factory=dict)
    _failed_at: dict[str, float] = field(default_factory=dict)
    _down: dict[str, str] = field(default_factory=dict)

    def build(self) -> None:
        for host in (*FIXED, *CARRIERS):
            self.network.add_host(host)
        for host in MOVABLE:
            self.network.add_host(host, on_secondary=True)
        self.network.assign_secondary(CARRIERS[0], FLOATING)
        self._states = {(m, host): State.HEALTHY for m in MONITORS for host in HOSTS}

    # ---- what the daemon is told ----------------------------------------------------------

    def ask(self, hosts: tuple[str, ...]) -> None:
        """The daemon's list of hosts has reached the monitors."""
        new = frozenset(hosts)
        if new != self.asked:
            self.clock.after(self.rng.uniform(*DETECTED_S), lambda: self._take_up(new))

    def _take_up(self, hosts: frozenset[str]) -> None:
        self.asked = hosts
        self.tell_all()

    def tell_all(self) -> None:
        for monitor in MONITORS:
            self.tell(self._report(monitor))

    def state(self, host: str) -> State:
        """As all monitors together say."""
        said = {self._said(monitor, host) for monitor in MONITORS}
        for state in (State.FAILED, State.QUESTIONABLE, State.UNKNOWN):
            if state in said:
                return state
        return State.HEALTHY

    def failed_s(self, host: str) -> float:
        """When the host was first reported failed, of late."""
        return self._failed_at[host]

    def _said(self, monitor: str, host: str) -> State:
        is_known = host in self.asked and not (monitor == PROBER and self.isolated)
        return self._states[monitor, host] if is_known else State.UNKNOWN

    def _report(self, monitor: str) -> HealthReport:
        of = {
            state: frozenset(host for host in self.asked if self._said(monitor, host) is state)
            for state in State
        }
        return HealthReport(
            monitor,
            of[State.HEALTHY],
            of[State.QUESTIONABLE],
            of[State.FAILED],
            {host: self._failed_at[host] for host in of[State.FAILED]},
            self.isolated if monitor == PROBER else "",
            probes=monitor == PROBER,
        )

    def _set(self, monitor: str, host: str, state: State) -> None:
        if self._states[monitor, host] is state:
            return
        self.calm.disturb(host)
        if state is State.FAILED and self.state(host) is not State.FAILED:
            self._failed_at[host] = self.clock.now_s
        self._states[monitor, host] = state
        self.tell(self._report(monitor))
        if state is State.FAILED and self.state(host) is State.FAILED:
            self.failed(host)

    # ---- what happens ---------------------------------------------------------------------

    @property
    def up(self) -> list[str]:
        return [host for host in HOSTS if host not in self._down]

    def die(self, host: str, for_s: float) -> None:
        """The host dies in one of several ways, and returns after that time."""
        if host in self._down:
            return
        self.calm.disturb(host)
        ways = ["hang", "stop", "terminate"] if host in FIXED else ["hang"]
        self._down[host] = how = self.rng.choice(ways)
        if how == "stop":
            self.network.stop(host)
        elif how == "terminate":
            self.network.terminate(host)
        self._soon(PROBER, host, State.FAILED, self.rng.uniform(*DETECTED_S))
        if how != "hang":
            self._soon(REPORTER, host, State.FAILED, self.rng.uniform(20, 60))
        self.clock.after(max(for_s, 70.0), lambda: self._return(host))

    def _return(self, host: str) -> None:
        self.calm.disturb(host)
        how = self._down.pop(host)
        if how == "stop":
            self.network.start(host)
        elif how == "terminate":
            self.network.add_host(host)
            self.moved()
        for monitor in MONITORS:
            self._soon(monitor, host, State.HEALTHY, self.rng.uniform(*RISEN_S))

    def _soon(self, monitor: str, host: str, state: State, after_s: float) -> None:
        is_up = host not in self._down

        def change() -> None:
            if (host not in self._down) is is_up:
                self._set(monitor, host, state)

        self.clock.after(after_s, change)

    def flap(self, host: str, times: int) -> None:
        """The host misses probes: questionable or failed, and healthy again, over and over."""
        for number in range(times):
            state = self.rng.choice((State.QUESTIONABLE, State.FAILED))
            self._soon(PROBER, host, state, number * 40.0)
            self._soon(PROBER, host, State.HEALTHY, number * 40.0 + self.rng.uniform(1, 25))

    def lose_sight(self, monitor: str, hosts: list[str], for_s: float) -> None:
        """The monitor does not know how these hosts are."""
        for host in hosts:
            self._soon(monitor, host, State.UNKNOWN, 0.0)
            self._soon(monitor, host, State.HEALTHY, for_s)

    def isolate(self, for_s: float) -> None:
        """The prober has lost all hosts at once."""
        if self.isolated:
            return
        self._set_isolated("most hosts stopped answering at once")
        self.clock.after(for_s, lambda: self._set_isolated(""))

    def _set_isolated(self, reason: str) -> None:
        self.calm.disturb()
        self.isolated, self.isolated_s = reason, self.clock.now_s
        self.tell(self._report(PROBER))

    # ---- interfaces -----------------------------------------------------------------------

    def replace_interface(self, host: str) -> None:
        """The host's address comes to be on a new interface, and the old one is gone."""
        self.calm.disturb()
        self.network.delete_interface(host)
        self.network.eni_of[host] = self.network._attach(self.network.subnet_of(host), host)
        self.network.client.modify_network_interface_attribute(
            NetworkInterfaceId=self.network.eni_of[host], SourceDestCheck={"Value": False}
        )
        self.moved()

    def move_address(self) -> None:
        """The floating address goes to one of the instances that can carry it."""
        self.calm.disturb()
        self.network.assign_secondary(self.rng.choice(CARRIERS), FLOATING)
        self.moved()
