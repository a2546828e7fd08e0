"""The files of the package that docs/plugins.md teaches, as they stand on the page."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "plugins.md"
BLOCK = re.compile(r"^```\w+ (\S+/\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    """The page's files: name → text."""
    return dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
