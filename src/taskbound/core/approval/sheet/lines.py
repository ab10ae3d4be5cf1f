"""The lines of a sheet: our labels in a gutter that nobody else's text can reach.

Rules:

1. Every line begins with a gutter of 16 columns: two spaces, a label of a closed set or a mark
   that the line above goes on, a bar. No line has more than 80 columns.
2. What others wrote stands behind the gutter and between quotes, and holds no line feed and no two
   spaces in a row. So nothing in it looks like a gutter, not even at the start of a line into
   which a narrower terminal wraps it.
3. Words without quotes are ours.
4. A quoted text that goes on in the next line is closed and opened again: pieces side by side are
   one text. Spaces at the ends of lines are therefore seen.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.approval.sheet.quoting import columns, is_plain, pieces
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator


SHEET_WIDTH: Final = 80
"""Columns; on a narrower screen it must not be shown."""
_LABEL_WIDTH: Final = 12
_GUTTER: Final = 16
_WIDTH: Final = SHEET_WIDTH - _GUTTER
_GOES_ON: Final = ">"
_LEAST_QUOTED: Final = 20
"""Columns that must be left for a quoted text to begin in a line: any piece and two quotes."""


class Label(Enum):
    """What a line is about; the order is that of a sheet."""

    SHEET = "sheet"
    DIGEST = "you sign"
    PART = "part signed"
    PLAN = "plan"
    STEP = "step"
    QUESTION = "question"
    NARROWS = "narrows"
    RETRY = "retry"
    ASKED = "asked"
    DEADLINE = "answer by"
    NEED = "needed"
    AGENT = "agent"
    REQUESTER = "requester"
    NAMESPACE = "namespace"
    TASK = "task"
    TOOL = "tool"
    OWNER = "owner"
    GIVES = "gives"
    SERVER_IDENTITY = "server"
    ATTEMPT = "attempt"
    ARGUMENTS = "arguments"
    ARGUMENT = "argument"
    BEWARE = "beware"
    NOTE = "note"
    OPERAND = "operand"
    FOUND = "found"
    GRANT = "grant"
    SCOPE = "scope"
    EDITION = "edition"
    POLICY = "held by"
    BUNDLE = "policies"
    ACTION = "action"
    ACTION_DIGEST = "its digest"
    SERVER = "server pin"
    DEFINITION = "tool pin"
    NONCE = "nonce"
    UNPROVEN = "unproven"
    PURPOSE = "purpose"
    REASON = "agent says"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """Somebody's text, which goes between quotes."""

    text: str


Atom: TypeAlias = str | Quoted
"""A word of ours, or a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing said: a label, and words and texts in a row, of which no two are texts."""

    label: Label
    atoms: tuple[Atom, ...]


def lay_out(item: Item) -> Iterator[str]:
    """The lines of an item."""
    mark = f"  {item.label.value:<{_LABEL_WIDTH}}| "
    line = ""
    for atom in item.atoms:
        for part, goes_on in _parts(atom, line):
            if goes_on:
                yield mark + line
                mark = f"  {'':{_LABEL_WIDTH}}{_GOES_ON} "
                line = part
            else:
                line = f"{line} {part}" if line else part
    yield mark + line


def _parts(atom: Atom, line: str) -> Iterator[tuple[str, bool]]:
    """What the atom adds, and whether a line ends before it."""
    used = columns(line) + 1 if line else 0
    if isinstance(atom, str):
        yield atom, used + columns(atom) > _WIDTH
        return
    if is_plain(atom.text):
        yield from _plain_parts(atom.text, used)
        return
    shown = [(one, columns(one)) for one in pieces(atom.text)]
    whole = sum(size for _, size in shown) + 2
    left = _WIDTH - used
    goes_on = left < _LEAST_QUOTED or left < whole <= _WIDTH
    part: list[str] = []
    size, left = 2, _WIDTH if goes_on else left
    for one, wide in shown:
        if size + wide > left:
            yield '"' + "".join(part) + '"', goes_on
            part, size, left, goes_on = [], 2, _WIDTH, True
        part.append(one)
        size += wide
    yield '"' + "".join(part) + '"', goes_on


def _plain_parts(text: str, used: int) -> Iterator[tuple[str, bool]]:
    """The same for a text that is shown as it is, of which each character is a piece."""
    left = _WIDTH - used
    goes_on = left < _LEAST_QUOTED or left < len(text) + 2 <= _WIDTH
    at = _WIDTH - 2 if goes_on else left - 2
    yield f'"{text[:at]}"', goes_on
    for start in range(at, len(text), _WIDTH - 2):
        yield f'"{text[start : start + _WIDTH - 2]}"', True
