"""Terminal output that no text of an agent or server can forge.

Every text is escaped on output (control, bidi, zero-width and tag characters, line feeds), so that one text
is one line; nothing is markup. Continuation lines start with a mark, so that no text can pose as ours. In a
table only the last column may hold any text; the others hold bounded plain ASCII without two spaces in a row,
and two first cells never look alike. A word for copying is one plain ASCII word, so it can't look like ours.
"""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING, Final, Generic, TextIO, TypeAlias, TypeVar

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from taskbound.core.action.text import escape_rest, escape_text
from taskbound.core.clock import BadInstantError, Instant, render_instant
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


_WIDEST: Final = 64
_INDENTED: Final = 40
_NARROWEST: Final = 12
_SHORT: Final = 12
_ROW: Final = re.compile(r" {2,}")
"""Separates two columns."""
_TAB: Final = 2
"""Columns that a tab is shown as, where a configuration is indented with them."""
_ID: Final = re.compile(r"((?:tsk|act|crd)_)[a-z2-7]{18,27}([a-z2-7]{8})")
_ID_SHORT: Final = re.compile(r"(?:tsk|act|crd)_~[a-z2-7]{8}")
_ID_WHOLE: Final = re.compile(r"(?:apr|key)_[a-z2-7]{18,40}")
_WORD: Final = re.compile(r"[!-~]+")
_INSTANT: Final = re.compile(r"\d{4}-(\d\d-\d\d)T(\d\d:\d\d):\d\dZ", re.ASCII)
_MARK: Final = "  ┊ "
_MARKS: Final = {"+": "green", "-": "red", "@": "bold"}
_STYLES: Final = {
    **dict.fromkeys(
        ("active", "completed", "guarded", "ok", "permit", "pinned", "running", "succeeded"), "green"
    ),
    **dict.fromkeys(("bad", "destructive", "failed", "gone", "refuse", "refused", "revoked"), "red"),
    **dict.fromkeys(("schema-changed", "not_sent", "unguarded"), "red"),
    **dict.fromkeys(("held", "paused", "registered", "suspended", "text-changed"), "yellow"),
    **dict.fromkeys(("unknown", "untold", "warn", "write"), "yellow"),
}


class Words(str):
    """A sentence whose foreign parts are already escaped."""

    __slots__ = ()


Cell: TypeAlias = str | int
R = TypeVar("R")


def shown(text: str) -> str:
    return escape_rest(text) if isinstance(text, Words) else escape_text(text)


def moment(instant: int) -> str:
    if not instant:
        return "never"
    try:
        return f"{render_instant(Instant(instant))[:19]}Z"
    except BadInstantError:
        return "at no time"


def ascii_json(document: object) -> str:
    text = msgspec.json.encode(document).decode()
    return "".join(char if " " <= char <= "~" else _unit_escapes(char) for char in text)


def _unit_escapes(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


class Screen:
    """Standard output and standard error of one command; with `json`, output is one document."""

    def __init__(self, *, json: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.json = json
        self._out = Console(
            file=out or sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        self._err = Console(
            file=err or sys.stderr, highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    @property
    def interactive(self) -> bool:
        return sys.stdin.isatty() and self._out.file.isatty()

    def document(self, document: object) -> None:
        self._out.file.write(ascii_json(document) + "\n")
        self._out.file.flush()

    def report(self, document: object) -> None:
        """Print the document if the command has `--json`; `line`, `fields` and `table` then print nothing."""
        if self.json:
            self.document(document)

    def complaint(self, document: object) -> None:
        self._err.file.write(ascii_json(document) + "\n")
        self._err.file.flush()

    def ask(self, question: str) -> None:
        """Print a question of ours on standard error, and leave the cursor one space after it."""
        # The space is ours, and meant: escaped with the question it would be made visible.
        self._print(self._err, Words(question), "", end=" ")

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line of ours; foreign parts must have been escaped by `shown`."""
        if not self.json:
            self._print(self._out, Words(text), style)

    def word(self, text: str) -> None:
        if self.json:
            return
        if _WORD.fullmatch(text):
            self._out.print(Text(text), soft_wrap=True)
        else:
            self.line(shown(text))

    def text(self, text: str) -> None:
        for line in () if self.json else text.splitlines():
            inner = line.lstrip(" ")
            self._out.print(Text(line[: len(line) - len(inner)] + shown(Words(inner))), soft_wrap=True)

    def changes(self, lines: Sequence[str]) -> None:
        for line in () if self.json else lines:
            inner = line[1:].lstrip(" \t")
            indent = line[1 : len(line) - len(inner)].expandtabs(_TAB)[:_INDENTED]
            style = _MARKS.get(line[:1], "")
            self._broken(self._out, f"  {line[:1]}{indent}", shown(inner.rstrip(" ")), style)

    def note(self, text: str, style: str = "yellow") -> None:
        self._print(self._err, Words(text), style)

    def hint(self, text: str, style: str = "dim") -> None:
        """Print a note on standard error, but not with `--json`: the document already says it."""
        if not self.json:
            self.note(text, style)

    def heading(self, text: str) -> None:
        self.line(text, "bold")

    def fields(self, pairs: Sequence[tuple[str, str | int | Sequence[str]]]) -> None:
        """Print labels of ours and foreign texts, one line each; a sequence gets the label once."""
        if self.json:
            return
        width = max((len(label) for label, _ in pairs), default=0)
        for label, value in pairs:
            many = (
                [str(value)] if isinstance(value, int) else [value] if isinstance(value, str) else list(value)
            )
            for number, text in enumerate(many or ["-"]):
                head = (label if number == 0 else "").ljust(width)
                self._wrapped(f"{head}  " if number == 0 else f"{' ' * width}{_MARK[2:]}", text)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Cell]], empty: str) -> None:
        if self.json:
            return
        if not rows:
            self.line(empty)
            return
        lines = _fitting([[_plain(cell) for cell in row[:-1]] for row in rows], heads[:-1], self._width())
        widths = _widths(lines, heads[:-1])
        room = self._width() - _taken(widths)
        if room < _NARROWEST or _are_alike(rows, lines):
            self._cards(heads, rows)
            return
        head = "".join(f"{h:<{w}}  " for h, w in zip(heads, widths, strict=False)) + heads[-1]
        self._out.print(Text(head, "bold"), soft_wrap=True)  # ours, with runs of spaces that are meant
        for line, row in zip(lines, rows, strict=True):
            text = Text()
            for cell, width in zip(line, widths, strict=True):
                text.append(cell.ljust(width), _STYLES.get(cell, ""))
                text.append("  ")
            last = row[-1] if isinstance(row[-1], str) else str(row[-1])
            self._out.print(text.append(_cut(shown(last), room)), soft_wrap=True)

    def _cards(self, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        for row in rows:
            self.fields(list(zip(heads, row, strict=True)))

    def status(self, word: str, text: str, advice: str = "") -> None:
        if self.json:
            return
        self._out.print(Text(f"{word:<5}", _STYLES.get(word, "")), end=" ", soft_wrap=True)
        self._wrapped("", text, start=6)
        if advice:
            self._wrapped("      -> ", advice)

    def _wrapped(self, head: str, text: str, *, start: int = 0) -> None:
        rest = shown(text)
        self._broken(self._out, head, rest, _STYLES.get(rest, ""), start=start)

    @staticmethod
    def _broken(
        console: Console, head: str, text: str, style: str, *, start: int = 0, end: str = "\n"
    ) -> None:
        width = _width_of(console)
        first, rest = _split(text, max(width - cell_len(head) - start, 20))
        console.print(Text(head).append(first, style), soft_wrap=True, end="\n" if rest else end)
        while rest:
            first, rest = _split(rest, max(width - len(_MARK), 20))
            console.print(Text(_MARK).append(first, style), soft_wrap=True, end="\n" if rest else end)

    def _width(self) -> int:
        return _width_of(self._out)

    @classmethod
    def _print(cls, console: Console, text: str, style: str, *, end: str = "\n") -> None:
        inner = text.lstrip(" ")  # our own indentation is meant
        cls._broken(console, text[: len(text) - len(inner)], shown(Words(inner)), style, end=end)


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """How rows of one type are shown."""

    heads: tuple[str, ...]
    cells: Callable[[R], Sequence[Cell]]
    empty: str
    """The line that stands for no rows."""

    def print(self, screen: Screen, rows: Iterable[R]) -> None:
        screen.table(self.heads, [self.cells(one) for one in rows], self.empty)


def _width_of(console: Console) -> int:
    return shutil.get_terminal_size().columns if console.file.isatty() else 1_000_000


def _fitting(lines: list[list[str]], heads: Sequence[str], width: int) -> list[list[str]]:
    for shorten in (_short_id, _short_instant):
        if width - _taken(_widths(lines, heads)) >= _NARROWEST:
            return lines
        lines = [[shorten(cell) for cell in line] for line in lines]
    most = max(_widths(lines, heads), default=0)
    while width - _taken(_widths(lines, heads)) < _NARROWEST and most > _SHORT:
        most -= 1
        lines = [[_short_cell(cell, most) for cell in line] for line in lines]
    return lines


def _are_alike(rows: Sequence[Sequence[Cell]], lines: Sequence[Sequence[str]]) -> bool:
    if not lines or not lines[0]:
        return False
    return len({str(row[0]) for row in rows}) > len({line[0] for line in lines})


def _widths(lines: Sequence[Sequence[str]], heads: Sequence[str]) -> list[int]:
    return [max(len(text) for text in column) for column in zip(heads, *lines, strict=True)]


def _taken(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * len(widths)


def _short_id(cell: str) -> str:
    found = _ID.fullmatch(cell)
    return f"{found[1]}~{found[2]}" if found else cell  # ids that were made together begin alike


def _short_instant(cell: str) -> str:
    found = _INSTANT.fullmatch(cell)
    return f"{found[1]} {found[2]}Z" if found else cell


def _short_cell(cell: str, most: int) -> str:
    # An id that was shortened stays, and so does one that is only taken whole: less would name nothing.
    named = _ID_SHORT.fullmatch(cell) or _ID_WHOLE.fullmatch(cell)
    return cell if len(cell) <= most or named else f"{cell[: most - 1]}~"


def _plain(cell: Cell) -> str:
    text = shown(str(cell))
    text = "".join(char if char.isascii() else f"\\u{{{ord(char):X}}}" for char in text)
    text = _ROW.sub(lambda found: f"\\u{{20x{len(found[0])}}}", text)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "~"


def _cut(text: str, room: int) -> str:
    return text if _fits(text, room) == len(text) else f"{text[: _fits(text, room - 1)]}…"


def _split(text: str, room: int) -> tuple[str, str]:
    at = _fits(text, room)
    space = text.rfind(" ", 0, at) + 1
    # A word longer than half a line is no word of a person's: it is broken where the line ends. The space
    # stays at the line's end, so that what was broken there can be told exactly.
    return (text[:space], text[space:]) if at < len(text) and space > at // 2 else (text[:at], text[at:])


def _fits(text: str, room: int) -> int:
    if text.isascii():
        return min(len(text), room)
    used = 0
    for at, char in enumerate(text):
        used += cell_len(char)
        if used > room:
            return at
    return len(text)
