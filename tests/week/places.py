"""The rules for where the routes point: right whenever it is quiet, and never wrong for long."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.week.calm import Calm
from tests.week.clock import Clock
from tests.week.findings import Findings
from tests.week.hosts import Hosts
from tests.week.others import Others
from tests.week.requests import Requests
from tests.week.specs import Specs
from tests.week.truth import Key, RealRoute, Truth
from vpcrouter.model.host_state import State

LOOK_S = 5.0
QUIET_S = 90.0
"""So long after the last event, beside the interval of rereading, everything is as it should be."""
LATE_S = 60.0
"""So long, beside that interval, a route may stay on a failed host, whatever happens with hosts,
spec and tables; longer only while EC2 has a fault."""
STILL_S = 30.0
SWIFT_S = 1.0
"""So long when nothing else happens, nor has for a while (`STILL_S` and the interval): one call,
and what waits for the rate of `ec2_burst`."""
BURST, RATE = 40, 5


@dataclass
class Places:
    """Looks every few seconds, except while nothing happens."""

    clock: Clock
    truth: Truth
    calm: Calm
    hosts: Hosts
    specs: Specs
    others: Others
    requests: Requests
    findings: Findings
    recheck_s: float
    _checked: int = -1
    """The number of events when everything was found right."""
    _wrong_since: dict[Key, float] = field(default_factory=dict)

    def look(self) -> None:
        self.clock.after(LOOK_S, self.look)
        if self._checked == self.calm.events:
            return
        if self.calm.quiet_s >= self.recheck_s + QUIET_S:
            self.check()
        elif not self.calm.faults:
            self._look_for_late()

    def check(self) -> None:
        """Check that every table is as the spec says, and what is others' as they left it."""
        self._checked = self.calm.events
        self.findings.counts["quiet checks"] += 1
        real = self.truth.all_routes()
        for key, target in self.others.routes.items():
            if key not in real or real[key].target != target:
                self.findings.violation("a route of others is not as it was", key=key)
        for key, target in self.others.edge.items():
            route = self.truth.route(key)
            if route is None or route.target != target:
                self.findings.violation("a gateway's route is not as it was", key=key)
        if self.hosts.isolated:
            return
        for cidr, hosts in self.specs.spec.routes.items():
            self._check_cidr(cidr, hosts, real)
        if not self.requests.is_withheld(self.specs.spec):
            for key, route in real.items():
                if route.is_managed and self.requests.is_unwanted(key, self.specs.spec):
                    self.findings.violation("a route that the spec does not have", key=key)

    def _check_cidr(self, cidr: str, hosts: tuple[str, ...], real: dict[Key, RealRoute]) -> None:
        good = self._good(hosts)
        targets = set()
        for table in self.truth.managed_tables:
            key = Key(table, cidr)
            route = real.get(key)
            if not good or (route is not None and not route.is_managed):
                continue
            on_it = self.truth.hosts_on(route.interface) & set(hosts) if route else frozenset()
            if any(self.hosts.state(host) is State.UNKNOWN for host in on_it):
                continue
            targets.add(route.target if route else None)
            if not on_it & good:
                self.findings.violation(
                    "a route is not as the spec says", key=key, route=route, good=sorted(good)
                )
        if len(targets) > 1:
            self.findings.violation(
                "a CIDR has two targets", cidr=cidr, targets=sorted(map(str, targets))
            )

    def _good(self, hosts: tuple[str, ...]) -> set[str]:
        """Those that can carry a route."""
        there = self.truth.are_there(hosts)
        return {h for h in there if self.hosts.state(h) in (State.HEALTHY, State.QUESTIONABLE)}

    # ---- late -------------------------------------------------------------------------------

    def _on_failed(self) -> dict[Key, str]:
        """The routes on hosts that have failed, though others could carry them."""
        if self.hosts.isolated:
            return {}
        found = {}
        for key, route in self.truth.all_routes().items():
            hosts = self.specs.spec.routes.get(key.cidr, ())
            on_it = self.truth.hosts_on(route.interface) & set(hosts)
            if not route.is_managed or not on_it:
                continue
            if all(self.hosts.state(host) is State.FAILED for host in on_it) and self._good(hosts):
                found[key] = min(on_it)
        return found

    def _look_for_late(self) -> None:
        now_s, failed = self.clock.now_s, self._on_failed()
        began_s = self._wrong_since
        self._wrong_since = {key: began_s.get(key, now_s) for key in failed}
        for key, since_s in self._wrong_since.items():
            for_s = now_s - max(since_s, self.calm.faulty_until())
            if for_s > self.recheck_s + LATE_S:
                self.findings.violation(
                    "a route stays on a failed host", key=key, host=failed[key], for_s=for_s
                )

    def host_failed(self, host: str) -> None:
        """The daemon was told that a host failed: if nothing else happens, its routes move now."""
        if not self.calm.is_quiet_but_for(host, self.recheck_s + STILL_S):
            return
        count = sum(its == host for its in self._on_failed().values())
        within_s = SWIFT_S + max(0, count - BURST) / RATE
        events = self.calm.events

        def check() -> None:
            if self.calm.events != events:
                return
            self.findings.counts["swift checks"] += 1
            for key, its in self._on_failed().items():
                if its == host:
                    self.findings.violation(
                        "a failover is slow", key=key, host=host, after_s=within_s
                    )

        self.clock.after(within_s, check)
