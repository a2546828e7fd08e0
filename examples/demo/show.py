"""The demo's output: the route tables, the failover, and what to try next."""

import sys
from pathlib import Path

from examples.demo.failover import Failover
from examples.demo.hosts import PROGRAM
from examples.demo.tables import Tables
from examples.demo.terminal import Terminal
from examples.demo.world import World, zone_of


def route_tables(terminal: Terminal, now: Tables) -> None:
    """Where each CIDR points in each route table."""
    names = sorted({table for targets in now.values() for table in targets})
    rows = [["route table", *now]]
    rows += [[name, *(targets.get(name, "-") for targets in now.values())] for name in names]
    terminal.rows(rows)


def timeline(terminal: Terminal, failover: Failover, port: int) -> None:
    """The failover stage by stage, in seconds since the host was killed."""
    stages = failover.stages
    rows = [
        (0.0, "killed", f"pid {failover.pid}; {failover.host} refuses connections to port {port}")
    ]
    for stage, text in (
        ("detected", f"three misses in a row: {failover.host} failed"),
        ("decided", _decision(failover)),
    ):
        rows += [(min(at[stage] for at in stages.values()), stage, text)] if stages else []
    for (cidr, table), at in sorted(stages.items(), key=lambda item: item[1]["accepted"]):
        _, to = failover.moved.get((cidr, table), (0.0, "?"))
        rows.append((at["accepted"], "replaced", f"{cidr} in {table}: now {to}"))
    if failover.moved:
        last_s = max(at_s for at_s, _ in failover.moved.values())
        rows.append((last_s, "seen", "the demo reads the new routes from EC2"))
    if stages:
        last_s = max(at["seen"] for at in stages.values())
        rows.append((last_s, "verified", "the daemon reads the new routes from EC2"))
    terminal.rows([(f"{at_s:6.3f} s", stage, text) for at_s, stage, text in rows], ["", "bold"])


def _decision(failover: Failover) -> str:
    count = len(failover.routes)
    return f"{count} routes to move: {', '.join(sorted({cidr for cidr, _ in failover.routes}))}"


def verdict(terminal: Terminal, failover: Failover) -> None:
    if failover.faults:
        terminal.heading("The failover did not succeed")
        for fault in failover.faults:
            terminal.line(f"  {fault}", "red")
        return
    last_s = max(at_s for at_s, _ in failover.moved.values())
    terminal.line()
    terminal.line(
        f"All {len(failover.routes)} routes of {failover.host} had moved "
        f"{last_s:.2f} s after it was killed.",
        "green",
    )


def invitation(terminal: Terminal, world: World, now: Tables) -> None:
    """What to try next."""
    terminal.heading("Try more; changes are shown below. Ctrl-C stops and removes everything.")
    killed = next(address for address, host in world.hosts.items() if not host.is_alive)
    terminal.rows(
        [
            ("open", f"{world.daemon.url}/", "(/health /ips /route_info /vpc ...)"),
            ("edit", str(world.spec_path), "the route spec"),
            ("tail -f", str(world.daemon.log_path), "the log"),
        ],
        ["bold"],
    )
    terminal.rows(_hosts_to_kill(world, now), ["bold"])
    terminal.line("  or restart a killed host, which is eligible again 10 s later:")
    terminal.line(f"  {_short(sys.executable)} {_short(PROGRAM)} {killed} {world.port}", "bold")


def _hosts_to_kill(world: World, now: Tables) -> list[tuple[str, str, str, str]]:
    return [
        (
            f"kill {host.pid}",
            address,
            zone_of(address),
            ", ".join(cidr for cidr, at in now.items() if address in at.values()),
        )
        for address, host in world.hosts.items()
        if host.is_alive
    ]


def _short(path: str | Path) -> str:
    """As it can be typed from here."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)
