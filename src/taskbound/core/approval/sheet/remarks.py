"""What we say about somebody's text, beside it: what hides in it, and what else it may be read as.

Rules:

1. *Beware* names every kind of character that a reader may not see or may take for another.
2. A *note* says what a text may be read as by others and was not looked into here: a document
   inside a text, an encoding, a number or a date that people read in two ways. The lack of a note
   says nothing.
3. Both are words of ours alone, without anything from the text.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import kinds_in
from taskbound.core.approval.sheet.lines import Item, Label

if TYPE_CHECKING:
    from collections.abc import Iterator


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
_SHORT: Final = 64
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
    """What is said about a text, which our words `where` name (rules 1 and 2)."""
    yield from bewares(where, text)
    for said in _said(text):
        yield Item(label=Label.NOTE, atoms=(*where.split(), *said.split()))


def bewares(where: str, text: str) -> Iterator[Item]:
    """What hides in a text (rule 1)."""
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
    if len(text) <= _SHORT:
        for pattern, said in _OF_SHORT:
            if pattern.fullmatch(text):
                yield said
