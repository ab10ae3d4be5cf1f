"""The constraint ``glob``: texts that match a pattern, such as branches, object keys and relative paths.

1. ``*`` is any characters except ``/``, ``**`` any at all, ``?`` one character except ``/``; ``[a-z]`` is one
   of these, ``[!a-z]`` one that is neither of these nor ``/``. ``[*]`` is a star. Case matters. There are no
   braces and no backslashes.
2. Matching takes linear time: the reachable pattern positions are the bits of one number. A text has at most
   4,096 characters, a pattern 256.
3. Refused in a text, since readers disagree: a segment ``.`` or ``..``, a control character, a backslash, a
   percent escape, and text whose slashes or dots change under Unicode NFKC.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import field
from itertools import accumulate
from operator import xor
from typing import TYPE_CHECKING, ClassVar, Final
from unicodedata import normalize

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.below import Prefix
from taskbound.core.scope.constraints.constraint import (
    CONTAINED,
    EXCLUDED,
    NOT_EXCLUDED,
    Constraint,
    Kind,
    NotContained,
)
from taskbound.core.scope.show import show
from taskbound.core.scope.values import MET, Mismatch, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Containment, Exclusion, Form, ReadConstraint
    from taskbound.core.scope.path import Place


_MAX_PATTERN: Final = 256
_MAX_TEXT: Final = 4096
_LAST: Final = 0x10FFFF
_STARS: Final = {"*": False, "**": True}
_TOKEN: Final = re.compile(r"(?P<stars>\*+)|(?P<one>\?)|\[(?P<not>!?)(?P<set>\]?[^\]]*)\]|(?P<plain>[^*?\[])")
_ODD: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\\]|%(?:[0-9A-Fa-f]{2}|[uU])|(?:^|/)\.{1,2}(?:/|$)")

_NOT_TEXT = Mismatch(code="not-text", reason="is not a text")
_TOO_LONG = Mismatch(code="too-long", reason="is longer than a text of this kind can be")
_ODD_TEXT = Mismatch(
    code="glob-odd", reason="holds a dot segment, a control, a backslash or a percent escape"
)
_LOOK_ALIKE = Mismatch(code="glob-look-alike", reason="holds characters that some read as slashes or dots")
_NO_MATCH = Mismatch(code="no-match", reason="has not the shape that is granted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One element of a pattern."""

    star: bool
    """Whether it takes any number of characters."""
    slash: bool
    """Whether it may take a slash."""
    spans: tuple[tuple[str, str], ...] | None
    """The characters that it takes, as spans from one to another; ``None`` is every character."""
    negated: bool = False

    @property
    def is_literal(self) -> bool:
        """Whether it matches exactly one certain character."""
        return self.spans is not None and not self.negated and len({*self.spans[0]}) == len(self.spans) == 1

    def holds(self, other: Token) -> bool:
        if self.spans is None:
            return self.slash or not other.slash
        if self == other:
            return True
        if other.spans is None or other.negated or self.negated:
            return False
        return all(any(low <= a and b <= high for low, high in self.spans) for a, b in other.spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moves:
    """For each character, the elements that match it, as bits; one look-up and one search."""

    stars: int
    across: int
    """The pieces ``**``."""
    wild: int
    """The pieces that take any character but a slash."""
    literals: Mapping[str, int]
    points: tuple[str, ...]
    """Where what the sets take changes, in order."""
    sets: tuple[int, ...]
    """The sets that take a character before the first point, from it on, and so on."""

    @classmethod
    def of(cls, tokens: tuple[Token, ...]) -> _Moves:
        stars = across = wild = negated = 0
        literals: dict[str, int] = {}
        changes: dict[str, int] = {}
        for at, token in enumerate(tokens):
            bit = 1 << at
            stars |= bit if token.star else 0
            if token.spans is None:
                across, wild = (across | bit, wild) if token.slash else (across, wild | bit)
            elif token.is_literal:
                literals[token.spans[0][0]] = literals.get(token.spans[0][0], 0) | bit
            else:
                negated |= bit if token.negated else 0
                for low, high in _merge(token.spans):
                    changes[low] = changes.get(low, 0) ^ bit
                    if ord(high) < _LAST:
                        after = chr(ord(high) + 1)
                        changes[after] = changes.get(after, 0) ^ bit
        points = tuple(sorted(changes))
        sets = tuple(accumulate((changes[point] for point in points), xor, initial=negated))
        return cls(stars=stars, across=across, wild=wild, literals=literals, points=points, sets=sets)

    def taking(self, character: str) -> int:
        plain = self.literals.get(character, 0) | self.across
        if character == "/":
            return plain
        return plain | self.wild | self.sets[bisect_right(self.points, character)]


def _merge(spans: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    merged: list[tuple[str, str]] = []
    for low, high in spans:
        if merged and ord(low) <= ord(merged[-1][1]) + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Glob(Constraint):
    """``{"glob": "release/*"}``: a text that matches the pattern."""

    tag: ClassVar[str] = "glob"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT})
    schema: ClassVar[Form] = {
        "description": "A text of this shape: * all but /, ** all, ? one, [a-z], [!a-z].",
        "type": "string",
        "minLength": 1,
        "maxLength": _MAX_PATTERN,
        "pattern": "^[^{}\\\\]*$",
    }
    pattern: str
    tokens: tuple[Token, ...] = field(compare=False, repr=False)
    literal: str = field(init=False, compare=False, repr=False)
    """What every text of this shape begins with."""
    _moves: _Moves = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_moves", _Moves.of(self.tokens))
        literal = ""
        for token in self.tokens:
            if not token.is_literal or token.spans is None:
                break
            literal += token.spans[0][0]
        object.__setattr__(self, "literal", literal)

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Glob:
        pattern = place.read_text(body)
        if len(pattern) > _MAX_PATTERN:
            raise place.fault(f"is longer than {_MAX_PATTERN} characters")
        for odd, words in (("{", "braces"), ("}", "braces"), ("\\", "a backslash")):
            if odd in pattern:
                raise place.fault(f"holds {words}, which are not known here; write any_of for a choice")
        tokens = _read_tokens(pattern, place)
        if _ODD.search(pattern) or _ODD.search(normalize("NFKC", pattern)):
            raise place.fault("holds a dot segment, a control or a percent escape, which no text may hold")
        return cls(pattern=pattern, tokens=tokens)

    def permits(self, value: JsonValue) -> Verdict:
        if not isinstance(value, str):
            return _NOT_TEXT
        if len(value) > _MAX_TEXT:
            return _TOO_LONG
        if _ODD.search(value):  # rule 3
            return _ODD_TEXT
        if not value.isascii():
            plain = normalize("NFKC", value)
            if plain.count("/") != value.count("/") or _ODD.search(plain):
                return _LOOK_ALIKE
        reached, _ = self.run(value)
        return MET if reached >> len(self.tokens) & 1 else _NO_MATCH

    def run(self, text: str) -> tuple[int, int]:
        """Returns the positions reached at the end, as bits, and the number of steps (rule 2)."""
        stars = self._moves.stars
        reached = 1 | (1 & stars) << 1
        steps = 0
        for character in text:
            takes = self._moves.taking(character)
            reached = (reached & takes & ~stars) << 1 | (reached & takes & stars)
            reached |= (reached & stars) << 1
            steps += 1
            if not reached:
                break
        return reached, steps

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return f"a text of the shape `{show(self.pattern, name)}`"

    def value(self) -> JsonValue:
        return self.pattern

    def known_within(self, other: Constraint) -> Containment:
        if isinstance(other, Prefix) and self.literal.startswith(other.prefix):
            return CONTAINED
        if isinstance(other, Glob) and self._taken_by(other):
            return CONTAINED
        return NotContained(reason="its texts are not all of the other's shape")

    def known_excludes(self, other: Constraint) -> Exclusion:
        if isinstance(other, Glob):
            start = other.literal
        elif isinstance(other, Prefix):
            start = other.prefix
        else:
            return NOT_EXCLUDED
        meet = self.literal.startswith(start) or start.startswith(self.literal)
        return NOT_EXCLUDED if meet else EXCLUDED

    def _taken_by(self, other: Glob) -> bool:
        reached = _onward({0}, other)
        for token in self.tokens:
            found: set[int] = set()
            for at in reached:
                if at < len(other.tokens) and other.tokens[at].holds(token):
                    if other.tokens[at].star:
                        found.add(at)
                    elif not token.star:
                        found.add(at + 1)
            reached = _onward(found, other)
        return len(other.tokens) in reached


def _onward(places: set[int], glob: Glob) -> set[int]:
    skipped = {at + 1 for at in places if at < len(glob.tokens) and glob.tokens[at].star}
    return places | skipped


def _read_tokens(pattern: str, place: Place) -> tuple[Token, ...]:
    tokens: list[Token] = []
    at = 0
    while at < len(pattern):
        found = _TOKEN.match(pattern, at)
        if found is None:
            raise place.fault(f"opens `[` at character {at + 1} and doesn't close it")
        if found["stars"]:
            if found["stars"] not in _STARS:
                raise place.fault("has three stars or more in a row")
            tokens.append(Token(star=True, slash=_STARS[found["stars"]], spans=None))
        elif found["one"]:
            tokens.append(Token(star=False, slash=False, spans=None))
        elif found["plain"]:
            plain = found["plain"]
            tokens.append(Token(star=False, slash=plain == "/", spans=((plain, plain),)))
        else:
            spans = _read_set(found["set"], place)
            tokens.append(Token(star=False, slash=False, spans=spans, negated=bool(found["not"])))
        at = found.end()
    return tuple(tokens)


def _read_set(text: str, place: Place) -> tuple[tuple[str, str], ...]:
    if not text:
        raise place.fault("has an empty `[]`")
    spans: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        if text[at + 1 : at + 2] == "-" and at + 2 < len(text):
            low, high = text[at], text[at + 2]
            if low > high:
                raise place.fault(f"has a span `{show(f'{low}-{high}')}` that runs backward")
            spans.append((low, high))
            at += 3
        else:
            spans.append((text[at], text[at]))
            at += 1
    if any(low <= "/" <= high for low, high in spans):
        raise place.fault("has a slash between `[` and `]`, where none can be met")
    return tuple(sorted(set(spans)))
