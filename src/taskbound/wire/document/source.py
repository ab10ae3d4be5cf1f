"""The text of a document and its places, for errors that a person can find.

1. A line ends at a line feed; a carriage return before it belongs to the end. Lines and columns are counted
   from 1, columns in characters.
2. What is shown of a line is escaped, at most 56 characters around the place, and a caret stands below it.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from dataclasses import field
from typing import Final, TypeVar

from taskbound.core.action.escape import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError

E = TypeVar("E", bound=TaskboundError)
_BEFORE: Final = 36
_AFTER: Final = 20
_WIDE: Final = frozenset({"W", "F"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A text with the name of its file."""

    name: str
    text: str
    starts: tuple[int, ...] = field(init=False, repr=False)
    """Where each line begins."""

    def __post_init__(self) -> None:
        """Find the lines."""
        starts = [0]
        at = self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        object.__setattr__(self, "starts", tuple(starts))

    def spot(self, at: int) -> tuple[int, int]:
        """Line and column of a character (rule 1)."""
        line = bisect_right(self.starts, at)
        return line, at - self.starts[line - 1] + 1

    def excerpt(self, at: int) -> tuple[str, str]:
        """The line of a character, and a caret below it (rule 2)."""
        line, column = self.spot(at)
        start = self.starts[line - 1]
        whole = self.text[start : self.starts[line] if line < len(self.starts) else None].rstrip("\r\n")
        first, last = max(0, column - 1 - _BEFORE), column - 1 + _AFTER
        while _cells(before := _visible(whole[first : column - 1])) > _BEFORE:
            first += 1
        before = f"…{before}" if first else before
        after = _visible(whole[column - 1 : last]) + ("…" if last < len(whole) else "")
        head = f"{line:>5} | "
        return f"{head}{before}{after}".rstrip(), f"{' ' * (len(head) - 2)}| {' ' * _cells(before)}^"

    def point(self, error: E, at: int) -> E:
        """The error, with the place of a character and what stands there.

        ``where`` becomes ``file:line:column``, and the excerpt its notes.
        """
        line, column = self.spot(at)
        error.where = f"{self.name}:{line}:{column}"
        for one in self.excerpt(at):
            error.add_note(one)
        return error


def _visible(part: str) -> str:
    """A part of a line, escaped; spaces at its ends are no ends of a text."""
    return escape_text(f".{part}.")[1:-1]


def _cells(text: str) -> int:
    """How many columns of a terminal an escaped text takes."""
    return sum(2 if unicodedata.east_asian_width(one) in _WIDE else 1 for one in text) - sum(
        1 for one in text if unicodedata.combining(one)
    )
