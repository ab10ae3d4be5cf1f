"""Edits of configuration files that keep comments, order and unknown parts.

Of `jsonc`:

1. Comments (`//`, `/* */`) and a comma after the last member are read over, wherever they may stand.
2. A key that stands twice in one object refuses: clients disagree about which one counts.
3. An error says where, by line and column, and quotes nothing that stands there: it may be a secret. A name
   that stands twice is quoted, unless it shows to be one itself.
4. What is read keeps its place, so that a change touches only what it is about, and every other byte stays.

Of `difference`:

1. Shown is a unified difference of the objects of servers that change, and of nothing else in the file: the
   rest is the client's own, and not all of it is anybody's business (`~/.claude.json` holds an account).
2. Secrets and comments are not in it (`masking`). An object too long to look at is not shown, and is said not
   to be.
3. Texts of the file stand in it as they are; whoever prints it escapes them.

Of `envfile`:

Every client reads such files a little differently. Read here is what all of them agree on, and anything else
refuses with its line, so that no server gets a variable which its client would not have given it:

1. Empty lines and lines that begin with `#`; `export ` before a name.
2. `NAME=` and a text without quotes, backslashes, `#` and `$`; or one in single or double quotes without
   backslashes and `$`. What stands twice counts as it stands last.

As VS Code reads them: `src/vs/base/common/envfile.ts` in https://github.com/microsoft/vscode. What the entry
itself says under `env` counts more.

Of `masking`:

1. Of a command's words those that say that they hold a secret (`core.tool.secret`), or that stand behind an
   option or a name which says so, and of a word all behind such a name wherever that stands in it
   (`--env=API_KEY=…`). Of a URL its query, and who signs in with it.
2. Of a text of a configuration the same, and every value of `env` and `headers`, whatever it is: a person
   looks at names there, and nobody can tell which value is none. And every comment, for the same reason.

Of `parting`:

1. A variable that says by its name or its text that it is a secret goes into a slot, unless it can't be one
   (too short, or it decides what runs): then it is declared, stored and named, as any other.
2. A header or a parameter that may be one goes into a slot, or the server stays where it is: what of these is
   pinned is shown.
3. A parameter is moved only where every reader takes the query for the same: it stands once, without a `+`.
4. A secret elsewhere in a URL (path, who signs in, fragment) has no slot: the server stays where it is.
5. No value is in a repr or an error.
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
from taskbound.surfaces.cli.clients.errors import BadConfigError

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


_HIDDEN: Final = "(not shown)"
_NAMED: Final = re.compile(r"(?<![\w.-])([\w.-]+)[\"']?\s*[=:][\s\"']*")
_QUERY: Final = re.compile(r"(?<=[?&;#])([^=&;#]*)=([^&;#]*)")
_USER: Final = re.compile(r"(?<=://)[^/@\s]*@")
_ALWAYS: Final = frozenset({"env", "headers"})


def masked_words(words: Sequence[str]) -> tuple[str, ...]:
    """A command's words without the secrets among them (rule 1)."""
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
    """Where in a word a value begins that the name before it calls a secret; None when there is none.

    What stands in a URL is `masked_url`'s.
    """
    most = word.find("://") if "://" in word else len(word)
    ends = (one.end() for one in _NAMED.finditer(word) if one.end() <= most and names_secret(one[1]))
    return next(ends, None)


def has_secret(words: Sequence[str]) -> bool:
    """Whether a command's words hold a secret."""
    return masked_words(words) != tuple(words)


def masked_url(url: str) -> str:
    """A URL without who signs in, and without the values of its query that may be secrets."""
    plain = _USER.sub(f"{_HIDDEN}@", url)
    path = re.split(r"[?#]", plain, maxsplit=1)[0]
    query = plain[len(path) :]
    return path + _QUERY.sub(lambda one: f"{one[1]}={_HIDDEN}" if _hides(one[1], one[2]) else one[0], query)


def _hides(name: str, value: str) -> bool:
    return may_name_secret(name) or is_secret_text(value)


def masked_text(text: str, nodes: Sequence[Node], comments: Sequence[tuple[int, int]]) -> str:
    """A configuration's text, with what is not shown in these parts of it replaced (rule 2).

    Args:
        text: The text; it keeps its lines.
        nodes: The parts that will be shown.
        comments: Start and end of each comment of the text.
    """
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
    """The values beneath a part that are not shown, with what stands there instead."""
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
    """The lines of the difference, without those that name the file.

    Args:
        before: The file's text, which can be read.
        after: What it will be.
        objects: The way to each object of servers that changes.
    """
    old, new = parse_jsonc(before), parse_jsonc(after)
    return tuple(line for keys in objects for line in _hunks(_part(old, keys), _part(new, keys)))


def _part(document: Document, keys: Sequence[str]) -> tuple[int, list[str]]:
    """The number of the line on which an object begins, and its lines, secrets masked (rules 1 and 2)."""
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
    """The variables that the file gives.

    Raises:
        BadConfigError: A line is none of the kinds that all clients read alike; it is named, not quoted.
    """
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
    """A secret has no slot that it could go into; in words, without the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """What of a server is pinned, and what goes into its slots."""

    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[Slot, str], ...] = field(default=(), repr=False)


def part_started(environment: Mapping[str, str]) -> Parted:
    """The variables of a server that is started (rule 1)."""
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
    """The URL and the headers of a server that is reached (rules 2 to 4).

    Raises:
        UnplaceableError: A secret among them can go into no slot.
    """
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
            f"its {what} `{escape_text(name)}` may be a secret, and is none that can be sealed: too short, or"
            " no plain text"
        )
    return slot


def _slot(kind: str, name: str, value: str) -> Slot | None:
    """The slot that a value can go into, if there is one."""
    try:
        slot = Slot(kind=kind, name=name)
        require_secret(slot, value)
    except MalformedError:
        return None
    return slot
