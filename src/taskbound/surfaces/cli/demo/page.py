"""What the demo prints: at most 80 columns, our words in the margin, everybody else's beside them.

1. Every text is escaped on its way out; what an agent or a server wrote is escaped by `shown` before it gets
   here, backslashes included, and is one line.
2. A text is broken into lines by us, and each further line is indented as far as the first: no text reaches
   the margin, where labels of ours stand.
3. Color needs a terminal, and `NO_COLOR` takes it away.
4. With `--json` nothing of this is printed.
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
    """Standard output, as the demo fills it."""

    def __init__(self, *, silent: bool, out: TextIO | None = None) -> None:
        """Look at where it goes; print nothing yet.

        Args:
            silent: Whether nothing is to be printed (rule 4).
            out: Where to print; standard output without it.
        """
        self._silent = silent
        self._console = Console(
            file=out or sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    def title(self) -> None:
        """The first line."""
        self._print(Text(_TITLE, "bold"))

    def step(self, number: int, title: str) -> None:
        """A heading, which begins in the first column."""
        self._print(Text())
        head = f"{number}  " if number else "   "
        self._print(Text(head, "bold cyan").append(shown(Words(title)), "bold"))

    def line(self, label: str, text: str) -> None:
        """A label of ours, and a text of anyone beside it (rules 1 and 2)."""
        room = max(self._width() - _MARGIN, _NARROWEST)
        lines = textwrap.wrap(shown(Words(text)), room, break_on_hyphens=False) or [""]
        margin = Text(f"   {label:<{_MARGIN - 4}} ", _STYLES.get(label, "dim"))
        self._print(margin.append(lines[0], ""))
        for one in lines[1:]:
            self._print(Text(f"{'':<{_MARGIN}}{one}"))

    def closing(self, text: str, *, ok: bool) -> None:
        """The last line."""
        self._print(Text())
        self._print(Text(shown(Words(text)), "bold green" if ok else "bold red"))

    def _width(self) -> int:
        return min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)

    def _print(self, text: Text) -> None:
        if not self._silent:
            text.rstrip()
            self._console.print(text, soft_wrap=True)
