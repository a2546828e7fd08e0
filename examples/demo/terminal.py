"""Plain lines and aligned columns; colour only on a terminal."""

import os
import sys
from collections.abc import Sequence
from typing import TextIO

STYLES = {"": "", "bold": "1", "dim": "2", "red": "1;31", "green": "1;32"}
INDENT = "  "


class Terminal:
    """Writes to `out` without buffering."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._in_colour = out.isatty() and not os.environ.get("NO_COLOR")

    def line(self, text: str = "", style: str = "") -> None:
        self._out.write(f"{self._paint(text, style)}\n")
        self._out.flush()

    def heading(self, text: str) -> None:
        self.line()
        self.line(text, "bold")

    def rows(self, rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
        """Columns as wide as they need to be; `styles` are the first columns' own."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            cells[-1] = cells[-1].rstrip()
            for place, style in enumerate(styles):
                cells[place] = self._paint(cells[place], style)
            self.line(INDENT + "  ".join(cells).rstrip())

    def _paint(self, text: str, style: str) -> str:
        code = STYLES[style]
        return f"\033[{code}m{text}\033[0m" if code and self._in_colour else text
