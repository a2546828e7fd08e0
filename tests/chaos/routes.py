"""Rules 1 and 2: where routes are, and each change that the daemon asks EC2 for."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.aws.calls import Call
from tests.aws.conformance import violations
from tests.chaos.ec2 import CHANGES, ChaosEc2, Entry
from tests.chaos.findings import Findings
from tests.chaos.history import ALLOWED_S, DETECTION_S, History, Written
from tests.chaos.world import KEPT, Key

MOVE_ONTO_DEAD_S = DETECTION_S
"""Beside what a change may lag behind."""


@dataclass
class Routes:
    """Follows EC2's journal and call log. Owned by the checker's thread."""

    ec2: ChaosEc2
    history: History
    findings: Findings
    host_of: dict[str, str]
    foreign: frozenset[Key]
    local: str
    """How the CIDR of the VPC itself begins."""
    targets: dict[Key, str]
    """Where each route that is not local points, by the journal."""
    journal_read: int = 0
    calls_read: int = 0
    _since_s: dict[Key, float] = field(default_factory=dict)
    _executed: list[Entry] = field(default_factory=list)

    def look(self) -> None:
        """Read what is new, and judge it; then where the routes are."""
        now_s = time.monotonic()
        calls = self.ec2.calls(self.calls_read)
        self.calls_read = calls[-1].seq if calls else self.calls_read
        for wrong in violations(calls):
            self.findings.violation("a request that AWS would refuse", now_s, wrong, what=wrong)
        for call in calls:
            if call.action in CHANGES:
                self._judge_attempt(call)
        for entry in self.ec2.journal(self.journal_read):
            self.journal_read = entry.number
            self._judge_executed(entry)
            self._follow(entry)
        self._judge_places(now_s)

    def _follow(self, entry: Entry) -> None:
        self.findings.count(entry.action)
        self._since_s[entry.key] = entry.at_s
        if entry.target is None:
            self.targets.pop(entry.key, None)
        else:
            self.targets[entry.key] = entry.target

    def _possible(self, at_s: float) -> list[Written]:
        return self.history.possible_specs(self.history.reconciler_lag_s(at_s), at_s)

    # ---- rule 2: what was asked for ---------------------------------------------------------

    def _judge_attempt(self, call: Call) -> None:
        at_s = call.monotonic_s
        table, cidr = call.params["RouteTableId"], call.params["DestinationCidrBlock"]
        facts = {"action": call.action, "table": table, "cidr": cidr, "status": call.status}
        specs = self._possible(at_s)
        if (table, cidr) in self.foreign or cidr == KEPT or cidr.startswith(self.local):
            self.findings.violation("a foreign route", at_s, **facts)
        elif call.action == "DeleteRoute":
            if all(cidr in spec.routes for spec in specs):
                wanted = [spec.index for spec in specs]
                self.findings.violation("a wanted route deleted", at_s, specs=wanted, **facts)
        else:
            self._judge_target(call, specs, facts)

    def _judge_target(self, call: Call, specs: list[Written], facts: dict[str, object]) -> None:
        at_s, cidr = call.monotonic_s, call.params["DestinationCidrBlock"]
        host = self.host_of.get(call.params.get("NetworkInterfaceId", ""), "")
        facts = {**facts, "host": host}
        if not any(host in spec.routes.get(cidr, ()) for spec in specs):
            wanted = [spec.index for spec in specs]
            self.findings.violation("a host not in the spec", at_s, specs=wanted, **facts)
        dead_s = self.history.dead_since(host, at_s)
        known_s = self.history.known_from(at_s)
        if dead_s is not None and dead_s + MOVE_ONTO_DEAD_S * self.history.stretch < known_s:
            for_s = at_s - dead_s
            self.findings.violation("moved onto a dead host", at_s, dead_for_s=for_s, **facts)

    # ---- rule 2: what was done --------------------------------------------------------------

    def _judge_executed(self, entry: Entry) -> None:
        before = self.targets.get(entry.key)
        if entry.action != "ReplaceRoute" or before is None:
            return
        table, cidr = entry.key
        host, other = self.host_of.get(before, before), self.host_of.get(entry.target or "")
        facts = {"table": table, "cidr": cidr, "was": host, "host": other}
        known_s = self.history.reconciler_lag_s(entry.at_s)
        if before == entry.target:
            if self.history.busy_until(entry.at_s) < known_s:
                self.findings.violation("a change that changes nothing", entry.at_s, **facts)
            return
        specs = self._possible(entry.at_s)
        is_eligible = all(host in spec.routes.get(cidr, ()) for spec in specs)
        is_sure = self.history.sure_from(host, entry.at_s) < known_s
        if is_eligible and is_sure and not self._unifies(entry):
            self.findings.violation("moved off a healthy host", entry.at_s, **facts)

    def _unifies(self, entry: Entry) -> bool:
        """Whether another table has the new target already: all tables get the same one."""
        return any(
            target == entry.target and cidr == entry.cidr and table != entry.table
            for (table, cidr), target in self.targets.items()
        )

    # ---- rule 1 -----------------------------------------------------------------------------

    def _judge_places(self, now_s: float) -> None:
        specs = self._possible(now_s)
        if not specs:
            return
        settled_s = self.history.in_force_s(specs[0])
        clear_s = self.history.busy_until(now_s)
        for key, target in self.targets.items():
            _, cidr = key
            host = self.host_of.get(target)
            dead_s = self.history.dead_since(host, now_s) if host else None
            if host is None or dead_s is None or key in self.foreign or cidr == KEPT:
                continue
            others = self._eligible(cidr, specs) - {host}
            sure_s = min((self.history.sure_from(other, now_s) for other in others), default=now_s)
            moved_s = self._since_s.get(key, self.history.started_s)
            waits_s = now_s - max(dead_s, sure_s, moved_s, clear_s, _finite(settled_s))
            self.findings.worst("on_a_dead_host_s", waits_s)
            if waits_s > ALLOWED_S * self.history.stretch:
                self.findings.violation(
                    "on a dead host",
                    now_s,
                    once=(key, dead_s),
                    table=key[0],
                    cidr=cidr,
                    host=host,
                    undisturbed_for_s=waits_s,
                    dead_for_s=now_s - dead_s,
                )

    def _eligible(self, cidr: str, specs: Iterable[Written]) -> set[str]:
        """The hosts that every spec allows."""
        return set.intersection(*(set(spec.routes.get(cidr, ())) for spec in specs))

    def wrong(self, spec: Written, now_s: float) -> list[str]:
        """What is not as it should be when all is quiet."""
        tables = {table for table, _ in self.targets}
        problems: list[str] = []
        for key, target in self.targets.items():
            if key[1] not in spec.routes and key[1] != KEPT and key not in self.foreign:
                problems.append(f"{key} is unwanted, to {self.host_of.get(target, target)}")
        for cidr, hosts in spec.routes.items():
            fit = {host for host in hosts if self.history.sure_from(host, now_s) <= now_s}
            if not fit:
                continue
            keys = [(table, cidr) for table in tables if (table, cidr) not in self.foreign]
            found = {self.host_of.get(self.targets.get(key, "")) for key in keys}
            alive = {h for h in hosts if self.history.dead_since(h, now_s) is None}
            if len(found) != 1 or not found <= alive:
                problems.append(f"{cidr} is at {sorted(map(str, found))}, not at one of {fit}")
        return problems


def _finite(at_s: float) -> float:
    return -math.inf if math.isinf(at_s) else at_s
