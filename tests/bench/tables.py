"""What was measured, as tables for people: lists of rows, the head first."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.bench import basics

Report = Mapping[str, Any]
Table = list[tuple[str, ...]]


def ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e3 * seconds:,.0f}"


def verdict(report: Report) -> str:
    return ("met" if report["met"] else "MISSED") if report.get("goal") else ""


def failover(report: Report) -> Table:
    found: Table = [
        (
            "ms",
            "every",
            "hosts",
            "runs",
            "min",
            "median",
            "p99",
            "max",
            "theory",
            "our worst case",
            "after the verdict: median, p99",
            "falsely failed",
            "load",
            "run of",
            "goal",
            "",
        )
    ]
    for cell in report["cells"]:
        theory, after = cell["theory"], cell["after_verdict"]
        found.append(
            (
                cell["kind"],
                f"{cell['interval_s']:g} s x {cell['fall']}",
                f"{cell['hosts']:,}",
                str(cell["runs"]),
                *(ms(cell[key]) for key in ("min", "median", "p99", "max")),
                f"{ms(theory['min'])}-{ms(theory['max'])}",
                ms(cell["worst_case"]),
                f"{ms(after['median'])}, {ms(after['p99'])}",
                str(cell["falsely_failed"]),
                f"{cell['noise']['load']:g}",
                cell.get("at", "now"),
                ", ".join(f"{key} {ms(limit)}" for key, limit in cell["goal"].items()),
                verdict(cell),
            )
        )
    return found


def probes(report: Report) -> Table:
    found: Table = [
        ("prober", "CPU us a probe", "a core and second", "answered", "probes", "goal", "")
    ]
    for name, of in report["probers"].items():
        limit = report["goal"].get(name)
        found.append(
            (
                name,
                f"{of['cpu_us']:.1f}",
                f"{of['a_core_and_s']:,}",
                f"{100 * of['answered']:.1f}%",
                f"{of['probes']:,}",
                "" if limit is None else f"{limit:g}",
                "" if limit is None else ("met" if of["cpu_us"] <= limit else "MISSED"),
            )
        )
    found += [(name, "", "", "not installed", "", "", "") for name in report["not_here"]]
    return found


def burst(report: Report) -> Table:
    found: Table = [("routes", "API", "first, s", "last, s", "(N-50)/5, s", "refused calls")]
    for cell in report["cells"]:
        found.append(
            (
                f"{cell['routes']:,}",
                "50 + 5/s" if cell["throttled"] else "unthrottled",
                f"{cell['first']:.2f}",
                f"{cell['last']:.2f}",
                "" if cell["bound"] is None else f"{cell['bound']:.0f}",
                str(cell["refused_calls"]),
            )
        )
    return found


def false_failures(report: Report) -> Table:
    found: Table = [
        ("machine", "probes", "a second", "falsely failed", "not healthy", "priority", "load", "")
    ]
    for name in ("idle", "busy"):
        of = report[name]
        found.append(
            (
                "all cores busy" if name == "busy" else "as it was",
                f"{of['probes']:,}",
                f"{of['a_second']:,}",
                str(of["falsely_failed"]),
                str(of["not_healthy"]),
                "real-time" if of["is_real_time"] else "ordinary",
                f"{of['noise']['load']:g}",
                "MISSED" if of["falsely_failed"] else "met",
            )
        )
    return found


def growth(report: Report) -> Table:
    found: Table = [
        (
            "CIDRs",
            "tables",
            "hosts",
            "a probe, us",
            "core at 1 s",
            "a report, KiB",
            "a report's way, ms",
            "plan for one failed, ms",
            "whole plan, ms",
        )
    ]
    for row in report["hosts"]:
        found.append(
            (
                "1,000",
                "3",
                f"{row['hosts']:,}",
                f"{row['probe_us']:.2f}",
                f"{100 * row['core_at_1s']:.1f}%",
                f"{row['report_kib']:,.0f}",
                f"{row['report_ms']:.1f}",
                f"{row['plan_ms']:.1f}",
                "",
            )
        )
    for row in (*report["routes"], *report["tables"]):
        found.append(
            (
                f"{row['cidrs']:,}",
                str(row["tables"]),
                f"{row['hosts']:,}",
                "",
                "",
                "",
                "",
                f"{row['one_failed_ms']:.1f}",
                f"{row['whole_ms']:.0f}",
            )
        )
    return found


def memory(report: Report) -> Table:
    later = report["later_mib"]
    found: Table = [("MiB", "at first", "more later", "goal", "")]
    for name, size in report["mib"].items():
        found.append((name, f"{size:.1f}", f"{later.get(name, 0.0) - size:+.1f}", "", ""))
    total, goal = f"{report['total']:.1f}", report["goal"]
    limits = f"{goal['total']:g}, {goal['more']:g} more"
    return [*found, ("all", total, f"{report['more']:+.1f}", limits, verdict(report))]


def overhead(report: Report) -> Table:
    found: Table = [("ms", "of", "runs", "min", "median", "p99", "max", "goal", "")]
    for row in report["rows"]:
        found.append(
            (
                row["what"],
                row["of"],
                str(row["runs"]),
                *(f"{1e3 * row[key]:,.1f}" for key in ("min", "median", "p99", "max")),
                ", ".join(f"{key} {ms(limit)}" for key, limit in row["goal"].items()),
                verdict(row),
            )
        )
    return found


def reading(report: Report) -> Table:
    found: Table = [
        (
            "interfaces",
            "requests",
            "KiB",
            "CPU ms",
            "first look: requests",
            "CPU ms",
            "start to first change, s",
            "goal: all",
            "",
        )
    ]
    for row in report["rows"]:
        goal = row["goal"]
        found.append(
            (
                f"{row['interfaces']:,}",
                f"{row['requests']:g}",
                f"{row['kib']:,.1f}",
                f"{row['cpu_ms']:.1f}",
                str(row["first_requests"]),
                f"{row['first_cpu_ms']:.1f}",
                f"{row['start_s']:.2f}",
                f"{goal['requests']:.1f}, {goal['kib']:,.0f} KiB, {goal['cpu_ms']:.1f} ms, "
                f"{goal['start_s']:.2f} s",
                verdict(row),
            )
        )
    return found


KINDS: Mapping[str, tuple[str, Callable[[Report], Table]]] = {
    "figures": ("Failover, spec changes and start at the defaults", basics.rows),
    "failover": ("Failover at the limit", failover),
    "probes": ("Probes beside others'", probes),
    "burst": ("One host with many routes", burst),
    "false_failures": ("False failures", false_failures),
    "growth": ("Growth", growth),
    "reading": ("Reading a VPC", reading),
    "overhead": ("Our own overhead", overhead),
    "memory": ("Memory", memory),
}
"""The sections of a record: title and table."""


def as_text(table: Table) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
    return "\n".join(lines)


def as_markdown(table: Table) -> str:
    head, *rows = table
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', ' ') for cell in row)} |" for row in lines)
