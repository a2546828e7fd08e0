"""What it costs as hosts, routes and tables grow, by simulation: no network, a played clock.

Of hosts: the monitor's own time for a probe, what a report of one failed host costs on its way to
the reconciler, and the plan for it. Of routes and tables: the plan, whole and for one failed host.
"""

import contextlib
import pickle
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from tests.bench.effort import Effort
from tests.bench.figures import rank
from tests.bench.large import World
from tests.bench.noise import noise
from vpcrouter.ipc.mailbox import StopWorker
from vpcrouter.model.host_state import Health, merge
from vpcrouter.model.messages import Envelope, HealthReport, HostList, Message
from vpcrouter.monitoring.monitor_loop import REPORT_S_PER_HOST, MonitorLoop
from vpcrouter.monitoring.schedule import Outcome
from vpcrouter.monitoring.scheduled_probes import ScheduledProbes
from vpcrouter.monitoring.timing import Timing
from vpcrouter.routing.incremental import Planner
from vpcrouter.routing.plan import Policy, plan

TIMES = 5
PLAYED_S = 3.0
TIMING = Timing(interval_s=1.0, timeout_s=0.4, fastinter_s=0.1)
CIDRS, TABLES, HOSTS = 1_000, 3, 2_000
MONITOR = "played"
LIMIT_MS = 50.0
HOW = (
    f"CPU time, the median of {TIMES}; probes: a monitor's loop on a played network of 1 s rounds, "
    "without the kernel's share; report: made, sent, relayed, read and merged with the others; "
    f"plan: for one failed host, of {CIDRS:,} CIDRs x {TABLES} tables x {HOSTS:,} hosts but for "
    "what grows"
)


class Played:
    """A Prober whose hosts all answer at once, and the clock and mailbox of its loop."""

    trouble = ""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.until_s = 0.0
        self.probes = self.answers = 0
        self.mail: dict[type[Message], Message] = {}
        self.last = HealthReport(MONITOR)
        self._answers: list[Outcome] = []

    def fileno(self) -> int:
        return -1

    def set_hosts(self, hosts: Sequence[str]) -> None: ...

    def send(self, hosts: Sequence[str], first: int) -> Collection[int]:
        self.probes += len(hosts)
        self._answers += [(serial, True, self.now_s) for serial in range(first, first + len(hosts))]
        return ()

    def collect(self) -> Sequence[Outcome] | None:
        answers, self._answers = self._answers, []
        self.answers += len(answers)
        return answers or None

    def counted(self) -> None:
        """There is no kernel in this."""

    def expire(self, probes: Iterable[tuple[int, str]]) -> None: ...

    def revive(self, hosts: Iterable[str]) -> None: ...

    def forget(self, serials: Iterable[int]) -> None: ...

    def close(self) -> None: ...

    def watch(self, fd: int) -> None: ...

    def unwatch(self, fd: int) -> None: ...

    def take(self, kind: type[Message]) -> Message | None:
        return self.mail.pop(kind, None)

    def post(self, message: HealthReport) -> None:
        self.last = message

    def wait(self, timeout_s: float) -> set[int]:
        if not self.mail:
            self.now_s += timeout_s
        if self.now_s > self.until_s:
            raise StopWorker
        return set()


def measure(effort: Effort) -> dict[str, Any]:
    """Rows of what grows and what it costs, and the size at which something breaks first."""
    before = noise()
    hosts = [of_hosts(size) for size in effort.growth]
    sizes = (100, 1_000) if effort.is_short else (100, 1_000, 5_000, 20_000)
    routes = [of_plans(World(size, TABLES, HOSTS)) for size in sizes]
    counts = (1, 10) if effort.is_short else (1, 10, 50, 200)
    tables = [of_plans(World(CIDRS, count, HOSTS)) for count in counts]
    return {
        "how": HOW,
        "noise": before,
        "hosts": hosts,
        "routes": routes,
        "tables": tables,
        "breaks": breaks(hosts),
    }


def of_hosts(count: int) -> dict[str, Any]:
    world = World(CIDRS, TABLES, count)
    probe_us, report = _probing(world.addresses)
    envelope = Envelope(MONITOR, 1, 0.0, report)
    frame = pickle.dumps(envelope)
    # Pickled by the monitor, read by the supervisor, which passes it on as it is.
    hop_ms = _ms(lambda: pickle.dumps(envelope)) + 2 * _ms(lambda: pickle.loads(frame))  # noqa: S301
    judged = frozenset(world.addresses)
    merge_ms = _ms(lambda: merge([report], judged, [MONITOR]))
    plans = of_plans(world)
    return {
        "hosts": count,
        "probe_us": round(probe_us, 2),
        "core_at_1s": round(count * probe_us / 1e6, 4),
        "report_kib": round(len(frame) / 1024, 1),
        "between_reports_ms": round(1e3 * count * REPORT_S_PER_HOST, 2),
        "report_ms": round(hop_ms + merge_ms, 3),
        "plan_ms": plans["one_failed_ms"],
        "verdict_to_plan_ms": round(hop_ms + merge_ms + plans["one_failed_ms"], 3),
    }


def _probing(hosts: Sequence[str]) -> tuple[float, HealthReport]:
    """CPU microseconds for each probe, once all are known to be healthy; and the last report."""
    net = Played()
    probes = ScheduledProbes(TIMING, net, clock=lambda: net.now_s)
    loop = MonitorLoop(MONITOR, probes, clock=lambda: net.now_s)
    net.mail[HostList] = HostList(tuple(hosts))

    def play(seconds: float) -> float:
        net.until_s = net.now_s + seconds
        began_s = time.process_time()
        with contextlib.suppress(StopWorker):
            while True:
                loop.turn(net)  # type: ignore[arg-type]  # it has what the loop needs
        probes._lateness.woken_s = net.now_s = net.until_s
        return time.process_time() - began_s

    play(2 * PLAYED_S + len(hosts) / 20_000)
    net.probes = 0
    taken_s = play(PLAYED_S)
    failed = frozenset(hosts[:1])
    assert net.last.healthy == frozenset(hosts)
    alive = net.last.healthy - failed
    report = replace(net.last, healthy=alive, failed=failed, failed_since_at={hosts[0]: 1.0})
    return 1e6 * taken_s / net.probes, report


def of_plans(world: World) -> dict[str, Any]:
    spec, view, policy = world.spec, world.view, Policy()
    planner = Planner(policy, _first)
    planner.plan(spec, world.health, view)
    failing = [world.without(host) for host in world.addresses[: 2 * TIMES : 2]]
    assert planner.plan(spec, failing[0], view).changes

    def one(health: Health) -> float:
        return _ms(lambda: planner.plan(spec, health, view), 1)

    return {
        "cidrs": world.cidrs,
        "tables": world.tables,
        "hosts": world.hosts,
        "one_failed_ms": round(rank([one(health) for health in failing], 0.5), 3),
        "whole_ms": round(_ms(lambda: plan(spec, failing[0], view, policy, _first), 1), 1),
    }


def _first(_cidr: str, hosts: Sequence[str]) -> str:
    return hosts[0]


def _ms(act: Callable[[], Any], times: int = TIMES) -> float:
    taken_s = []
    for _ in range(times):
        began_s = time.process_time()
        act()
        taken_s.append(time.process_time() - began_s)
    return 1e3 * rank(taken_s, 0.5)


def breaks(rows: Sequence[dict[str, Any]]) -> str:
    """The first thing that is no longer so at some number of hosts, for people."""
    for row in rows:
        if row["core_at_1s"] > 1:
            return f"at {row['hosts']:,} hosts a round of 1 s takes more than a core"
        if row["verdict_to_plan_ms"] > LIMIT_MS:
            return (
                f"at {row['hosts']:,} hosts the way from a verdict to its plan takes "
                f"{row['verdict_to_plan_ms']:.0f} ms of CPU, more than {LIMIT_MS:g} ms: each "
                f"report has all hosts in it, {row['report_kib']:.0f} KiB"
            )
    return f"nothing up to {rows[-1]['hosts']:,} hosts"
