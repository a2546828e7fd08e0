"""Pictures of what was measured: distributions, not averages. Needs the extra `bench`."""

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Report = Mapping[str, Any]
COLOURS = ("#0b6e99", "#c4502b", "#5a8f29", "#7a4fa3", "#b58900", "#555555")
DOTS = 100
"""More of a line's points could not be told apart."""
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "vpcrouter",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def draw(record: Report, folder: Path) -> list[str]:
    """A picture for each section that has one; the names of the sections drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.use("Agg")
    drawn = []
    with mpl.rc_context(STYLE):  # type: ignore[arg-type,unused-ignore]
        for name, picture in PICTURES.items():
            if name in record and "skipped" not in record[name]:
                figure = picture(record[name])
                figure.tight_layout()
                figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
                drawn.append(name)
    return drawn


def failover(report: Report) -> Figure:
    """For each interval, the share of failovers done after so long; bounds by theory shaded."""
    cells = report["cells"]
    intervals = sorted({cell["interval_s"] for cell in cells})
    crowds = sorted({cell["hosts"] for cell in cells})
    kinds = list(dict.fromkeys(cell["kind"] for cell in cells))
    figure = Figure(figsize=(3.2 * len(kinds), 2.6 * len(intervals)))
    grid = figure.subplots(len(intervals), len(kinds), squeeze=False, sharey=True)
    for row, interval_s in zip(grid, intervals, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            of_kind = [c for c in cells if c["interval_s"] == interval_s and c["kind"] == kind]
            for cell in of_kind:
                times_ms = sorted(1e3 * sample for sample in cell["samples"])
                shares = [(n + 1) / len(times_ms) for n in range(len(times_ms))]
                colour = COLOURS[crowds.index(cell["hosts"])]
                axes.step(times_ms, shares, where="post", color=colour, label=f"{cell['hosts']:,}")
            theory = of_kind[0]["theory"]
            axes.axvspan(1e3 * theory["min"], 1e3 * theory["max"], color="#000", alpha=0.07)
            axes.axvline(1e3 * of_kind[0]["worst_case"], color="#000", lw=0.8, ls=":")
            axes.set_title(f"{kind}, {interval_s:g} s x {of_kind[0]['fall']}")
            axes.set_xlabel("ms from death to moved routes")
            axes.set_xlim(left=0)
            axes.set_ylim(0, 1)
    grid[0][0].set_ylabel("share of failovers")
    grid[0][-1].legend(title="hosts", loc="lower right", frameon=False)
    return figure


def probes(report: Report) -> Figure:
    """CPU a probe of each prober, each series a dot."""
    found = report["probers"]
    figure = Figure(figsize=(6.4, 0.45 * len(found) + 1.1))
    axes: Axes = figure.subplots()
    for place, (name, of) in enumerate(found.items()):
        colour = COLOURS[0] if name in ("icmpecho", "tcp") else COLOURS[5]
        axes.barh(place, of["cpu_us"], color=colour, alpha=0.35, height=0.6)
        axes.plot(of["samples_us"], [place] * len(of["samples_us"]), "o", ms=4, color=colour)
        label = f"  {of['cpu_us']:.1f} us, {100 * of['answered']:.0f}% answered"
        axes.text(max(of["samples_us"]), place, label, va="center")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.margins(x=0.35)
    axes.set_xlabel(f"CPU us a probe, {report['hosts']:,} hosts")
    return figure


def burst(report: Report) -> Figure:
    """How many routes had moved after so long, beside what the bucket allows."""
    figure = Figure(figsize=(6.4, 3.0))
    pair = figure.subplots(1, 2)
    for axes, throttled in zip(pair, (False, True), strict=True):
        cells = [cell for cell in report["cells"] if cell["throttled"] is throttled]
        for cell, colour in zip(cells, COLOURS, strict=False):
            points = list(enumerate(cell["samples"], 1))[:: 1 + len(cell["samples"]) // DOTS]
            counts, times_s = zip(*points, strict=True)
            axes.step(
                times_s,
                counts,
                where="post",
                color=colour,
                label=f"{cell['routes']:,} routes",
            )
        if throttled:
            most = max(cell["routes"] for cell in cells)
            axes.plot(
                [0, max(0.0, (most - 50) / 5)],
                [min(50, most), most],
                color="#000",
                lw=0.8,
                ls=":",
                label="50 + 5/s",
            )
        axes.set_title("bucket of 50 + 5/s" if throttled else "unthrottled")
        axes.set_xlabel("s after the verdict")
        axes.legend(frameon=False)
    pair[0].set_ylabel("routes moved")
    return figure


def growth(report: Report) -> Figure:
    """Costs against hosts, on logarithmic axes."""
    rows = report["hosts"]
    figure = Figure(figsize=(6.4, 3.2))
    axes: Axes = figure.subplots()
    sizes = [row["hosts"] for row in rows]
    for (key, label), colour in zip(
        (
            ("report_ms", "a report's way to the reconciler, ms"),
            ("plan_ms", "plan for one failed host, ms"),
            ("between_reports_ms", "least time between reports, ms"),
            ("probe_us", "the loop's share of a probe, us"),
        ),
        COLOURS,
        strict=False,
    ):
        axes.plot(sizes, [row[key] for row in rows], "o-", ms=3, color=colour, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("hosts")
    axes.legend(frameon=False)
    return figure


def figures(report: Report) -> Figure:
    """Every run a dot, the median a bar."""
    shown = {name: of for name, of in report.items() if of.get("samples")}
    figure = Figure(figsize=(6.4, 0.42 * len(shown) + 1.0))
    axes: Axes = figure.subplots()
    for place, of in enumerate(shown.values()):
        axes.plot(
            of["samples"], [place] * len(of["samples"]), "o", ms=3, alpha=0.5, color=COLOURS[0]
        )
        axes.plot(
            [statistics.median(of["samples"])] * 2, [place - 0.3, place + 0.3], color=COLOURS[1]
        )
    axes.set_yticks(range(len(shown)), [of["title"] for of in shown.values()])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("s")
    return figure


PICTURES: Mapping[str, Callable[[Report], Figure]] = {
    "figures": figures,
    "failover": failover,
    "probes": probes,
    "burst": burst,
    "growth": growth,
}
