"""Sheets for tests and for `dev/soak`: one with ordinary words, random ones, and what must hold of each."""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dev.soaks.documents import value
from taskbound.core.action import canonical
from taskbound.core.approval import First
from taskbound.core.approval.sheet import (
    SHEET_LIMITS,
    SHEET_WIDTH,
    Label,
    Sheet,
    SheetNeed,
    SheetOf,
    SheetOperand,
    TooLong,
    render_sheet,
)
from taskbound.core.clock import Instant
from tests.sheet_oracle import parse_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue


LABELS: Final = frozenset(label.value for label in Label)
GUTTER: Final = 16
_TRICKY: Final = (
    "abc XYZ 019 .,-_/",
    "   ",
    '\\"\\u{20}',
    "\n\r\t\x00\x1b\x7f\x9b",
    '|>" = text',
    "\u00e9\u00df\u0142\u0131\u017f\u212a",
    "\u0430\u0435\u043e\u0436\u0449\u03bf\u03c9",
    "\u05d0\u05d1\u0627\u0628\u0661\u0662",
    "\u200b\u200d\u202e\u2066\u2069\ufeff\u2028",
    "\u0301\u0336\u0e31\u0e49\u093f\u094d",
    "\u4e2d\u6587\u30ab\uac00\u1100\u1161\uff41\u3000",
    "\U0001f600\u2764\ufe0f\U000e0041\ue000\U0010ffff",
    "\u2014\u2212\u201c\u2502\u2588",
)
_DIGEST: Final = "0123456789abcdef" * 4

_TEXTS: Final = (
    *(
        (name, 12)
        for name in ("namespace", "question", "action", "agent", "task", "tool", "owner", "grant", "nonce")
    ),
    *((name, 150) for name in ("purpose", "reason", "gives", "server_identity", "last_outcome", "requester")),
    *(
        (name, 64)
        for name in ("digest", "narrows", "action_digest", "server", "definition", "bundle", "scope")
    ),
)
"""The fields that are texts, and how long a random one may be."""

_ORDINARY: Final = SheetOf(
    namespace="default",
    digest=_DIGEST,
    question="question-9",
    narrows="",
    action="action-7",
    action_digest=_DIGEST[::-1],
    agent="pay-bot",
    task="task-3",
    requester="alice",
    tool="pay__send",
    server=_DIGEST[1:] + "0",
    server_identity="stdio /usr/bin/pay-server --strict",
    definition=_DIGEST[2:] + "01",
    arguments=b"{}",
    operands=(),
    attempt=1,
    last_outcome="none",
    grant="payments",
    scope="3",
    edition=1,
    policies=("large-payments",),
    needs=(SheetNeed(lifter="approval:finance:2", persons=2, who="finance"),),
    bundle=_DIGEST[3:] + "012",
    asked=Instant(1_795_000_000_000_000),
    deadline=Instant(1_795_000_900_000_000),
    nonce="6b1f",
    purpose="Pay the invoices of November",
    reason="The invoice is due on Friday",
)


def ordinary(arguments: Mapping[str, JsonValue] | None = None, **changes: object) -> SheetOf:
    """A sheet of ordinary words, with these arguments and changes."""
    return replace(_ORDINARY, arguments=canonical(dict(arguments or {})), **changes)  # type: ignore[arg-type]  # by name


def shown(of: SheetOf) -> str:
    """The text of a sheet that is not too long."""
    found = render_sheet(of)
    assert isinstance(found, Sheet)
    return found.text


def contents(of: SheetOf, label: Label) -> list[str]:
    """What stands behind each line with the label, lines that go on included."""
    found: list[str] = []
    current = ""
    for line in shown(of).splitlines():
        current = line[2:14].strip() or current
        if current == label.value:
            found.append(line[GUTTER:])
    return found


def width(line: str) -> int:
    """The most columns that a terminal gives a line, told by Unicode's own widths."""
    if line.isascii():
        return len(line)
    return sum(1 if char.isascii() or unicodedata.east_asian_width(char) in "HNa" else 2 for char in line)


def require_whole(of: SheetOf) -> bool:
    """Whether there is a sheet; if so all that must hold of any sheet holds of it."""
    found = render_sheet(of)
    if isinstance(found, TooLong):
        return False
    text, lines = found.text, found.lines
    assert parse_sheet(text) == of
    assert text.count("\n") == lines <= SHEET_LIMITS.lines
    assert unicodedata.is_normalized("NFC", text)
    for line in text[:-1].split("\n"):
        assert line.isprintable()
        assert width(line) <= SHEET_WIDTH
        gutter, said = line[:GUTTER], line[GUTTER:]
        assert re.fullmatch(r"  [a-z -]{12}\| | {14}> ", gutter)
        assert gutter[2:14].strip() in LABELS | {""}
        assert "  " not in said
        assert said == said.strip(" ")
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', said)
        assert outside.isascii()
        assert not {"\\", "|"} & set(outside)
    return True


def random_sheet(seed: int) -> SheetOf:
    """A sheet of random arguments, and random words in some of its fields, of all that is hard to show."""
    chance = random.Random(seed)  # noqa: S311 - a course of events that can be repeated
    if chance.random() < 1 / 200:
        return ordinary({_text(chance, 8): list(range(chance.randrange(500)))})
    arguments = {_text(chance, 8): _value(chance) for _ in range(chance.randrange(4))}
    several = tuple(_text(chance, 12) for _ in range(chance.randrange(3)))
    operands = tuple(
        SheetOperand(
            kind=_text(chance, 6), place=_text(chance, 60), found=((_text(chance, 6), _text(chance, 90)),)
        )
        for _ in range(chance.randrange(2))
    )
    return ordinary(
        arguments,
        **{name: _text(chance, most) for name, most in chance.sample(_TEXTS, 3)},
        **_retry(chance),
        operands=operands,
        policies=several,
        needs=tuple(SheetNeed(lifter=one, persons=1, who=_text(chance, 12)) for one in several[:1]),
        attempt=chance.randrange(1, 10**6),
        edition=chance.choice((1, 2, 10**6)),
        deadline=Instant(chance.randrange(10**16)),
    )


def _retry(chance: random.Random) -> dict[str, object]:
    if chance.random() > 1 / 9:
        return {}
    times = sorted(Instant(chance.randrange(10**16)) for _ in range(2))
    named = {name: _text(chance, 12) for name in ("id", "action", "nonce")}
    return {"retry": chance.randrange(1, 4), "first": First(**named, asked=times[0], deadline=times[1])}


def _value(chance: random.Random) -> JsonValue:
    return _text(chance, 200) if chance.random() < 1 / 3 else value(chance)


def _text(chance: random.Random, most: int) -> str:
    parts: list[str] = []
    size = chance.randrange(most + 1)
    while size > 0:
        row = min(chance.choice((1, 1, 1, 1, 2, 3, 40)), size)
        parts.append(chance.choice(chance.choice(_TRICKY)) * row)
        size -= row
    return "".join(parts)
