"""Edits configuration files and keeps comments, order and unknown parts; masks and extracts secrets.

1. An environment file is read only as all clients read it (vscode, `src/vs/base/common/envfile.ts`).
2. A line that clients read differently and a key that occurs twice are refused; errors quote no content.
3. A difference shows only the changed servers, because the rest is private, and masks their secrets.
4. A secret outside of variables, headers and unambiguous query parameters leaves the server in place.
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import Slot, require_secret
from taskbound.core.tool.slot import is_secret_text, may_name_secret, names_secret
from taskbound.surfaces.cli.clients.files import BadConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    """One member of an object, from its key's first quote to the end of its value."""

    key: str
    start: int
    value: Node
    comma: int
    """Offset of the comma after it, or -1."""

    @property
    def end(self) -> int:
        return self.value.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value and its offsets in the text."""

    start: int
    end: int
    value: JsonValue
    members: tuple[Member, ...] = ()
    """Of an object."""
    items: tuple[Node, ...] = ()
    """Of an array."""

    def find(self, *keys: str) -> Node | None:
        here: Node | None = self
        for key in keys:
            here = next((one.value for one in here.members if one.key == key), None) if here else None
        return here


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed text."""

    text: str
    root: Node
    comments: tuple[tuple[int, int], ...]
    """Start and end of each."""

    def line_of(self, place: int) -> int:
        return self.text.count("\n", 0, place) + 1


def parse_jsonc(text: str) -> Document:
    reader = _Reader(text=text)
    reader.skip()
    root = reader.value(0)
    reader.skip()
    if reader.at != len(text):
        raise reader.fault("something stands after the end")
    return Document(text=text, root=root, comments=tuple(reader.comments))


@dataclass(slots=True, kw_only=True)
class _Reader:
    text: str
    at: int = 0
    comments: list[tuple[int, int]] = field(default_factory=list)

    def fault(self, what: str) -> BadConfigError:
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - self.text.rfind("\n", 0, self.at)
        return BadConfigError(f"line {line}, column {column}: {what}", where=f"line {line}")

    def skip(self) -> None:
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


_HIDDEN: Final = "(not shown)"
_NAMED: Final = re.compile(r"(?<![\w.-])([\w.-]+)[\"']?\s*[=:][\s\"']*")
_QUERY: Final = re.compile(r"(?<=[?&;#])([^=&;#]*)=([^&;#]*)")
_USER: Final = re.compile(r"(?<=://)[^/@\s]*@")
_ALWAYS: Final = frozenset({"env", "headers"})


def masked_words(words: Sequence[str]) -> tuple[str, ...]:
    found = []
    behind = False
    for word in words:
        at = _secret_at(word)
        if behind or is_secret_text(word):
            found.append(_HIDDEN)
        elif at is not None:
            found.append(word[:at] + _HIDDEN)
        else:
            found.append(masked_url(word) if "://" in word else word)
        behind = at == len(word) or (
            word.startswith("-") and _NAMED.search(word) is None and names_secret(word)
        )
    return tuple(found)


def _secret_at(word: str) -> int | None:
    """Return the offset where a value begins that its name marks as secret, or None; URLs excluded."""
    most = word.find("://") if "://" in word else len(word)
    ends = (one.end() for one in _NAMED.finditer(word) if one.end() <= most and names_secret(one[1]))
    return next(ends, None)


def has_secret(words: Sequence[str]) -> bool:
    return masked_words(words) != tuple(words)


def masked_url(url: str) -> str:
    """Return a URL without credentials and without query values that may be secrets."""
    plain = _USER.sub(f"{_HIDDEN}@", url)
    path = re.split(r"[?#]", plain, maxsplit=1)[0]
    query = plain[len(path) :]
    return path + _QUERY.sub(lambda one: f"{one[1]}={_HIDDEN}" if _hides(one[1], one[2]) else one[0], query)


def _hides(name: str, value: str) -> bool:
    return may_name_secret(name) or is_secret_text(value)


def masked_text(text: str, nodes: Sequence[Node], comments: Sequence[tuple[int, int]]) -> str:
    """Return the text with secrets in these parts masked; lines keep their numbers."""
    places = {(one.start, one.end): new for node in nodes for one, new in _hidden(node)}
    for start, end in comments:
        if any(node.start < start < node.end for node in nodes):
            lines = "\n" * text.count("\n", start, end)
            places[start, end] = (
                f"// {_HIDDEN}" if text[start : start + 2] == "//" else f"/* {_HIDDEN}{lines} */"
            )
    for (start, end), new in sorted(places.items(), reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _hidden(node: Node, key: str = "", *, every: bool = False) -> Iterator[tuple[Node, str]]:
    every = every or key in _ALWAYS
    hidden = f'"{_HIDDEN}"'
    if not isinstance(node.value, dict | list):
        text = node.value if isinstance(node.value, str) else ""
        if every or names_secret(key) or has_secret((text,)) or masked_url(text) != text:
            yield node, hidden
        return
    for one in node.members:
        yield from _hidden(one.value, one.key, every=every)
    words = [one.value if isinstance(one.value, str) else "" for one in node.items]
    for item, word, shown in zip(node.items, words, masked_words(words), strict=True):
        yield from [(item, hidden)] if word != shown else _hidden(item, every=every)


_NAME: Final = re.compile(r'\s*"[^"]*"\s*:\s*')
_AROUND: Final = 2
_MOST_LINES: Final = 5_000
_LONGEST: Final = 400
"""Characters of a line; one that is longer is cut, and says so."""


def difference(before: str, after: str, objects: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    old, new = parse_jsonc(before), parse_jsonc(after)
    return tuple(line for keys in objects for line in _hunks(_part(old, keys), _part(new, keys)))


def _part(document: Document, keys: Sequence[str]) -> tuple[int, list[str]]:
    node = document.root.find(*keys)
    if node is None:
        return 1, []
    before = document.text[: node.start]
    masked = masked_text(document.text[: node.end], [node], document.comments)
    # From its name on, when that is all that stands before it on its line.
    start = before.rfind("\n") + 1
    alone = _NAME.fullmatch(before[start:]) is not None
    return document.line_of(node.start), masked[start if alone else node.start :].splitlines()


def _hunks(old: tuple[int, list[str]], new: tuple[int, list[str]]) -> Iterator[str]:
    (first, before), (second, after) = old, new
    if max(len(before), len(after)) > _MOST_LINES:
        yield f"@@ -{first},{len(before)} +{second},{len(after)} @@ too long to be shown"
        return
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for group in matcher.get_grouped_opcodes(_AROUND):
        a, b = group[0][1], group[0][3]
        sizes = group[-1][2] - a, group[-1][4] - b
        yield f"@@ -{first + a},{sizes[0]} +{second + b},{sizes[1]} @@"
        for tag, a, end, b, last in group:
            if tag == "equal":
                yield from (f" {_cut(line)}" for line in before[a:end])
                continue
            yield from (f"-{_cut(line)}" for line in before[a:end])
            yield from (f"+{_cut(line)}" for line in after[b:last])


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}… ({len(line) - _LONGEST} more characters)"


_LINE: Final = re.compile(
    r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)="
    r"""(?:'([^'\\$`\0]*)'|"([^"\\$`\0]*)"|([^'"\\#$`\0\s](?:[^'"\\#$`\0]*[^'"\\#$`\0\s])?)?)""",
    re.ASCII,
)


def parse_environment(text: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for number, whole in enumerate(re.split(r"\r\n?|\n", text), start=1):
        line = whole.strip()
        if not line or line.startswith("#"):
            continue  # 1
        read = _LINE.fullmatch(line)
        if read is None:
            raise BadConfigError(f"line {number} is not `NAME=value` as every client reads it")  # 2
        found[read[1]] = next((one for one in read.groups()[1:] if one is not None), "")
    return found


class UnplaceableError(Exception):
    """A secret fits no slot; the text never contains the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """A server's pinned values, and the values for its slots."""

    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[Slot, str], ...] = field(default=(), repr=False)


def part_started(environment: Mapping[str, str]) -> Parted:
    declared: dict[str, str] = {}
    secrets: dict[Slot, str] = {}
    for name, value in environment.items():
        slot = _slot("environment", name, value) if names_secret(name) or is_secret_text(value) else None
        if slot is None:
            declared[name] = value
        else:
            secrets[slot] = value
    return Parted(environment=tuple(sorted(declared.items())), secrets=tuple(sorted(secrets.items())))


def part_remote(url: str, headers: Mapping[str, str]) -> Parted:
    declared: dict[str, str] = {}
    secrets: dict[Slot, str] = {}
    for name, value in headers.items():
        if not may_name_secret(name) and not is_secret_text(value):
            declared[name] = value
            continue
        secrets[_placed("header", name, value)] = value
    plain, mark, query = url.partition("?")
    kept = []
    for text in query.split("&") if mark else ():
        name, _, raw = text.partition("=")
        value = unquote(raw)
        if not may_name_secret(unquote(name)) and not is_secret_text(value):
            kept.append(text)
            continue
        slot = _placed("query", name, value)
        if slot in secrets or "+" in raw or "\ufffd" in value:
            raise UnplaceableError(
                f"its URL holds a secret, `{escape_text(name)}`, that is not read in one way"
            )
        secrets[slot] = value
    rest = f"{plain}?{'&'.join(kept)}" if kept else plain
    if has_secret((rest,)) or has_secret((unquote(rest),)):
        raise UnplaceableError("its URL holds a secret outside of its query")  # 4
    return Parted(
        url=rest,
        headers=tuple(sorted(declared.items())),
        secrets=tuple(sorted(secrets.items())),
    )


def _placed(kind: str, name: str, value: str) -> Slot:
    slot = _slot(kind, name, value)
    if slot is None:
        what = "header" if kind == "header" else "URL's parameter"
        raise UnplaceableError(
            f"its {what} `{escape_text(name)}` may be a secret and can't be sealed: too short, or"
            " no plain text"
        )
    return slot


def _slot(kind: str, name: str, value: str) -> Slot | None:
    try:
        slot = Slot(kind=kind, name=name)
        require_secret(slot, value)
    except MalformedError:
        return None
    return slot
