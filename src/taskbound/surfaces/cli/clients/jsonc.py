"""JSON as people keep it in configurations: with comments and trailing commas, and the place of every part.

1. Comments (`//`, `/* */`) and a comma after the last member are read over, wherever they may stand.
2. A key that stands twice in one object refuses: clients disagree about which one counts.
3. An error says where, by line and column, and quotes nothing that stands there: it may be a secret. A name
   that stands twice is quoted, unless it shows to be one itself.
4. What is read keeps its place, so that a change touches only what it is about, and every other byte stays.
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.secret import is_secret_text
from taskbound.surfaces.cli.clients.errors import BadConfigError

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


_SPACE: Final = re.compile(r"[ \t\r\n]+")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_DEEPEST: Final = 64
_LONGEST_NUMBER: Final = 1_000
"""Characters; Python reads no more than 4,300 digits."""
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of an object: from the first quote of its key to the end of its value."""

    key: str
    start: int
    value: Node
    comma: int
    """Where the comma after it stands; -1 when there is none."""

    @property
    def end(self) -> int:
        """The end of the value."""
        return self.value.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value and its place in the text."""

    start: int
    end: int
    value: JsonValue
    members: tuple[Member, ...] = ()
    """Of an object."""
    items: tuple[Node, ...] = ()
    """Of an array."""

    def find(self, *keys: str) -> Node | None:
        """The value under these keys, one inside the other, or none."""
        here: Node | None = self
        for key in keys:
            here = next((one.value for one in here.members if one.key == key), None) if here else None
        return here


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole text that was read."""

    text: str
    root: Node
    comments: tuple[tuple[int, int], ...]
    """Start and end of each."""

    def line_of(self, place: int) -> int:
        """The number of the line that a place is on, from 1."""
        return self.text.count("\n", 0, place) + 1


def parse_jsonc(text: str) -> Document:
    """The document that the text holds.

    Raises:
        BadConfigError: It is not one JSON value with comments (rules 1 and 2); the line is named.
    """
    reader = _Reader(text=text)
    reader.skip()
    root = reader.value(0)
    reader.skip()
    if reader.at != len(text):
        raise reader.fault("something stands after the end")
    return Document(text=text, root=root, comments=tuple(reader.comments))


@dataclass(slots=True, kw_only=True)
class _Reader:
    """A cursor in the text."""

    text: str
    at: int = 0
    comments: list[tuple[int, int]] = field(default_factory=list)

    def fault(self, what: str) -> BadConfigError:
        """The error to raise here (rule 3)."""
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - self.text.rfind("\n", 0, self.at)
        return BadConfigError(f"line {line}, column {column}: {what}", where=f"line {line}")

    def skip(self) -> None:
        """Go past white space and comments."""
        while True:
            space = _SPACE.match(self.text, self.at)
            if space is not None:
                self.at = space.end()
            if self.text.startswith("//", self.at):
                end = self.text.find("\n", self.at)
                end = len(self.text) if end < 0 else end
            elif self.text.startswith("/*", self.at):
                end = self.text.find("*/", self.at + 2)
                if end < 0:
                    raise self.fault("a comment has no end")
                end += 2
            else:
                return
            self.comments.append((self.at, end))
            self.at = end

    def value(self, depth: int) -> Node:
        """The value that starts here."""
        if depth > _DEEPEST:
            raise self.fault(f"nested deeper than {_DEEPEST}")
        match self.text[self.at : self.at + 1]:
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case '"':
                start = self.at
                return Node(start=start, value=self._string(), end=self.at)
            case _:
                found = _SCALAR.match(self.text, self.at)
                if found is None:
                    raise self.fault("a value is missing")
                if len(found[0]) > _LONGEST_NUMBER:
                    raise self.fault("a number is too long")
                start, self.at = self.at, found.end()
                return Node(start=start, end=self.at, value=_scalar(found[0]))

    def _string(self) -> str:
        found = _STRING.match(self.text, self.at)
        if found is None:
            raise self.fault("a text has no end, or a line break in it")
        try:
            text: str = json.loads(found[0])
            text.encode()
        except (ValueError, UnicodeEncodeError) as error:
            raise self.fault("a text holds an escape that means nothing") from error
        self.at = found.end()
        return text

    def _object(self, depth: int) -> Node:
        start = self.at
        self.at += 1
        members: dict[str, Member] = {}
        while True:
            self.skip()
            if self._take("}"):
                break
            begin = self.at
            if not self.text.startswith('"', begin):
                raise self.fault("a name in double quotes is missing")
            key = self._string()
            if key in members:
                named = "a name" if is_secret_text(key) else f"the name `{escape_text(key[:_SHOWN])}`"
                raise self.fault(f"{named} stands twice")  # 2
            self.skip()
            if not self._take(":"):
                raise self.fault("a colon is missing")
            self.skip()
            value = self.value(depth + 1)
            self.skip()
            place = self.at
            comma = place if self._take(",") else -1
            members[key] = Member(key=key, start=begin, value=value, comma=comma)
            if comma < 0 and not self.text.startswith("}", self.at):
                raise self.fault("a comma is missing")
        return Node(
            start=start,
            end=self.at,
            value={key: one.value.value for key, one in members.items()},
            members=tuple(members.values()),
        )

    def _array(self, depth: int) -> Node:
        start = self.at
        self.at += 1
        items: list[Node] = []
        while True:
            self.skip()
            if self._take("]"):
                values = [one.value for one in items]
                return Node(start=start, end=self.at, value=values, items=tuple(items))
            items.append(self.value(depth + 1))
            self.skip()
            if not self._take(",") and not self.text.startswith("]", self.at):
                raise self.fault("a comma is missing")

    def _take(self, char: str) -> bool:
        if not self.text.startswith(char, self.at):
            return False
        self.at += 1
        return True


def _scalar(text: str) -> JsonValue:
    value: JsonValue = json.loads(text)
    return value
