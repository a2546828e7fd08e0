"""docs/performance.md: what a run measured, between two marks; the prose around it is by hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench import deaths, tables

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"
RECORD = FOLDER / "measured.json"
BEGIN = "<!-- measured: begin (written by make bench ARGS=--write-docs) -->"
END = "<!-- measured: end -->"

Record = Mapping[str, Any]


def write(sections: Record) -> None:
    """Put these sections into the record, draw the pictures, and write the page.

    Sections that are in the record and were not measured now stay as they are, and so do rows of
    failovers.
    """
    from tests.bench import plots  # noqa: PLC0415 - matplotlib is there only where pages are made

    old = read()
    measured = {**old.get("measured", {}), **sections["measured"]}
    record = {**old, **sections, "measured": measured}
    if "cells" in sections.get("failover", {}):
        at = measured["failover"]["at"]
        record["failover"] = deaths.renewed(old.get("failover", {}), record["failover"], at)
    FOLDER.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")
    plots.draw(record, FOLDER)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), record), encoding="utf-8")


def read() -> dict[str, Any]:
    """The record; empty where there is none."""
    if not RECORD.exists():
        return {}
    found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def page(text: str, record: Record) -> str:
    """`text` with the block between the marks made anew. Raises ValueError without marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has no marks")
    return f"{before}{BEGIN}\n\n{block(record)}\n{END}{after}"


def block(record: Record) -> str:
    parts = []
    for name, (title, table) in tables.KINDS.items():
        if name not in record:
            continue
        section = record[name]
        parts += [f"### {title}", _when(record, name)]
        if "skipped" in section:
            parts.append(f"Not measured: {section['skipped']}.")
            continue
        if "how" in section:
            parts.append(f"{_sentence(section['how'])}.")
        parts.append(tables.as_markdown(table(section)))
        if "breaks" in section:
            parts.append(f"What breaks first: {section['breaks']}.")
        picture = FOLDER / f"{name}.svg"
        if picture.exists():
            parts.append(f"![{title}]({FOLDER.name}/{picture.name})")
    return "\n\n".join(parts) + "\n"


def _when(record: Record, name: str) -> str:
    of = record["measured"][name]
    machine, noise = of["machine"], of["noise"]
    late = noise["jitter_ms"]
    return (
        f"*{of['at']}, {machine['cpus']} cores, kernel {machine['kernel']}, Python "
        f"{machine['python']}. Load average {noise['load']:g} at its beginning and "
        f"{of['load_at_end']:g} at its end; sleeps of 10 ms were late by {late['p50']:g} / "
        f"{late['p99']:g} / {late['max']:g} ms (median, p99, maximum).*"
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
