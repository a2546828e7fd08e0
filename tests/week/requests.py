"""The rules for each request of the daemon, at the moment when EC2 executes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from tests.aws.calls import Call
from tests.aws.conformance import violations
from tests.week.budget import Budget
from tests.week.calm import Calm
from tests.week.clock import Clock
from tests.week.daemon import DELETE_LIMIT, Daemon
from tests.week.findings import Findings
from tests.week.hosts import Hosts
from tests.week.others import IGNORED, Others
from tests.week.specs import Specs
from tests.week.truth import Key, RealRoute, Truth
from tests.week.wire import Sent
from vpcrouter.model.host_state import State
from vpcrouter.model.spec import RouteSpec

CHANGES = frozenset({"CreateRoute", "ReplaceRoute", "DeleteRoute"})
READS = frozenset(
    {"DescribeRouteTables", "DescribeSubnets", "DescribeNetworkInterfaces", "DescribeInstances"}
)
DECIDING_S = 1.0
"""So much earlier than it is sent, a change may have been decided."""
SURPRISE_S = 60.0
"""So long after others' writes, after a start or a fault, beside the interval of rereading, the
daemon may not know yet how a route is."""
ALWAYS_DELETABLE = 10
THROTTLED = "RequestLimitExceeded"
UNCERTAIN = ("garbage", "network", "outage", "keys refused")
"""The kinds of fault that leave it open whether a change was made, or that keep the daemon from
reading it."""
LATE_S = 20.0
"""For so long, a request may be under way, and the next read may be put off twice as long."""


@dataclass
class Requests:
    """Is shown each request before and after its execution (`Wire.watch`)."""

    clock: Clock
    truth: Truth
    calm: Calm
    hosts: Hosts
    specs: Specs
    others: Others
    daemon: Daemon
    findings: Findings
    budget: Budget
    carried: dict[str, frozenset[str]] = field(default_factory=dict)
    """The hosts that each interface has ever had."""
    _sent_s: dict[Key, list[float]] = field(default_factory=dict)
    _before: dict[int, RealRoute | None] = field(default_factory=dict)
    _known: set[tuple[str, ...]] = field(default_factory=set)

    def watch(self, sent: Sent) -> None:
        if sent.is_executed:
            self._executed(sent)
        else:
            self._arrives(sent)

    def note_interfaces(self) -> None:
        """Remember which hosts are where; to be called after whatever may change that."""
        for eni in self.truth.backend.enis:
            self.carried[eni] = self.carried.get(eni, frozenset()) | self.truth.hosts_on(eni)

    # ---- before -----------------------------------------------------------------------------

    def _arrives(self, sent: Sent) -> None:
        call = sent.call
        if call.action not in CHANGES | READS:
            self._violation("a forbidden action", call)
        self._check_conformance(call)
        if call.action not in CHANGES:
            return
        key = _key(call)
        self._before[id(sent)] = self.truth.route(key)
        self._check_route(sent, key)
        specs = self.specs.possible(self.clock.now_s - sent.sent_s + DECIDING_S)
        if call.action == "DeleteRoute":
            self._check_deletion(call, key, specs)
        else:
            self._check_target(sent, key, specs)
        self._check_need(call, key)
        self._sent_s.setdefault(key, []).append(self.clock.now_s)

    def _check_conformance(self, call: Call) -> None:
        seen = (call.action, *(f"{name}={value}" for name, value in call.params.items()))
        if seen not in self._known:
            self._known.add(seen)
            for wrong in violations([call]):
                self._violation("a request that AWS would refuse", call, what=wrong)

    def _check_route(self, sent: Sent, key: Key) -> None:
        """Whose the route is, and whether any may be changed now."""
        if key.table in self.truth.gateway_tables:
            self._violation("a gateway's table touched", sent.call)
        if key in self.others.routes:
            self._violation("a route of others touched", sent.call)
        route = self._before[id(sent)]
        if route is not None and not route.is_managed and self._is_known(key):
            self._violation("a route that is not managed touched", sent.call, target=route.target)
        if self.hosts.isolated and self.hosts.isolated_s < sent.sent_s - DECIDING_S:
            self._violation("a change while isolated", sent.call)

    def _check_deletion(self, call: Call, key: Key, specs: list[RouteSpec]) -> None:
        if all(key.cidr in spec.routes for spec in specs):
            self._violation("a route of the spec deleted", call)
        if is_ignored(key.cidr):
            self._violation("a route inside ignore_routes deleted", call)
        without = [spec for spec in specs if key.cidr not in spec.routes]
        if without and all(self.is_withheld(spec) for spec in without):
            self._violation("a deletion that delete_limit forbids", call)

    def is_withheld(self, spec: RouteSpec) -> bool:
        """Whether the routes that the spec does not have are too many to be deleted."""
        ours = [key for key, route in self.truth.all_routes().items() if route.is_managed]
        unwanted = sum(self.is_unwanted(key, spec) for key in ours)
        return unwanted > max(ALWAYS_DELETABLE, DELETE_LIMIT * len(ours))

    def is_unwanted(self, key: Key, spec: RouteSpec) -> bool:
        return key.cidr not in spec.routes and not is_ignored(key.cidr)

    def _check_target(self, sent: Sent, key: Key, specs: list[RouteSpec]) -> None:
        eni = sent.call.params.get("NetworkInterfaceId", "")
        self.note_interfaces()
        wanted = {host for spec in specs for host in spec.routes.get(key.cidr, ())}
        on_it = self.carried.get(eni, frozenset()) & wanted
        if not on_it:
            self._violation("a target that is no host of the spec", sent.call)
        elif all(self._has_failed_before(host, sent.sent_s - DECIDING_S) for host in on_it):
            self._violation("a route moved onto a failed host", sent.call, hosts=sorted(on_it))

    def _has_failed_before(self, host: str, at_s: float) -> bool:
        return self.hosts.state(host) is State.FAILED and self.hosts.failed_s(host) < at_s

    def _check_need(self, call: Call, key: Key) -> None:
        """Whether the change changes anything, or repeats one: a stale read was believed."""
        real = self.truth.route(key)
        is_so = (
            real is None
            if call.action == "DeleteRoute"
            else (real is not None and real.target == call.params.get("NetworkInterfaceId"))
        )
        if not is_so:
            return
        self.findings.counts["needless changes"] += 1
        latest = [
            at_s for at_s in self._sent_s.get(key, ()) if at_s > self.clock.now_s - 2 * LATE_S
        ]
        if len(latest) == 1 and self._is_sure(key):
            for_s = round(self.clock.now_s - latest[0], 2)
            self._violation("a change made twice", call, again_after_s=for_s)

    def _is_sure(self, key: Key) -> bool:
        """Whether the daemon can know what became of its last change of the route."""
        until_s = self.clock.now_s - LATE_S
        return (
            self.calm.faulty_until(*UNCERTAIN) < until_s - LATE_S
            and (self.daemon.generations == 1 or self.daemon.started_s < until_s)
            and not self._is_news(key)
        )

    def _is_known(self, key: Key) -> bool:
        """Whether the daemon can know how the route is."""
        since_s = self.clock.now_s - self.daemon.recheck_s - SURPRISE_S
        is_read = self.daemon.started_s < since_s and self.calm.faulty_until() < since_s
        return is_read and not self._is_news(key)

    def _is_news(self, key: Key) -> bool:
        """Whether others have written the route since it can have been read."""
        since_s = self.clock.now_s - self.daemon.recheck_s - SURPRISE_S
        return self.others.touched.get(key, 0.0) > since_s

    # ---- after ------------------------------------------------------------------------------

    def _executed(self, sent: Sent) -> None:
        call, answer, counts = sent.call, sent.answer, self.findings.counts
        counts[call.action] += 1
        code = answer.error_code if answer is not None else "no answer"
        if code is not None:
            counts[f"{call.action}: {code}"] += 1
        if code in (None, THROTTLED):
            self.budget.asked(call.action)
        if code == THROTTLED and call.action in READS and not self.calm.has("neighbour"):
            self._violation("the daemon's reads alone are throttled", call)
        if call.action not in CHANGES:
            return
        before, after = self._before.pop(id(sent)), self.truth.route(_key(call))
        if before != after:
            counts["changed routes"] += 1
            self._time_failover(before)

    def _time_failover(self, before: RealRoute | None) -> None:
        on_it = self.carried.get(before.interface or "", frozenset()) if before else frozenset()
        failed = [h for h in on_it if self.hosts.state(h) is State.FAILED]
        if failed and self.calm.is_quiet_but_for(failed[0], SURPRISE_S):
            self.findings.failovers_s.append(self.clock.now_s - self.hosts.failed_s(failed[0]))

    def _violation(self, rule: str, call: Call, **facts: Any) -> None:
        self.findings.violation(rule, action=call.action, params=call.params, **facts)


def is_ignored(cidr: str) -> bool:
    return any(ip_network(cidr).subnet_of(ip_network(each)) for each in IGNORED)  # type: ignore[arg-type]


def _key(call: Call) -> Key:
    return Key(call.params["RouteTableId"], call.params["DestinationCidrBlock"])
