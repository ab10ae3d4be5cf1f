"""The demo's output: at most 80 columns, labels in the margin, other texts beside them.

1. Every text is escaped on output; texts of agents and servers are first escaped by `shown` and are one line.
2. Broken lines are indented, so that no foreign text reaches the margin where labels stand.
3. Color needs a terminal and no `NO_COLOR`. With `--json` nothing of this is printed.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from taskbound.surfaces.cli.screen import Words, shown

if TYPE_CHECKING:
    from typing import TextIO


WIDEST: Final = 80
_TITLE: Final = "taskbound demo: a real MCP client, two real servers, each decision as it happens"
_MARGIN: Final = 13
_NARROWEST: Final = 40
_STYLES: Final = {
    "permit": "bold green",
    "repeat": "bold green",
    "refuse": "bold red",
    "withheld": "bold yellow",
    "hold": "bold yellow",
    "FAILED": "bold white on red",
    "proves": "cyan",
    "tries": "bold",
}


class Page:
    """Standard output of the demo."""

    def __init__(self, *, silent: bool, out: TextIO | None = None) -> None:
        self._silent = silent
        self._console = Console(
            file=out or sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    def title(self) -> None:
        """Print the first line."""
        self._print(Text(_TITLE, "bold"))

    def step(self, number: int, title: str) -> None:
        """Print a heading in the first column."""
        self._print(Text())
        head = f"{number}  " if number else "   "
        self._print(Text(head, "bold cyan").append(shown(Words(title)), "bold"))

    def line(self, label: str, text: str) -> None:
        """Print a label and a text of any origin beside it (rules 1 and 2)."""
        room = max(self._width() - _MARGIN, _NARROWEST)
        lines = textwrap.wrap(shown(Words(text)), room, break_on_hyphens=False) or [""]
        margin = Text(f"   {label:<{_MARGIN - 4}} ", _STYLES.get(label, "dim"))
        self._print(margin.append(lines[0], ""))
        for one in lines[1:]:
            self._print(Text(f"{'':<{_MARGIN}}{one}"))

    def closing(self, text: str, *, ok: bool) -> None:
        """Print the last line."""
        self._print(Text())
        self._print(Text(shown(Words(text)), "bold green" if ok else "bold red"))

    def _width(self) -> int:
        return min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)

    def _print(self, text: Text) -> None:
        if not self._silent:
            text.rstrip()
            self._console.print(text, soft_wrap=True)
