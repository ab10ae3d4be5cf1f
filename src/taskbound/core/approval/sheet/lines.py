r"""Layout of sheets: labeled lines with quoted foreign text.

`lines`: each line has a gutter of 16 columns and at most 80 columns. Foreign text stands in quotes after
the gutter and has no line feed and no two adjacent spaces, so it cannot imitate a gutter, even if a narrow
terminal wraps the line. Unquoted words come from Taskbound. Adjacent quoted pieces are one text.

`leaves` (scalars, empty objects and lists) follow the order of the canonical bytes.

`quoting`:

1. Beyond ASCII only left-to-right letters and the marks of their own script appear unescaped, if
   `action.text` accepts them. Right-to-left letters (terminals reorder neighbors), free combining marks
   (they strike through), modifier letters, digits, signs, dashes, quotes and emoji are escaped.
2. A space appears unescaped only between two visible characters.
3. Escapes are those of `action.escape`, plus `\"`: no text can end its own quotes, and each has one form.
4. A character beyond ASCII counts as two columns; a letter is never separated from its marks.

`remarks`: *beware* names each kind of character that a reader may miss or mistake; a *note* says what else
a text may be parsed as and was not checked, and its absence proves nothing. Remarks quote none of the
text.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action import canonical
from taskbound.core.action.text import kinds_in, places_in
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from taskbound.core.action import JsonValue


_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_SHORT_ROW: Final = 3
_VISIBLE: Final = {"\\": r"\\", '"': r"\""}
_SPACES: Final = re.compile("  +")
_MARKS_ON_ONE: Final = 3
_ANYWHERE: Final = ("COMBINING ", "MODIFIER LETTER ", "VARIATION ")
"""How the names of letters and marks begin that belong to no writing of their own."""
_LEFT_TO_RIGHT: Final = frozenset({"L", "NSM"})


def is_plain(text: str) -> bool:
    return text.isascii() and '"' not in text and "\\" not in text and not _hidden(text)


def pieces(text: str) -> Iterator[str]:
    """Yields the text as shown, in pieces that must not be split."""
    hidden = _hidden(text)
    cluster = ""
    for (char, is_hidden), row in groupby(enumerate(text), key=lambda it: (it[1], it[0] in hidden)):
        count = sum(1 for _ in row)
        if not is_hidden and not char.isascii() and _sort(char) == "mark":
            cluster += char * count
            continue
        if cluster:
            yield cluster
        cluster = ""
        if is_hidden:
            yield from _escape(char, count)
            continue
        shown = _VISIBLE.get(char, char)
        for _ in range(count - 1):
            yield shown
        cluster = shown
    if cluster:
        yield cluster


def columns(shown: str) -> int:
    """The maximum number of columns that a terminal uses for this text."""
    return len(shown) if shown.isascii() else sum(1 if char.isascii() else 2 for char in shown)


def _hidden(text: str) -> AbstractSet[int]:
    if text.isascii() and text.isprintable() and "  " not in text and text.strip(" ") == text:
        return frozenset()
    hidden = set(places_in(text))
    for gap in _SPACES.finditer(text):
        hidden.update(range(*gap.span()))  # 2
    room = 0
    for at, char in enumerate(text):
        sort = "" if at in hidden or char.isascii() else _sort(char)
        if sort == "mark" and room:
            room -= 1
        elif sort == "letter":
            room = _MARKS_ON_ONE
        else:
            room = 0
            if sort:
                hidden.add(at)
    return hidden


@lru_cache(maxsize=4096)
def _sort(char: str) -> str:
    name, category = unicodedata.name(char, ""), unicodedata.category(char)
    if (
        not name
        or name.startswith(_ANYWHERE)
        or unicodedata.bidirectional(char) not in _LEFT_TO_RIGHT
        or (category == "Lo" and name.startswith("LATIN "))  # clicks that look like signs
    ):
        return "sign"
    return {"L": "letter", "M": "mark"}.get(category[0], "sign")


def _escape(char: str, count: int) -> Iterator[str]:
    if char in _SHORT and count <= _SHORT_ROW:
        for _ in range(count):
            yield _SHORT[char]
        return
    times = f"x{count}" if count > 1 else ""
    yield f"\\u{{{ord(char):X}{times}}}"


SHEET_WIDTH: Final = 80
"""Columns; on a narrower screen it must not be shown."""
_LABEL_WIDTH: Final = 12
_GUTTER: Final = 16
_WIDTH: Final = SHEET_WIDTH - _GUTTER
_GOES_ON: Final = ">"
_LEAST_QUOTED: Final = 20
"""Columns that must be left for a quoted text to begin in a line: any piece and two quotes."""


class Label(Enum):
    """The label of a line; members are in sheet order."""

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
    """Foreign text, which appears in quotes."""

    text: str


Atom: TypeAlias = str | Quoted
"""A word of ours, or a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A label with a sequence of words and quoted texts; no two quoted texts are adjacent."""

    label: Label
    atoms: tuple[Atom, ...]


def lay_out(item: Item) -> Iterator[str]:
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
    left = _WIDTH - used
    goes_on = left < _LEAST_QUOTED or left < len(text) + 2 <= _WIDTH
    at = _WIDTH - 2 if goes_on else left - 2
    yield f'"{text[:at]}"', goes_on
    for start in range(at, len(text), _WIDTH - 2):
        yield f'"{text[start : start + _WIDTH - 2]}"', True


Way: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A scalar or empty container with its path."""

    way: Way
    value: JsonValue


def leaves(value: JsonValue, way: Way = ()) -> Iterator[Leaf]:
    """Yields the leaves of a value in order."""
    match value:
        case dict() if value or not way:  # all arguments are an object, also without leaves
            for key, inner in value.items():
                yield from leaves(inner, (*way, key))
        case list() if value:
            for at, inner in enumerate(value):
                yield from leaves(inner, (*way, at))
        case _:
            yield Leaf(way=way, value=value)


def leaf_atoms(leaf: Leaf) -> tuple[Atom, ...]:
    atoms: list[Atom] = []
    for step in leaf.way:
        if isinstance(step, int):
            atoms.append(f"[{step}]")
        else:
            atoms += [".", Quoted(text=step)] if atoms else [Quoted(text=step)]
    match leaf.value:
        case str():
            atoms += ["=", "text", Quoted(text=leaf.value)]
        case dict():
            atoms += ["=", "empty", "object"]
        case list():
            atoms += ["=", "empty", "list"]
        case bool() | None:
            atoms += ["=", canonical(leaf.value).decode()]
        case _:
            atoms += ["=", "number", canonical(leaf.value).decode()]
    return tuple(atoms)


_LABELS: Final = frozenset(
    (
        *(label.value for label in (Label.DIGEST, Label.DEADLINE, Label.NEED, Label.REQUESTER, Label.AGENT)),
        *(label.value for label in (Label.SERVER_IDENTITY, Label.SERVER, Label.DEFINITION, Label.REASON)),
        *("approved by", "approver", "denied by", "expires", "permit", "signed by", "target"),
    )
)
"""What an approver looks for; names such as `note` or `task`, which tools use every day, are left out."""
_OPENING: Final = frozenset('{["')
_CLOSING: Final = frozenset('}]"')
_UNBROKEN: Final = 62
"""Characters of a text that fit into one line."""
_REMARKS_SHORT: Final = 64
"""Characters up to which a text may be a number or a date."""

_OF_ANY: Final = (
    (re.compile(r"%[0-9A-Fa-f]{2}|\\[ux][0-9A-Fa-f]{2}"), "holds what others decode; it is shown as it is"),
    (
        re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{32,}"),
        "holds a long row of signs, which may be encoded; it is shown as it is",
    ),
    (re.compile(r"\bxn--", re.IGNORECASE), "holds a domain that is shown in other letters elsewhere"),
    (re.compile(r"<[A-Za-z!/]|\]\("), "holds markup; elsewhere it may look different"),
    (
        re.compile(r"\b(?:javascript|data|vbscript|file):", re.IGNORECASE),
        "holds a link that runs or reads something",
    ),
    (re.compile(r"\n"), "has several lines, shown as one"),
    (re.compile("  "), "has spaces in a row"),
    (re.compile(rf"[^ ]{{{_UNBROKEN + 1}}}"), "has no space for longer than a line"),
)
_OF_SHORT: Final = (
    (re.compile(r"\s*[+-]?\d+(?:[.,' ]\d+)+\s*"), "looks like a number; others may read another one"),
    (re.compile(r"\D*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\D*"), "looks like a date without a time and a zone"),
    (
        re.compile(r"(?:.*\D)?\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?\s*(?:[A-Za-y]{2,}|[AaPp][Mm])?\s*"),
        "looks like a time without a zone's offset",
    ),
)


def remarks(where: str, text: str) -> Iterator[Item]:
    """Yields the remarks about a text; `where` names the text."""
    yield from bewares(where, text)
    for said in _said(text):
        yield Item(label=Label.NOTE, atoms=(*where.split(), *said.split()))


def bewares(where: str, text: str) -> Iterator[Item]:
    names = {kind.value for kind in kinds_in(text)}
    if any(unicodedata.category(char).startswith("N") for char in text if not char.isascii()):
        names.add("foreign-digit")
    if names:
        yield Item(label=Label.BEWARE, atoms=(*where.split(), *", ".join(sorted(names)).split()))


def _said(text: str) -> Iterator[str]:
    core = text.strip()
    if core[:1] in _OPENING and core[-1:] in _CLOSING and len(core) > 1:
        yield "looks like a document of its own; nothing here has looked into it"
    if core.rstrip(":").lower() in _LABELS:
        yield "is named like a label of a sheet, and is none"
    for pattern, said in _OF_ANY:
        if pattern.search(text):
            yield said
    if len(text) <= _REMARKS_SHORT:
        for pattern, said in _OF_SHORT:
            if pattern.fullmatch(text):
                yield said
