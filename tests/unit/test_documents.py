"""Pages that follow from the options are not stale, and decisions are all recorded alike."""

import re
from pathlib import Path

import pytest

from docs import generate
from tests.architecture import ROOT

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
PAGE_LINES = 70


def test_configuration_md() -> None:
    assert generate.PAGE.read_text() == generate.page(), "run: make docs"


def test_vpcrouter_ini() -> None:
    assert generate.INI.read_text() == generate.ini(), "run: make docs"


def test_all_decisions_are_in_the_index_in_their_order() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    listed = re.findall(r"\[(\d{4})\]\((\S+)\) \| (.+) \|", index)
    assert [(number, name) for number, name, _ in listed] == [
        (path.name[:4], path.name) for path in DECISIONS
    ]
    titles = [path.read_text().partition("\n")[0] for path in DECISIONS]
    for (number, _, short), title in zip(listed, titles, strict=True):
        assert title.startswith(f"# {number}: "), title
        assert short


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_says_in_a_page_what_and_why(path: Path) -> None:
    lines = path.read_text().splitlines()
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Context", "## Decision", "## Why", "## Consequences"]
    assert len(lines) <= PAGE_LINES


def test_docstrings_point_to_decisions_that_are_there() -> None:
    named = {
        name
        for path in [*ROOT.glob("vpcrouter/**/*.py"), *ROOT.glob("workers/*.py")]
        for name in re.findall(r"docs/decisions/[\w-]+\.md", path.read_text())
    }
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
