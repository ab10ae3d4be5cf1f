"""Where the parts of a JSON text stand: for errors only, since core's parser says what the text is.

1. The text is walked without recursion; the walk ends at the first thing that it can't follow.
2. ``fault`` finds the first character at which the text breaks the rule that an error names.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action.errors import (
    DuplicateKeyError,
    LoneSurrogateError,
    NotFiniteError,
    NumberRangeError,
    TooDeepError,
    TooManyPartsError,
)
from taskbound.core.action.parse import LIMITS, parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from taskbound.wire.document.yaml import Places


_TOKEN: Final = re.compile(r'[ \t\n\r]*([{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+)', re.DOTALL)
_SPACE: Final = " \t\n\r"
_BYTE: Final = re.compile(r"byte ([0-9]+)")
_OF_VALUES: Final = (NumberRangeError, NotFiniteError, LoneSurrogateError)


@dataclass(slots=True)
class _Open:
    steps: tuple[str | int, ...]
    keys: set[str] | None
    """Of an object, those that were seen; ``None`` for a list."""
    key: str | None = None
    count: int = 0


@dataclass(slots=True)
class _Walk:
    """One walk through a text."""

    wanted: type[MalformedError] | None
    places: Places = field(default_factory=dict)
    found: int | None = None
    """Where what is wanted stands."""
    open: list[_Open] = field(default_factory=list)
    parts: int = 0

    def take(self, word: str, at: int) -> None:
        """Go on by one word."""
        if word in "]}":
            if self.open:
                self.open.pop()
        elif word in "[{":
            self._enter(word, at)
        elif word in {",", ":"}:
            return
        else:
            top = self.open[-1] if self.open else None
            if top is not None and top.keys is not None and top.key is None:
                self._name(top, word, at)
            else:
                self._judge(word, at)
                self._put(at)

    def _enter(self, word: str, at: int) -> None:
        self.parts += 1
        if (self.wanted is TooDeepError and len(self.open) >= LIMITS.depth) or (
            self.wanted is TooManyPartsError and self.parts > LIMITS.parts
        ):
            self.found = at
        self.open.append(_Open(self._put(at), set() if word == "{" else None))

    def _name(self, top: _Open, word: str, at: int) -> None:
        self._judge(word, at)
        try:
            name = parse_document(word.encode())
        except MalformedError:
            name = None
        top.key = name if isinstance(name, str) else word
        if top.keys is not None and top.key in top.keys and self.wanted is DuplicateKeyError:
            self.found = at
        (top.keys if top.keys is not None else set()).add(top.key)
        self.places[(*top.steps, top.key)] = at

    def _put(self, at: int) -> tuple[str | int, ...]:
        """The steps to the value that begins here."""
        if not self.open:
            self.places[()] = at
            return ()
        top = self.open[-1]
        if top.keys is None:
            steps = (*top.steps, top.count)
            top.count += 1
            self.places[steps] = at
            return steps
        key, top.key = top.key or "", None
        return (*top.steps, key)

    def _judge(self, word: str, at: int) -> None:
        if self.wanted in _OF_VALUES:
            try:
                parse_document(word.encode())
            except MalformedError as error:
                if type(error) is self.wanted:
                    self.found = at


def locate(text: str) -> Places:
    """Where each part of a JSON text begins: a member at its key."""
    return _walk(text, None).places


def fault(error: MalformedError, raw: bytes, text: str) -> int:
    """Where the text breaks the rule that the error names; its beginning when that isn't known."""
    told = _BYTE.fullmatch(error.where)
    if told is not None:
        at = len(raw[: int(told[1])].decode(errors="replace"))
        return len(text) - len(text[at:].lstrip(_SPACE)) if text[at:].strip(_SPACE) else at
    return _walk(text, type(error)).found or 0


def _walk(text: str, wanted: type[MalformedError] | None) -> _Walk:
    walk = _Walk(wanted)
    at = 0
    while walk.found is None and (word := _TOKEN.match(text, at)) is not None:
        walk.take(word[1], word.start(1))
        at = word.end()
    return walk
