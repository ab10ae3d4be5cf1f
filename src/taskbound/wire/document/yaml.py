"""Reads YAML and JSON documents with the place of each value.

Of `yaml`:
1. One document; no directives, tags, anchors, aliases, merge keys or complex keys.
2. Tabs, controls and invisible characters must be escapes in double quotes.
3. A plain scalar is ``true``, ``false``, ``null``, a JSON number, or a text. Scalars that some reader takes
   for another type (``~``, ``True``, ``0x1F``, ``017``, ``1_000``, ``12:30``, ``.inf``) are refused; ``yes``,
   ``no``, ``on``, dates and date-times are texts, as in YAML 1.2.
4. A text in double quotes has the escapes of JSON. Plain and quoted texts stand on one line; ``|`` has lines.
5. A key is a text, unique in its mapping.
6. A missing value is refused; ``null`` is written out.
7. Depth is limited to 64, mappings and lists to 65,536 in all.
Of `source`:
1. A line ends at a line feed, with a carriage return before it. Lines and columns count from 1, in
   characters.
2. An excerpt is escaped, at most 56 characters around the place, with a caret below.
Of `locate`:
1. The walk is not recursive, and ends at the first thing that it cannot follow.
2. ``fault`` finds the first character at which the text violates the rule that an error names.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import field
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

import yaml

from taskbound.core.action.errors import (
    DuplicateKeyError,
    EmptyDocumentError,
    LoneSurrogateError,
    NotFiniteError,
    NumberRangeError,
    TooDeepError,
    TooManyPartsError,
)
from taskbound.core.action.parse import LIMITS, parse_document
from taskbound.core.action.text import TextKind, escape_text, kind_of
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError

if TYPE_CHECKING:
    from typing import Protocol

    from taskbound.core.action.canonical import JsonValue

    class _Mark(Protocol):
        index: int


class DocumentSyntaxError(MalformedError):
    """The document is not YAML, or is YAML that two readers could read differently."""

    code: ClassVar[str] = "document-syntax"
    remedy: ClassVar[str] = (
        "correct the file at the place named; docs/reference/scope.md has the YAML that is read"
    )


Places = dict[tuple[str | int, ...], int]

_WORDS: Final[dict[str, JsonValue]] = {"true": True, "false": False, "null": None}
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# What some reader of YAML 1.1 or 1.2 takes for a number, a truth, nothing, or a part of its own language.
_AMBIGUOUS: Final = re.compile(
    r"~|null|true|false|=|<<"
    r"|[-+]?(?:0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_,]*|[0-9_]*\.[0-9_]*(?:e[-+]?[0-9]+)?"
    r"|[0-9][0-9_]*(?:\.[0-9_]*)?e[-+]?[0-9]+|[0-9][0-9_]*(?::[0-9]{1,2})+(?:\.[0-9_]*)?)"
    r"|[-+]?\.?(?:inf|nan)",
    re.IGNORECASE,
)
_ESCAPES: Final = re.compile(r'"(?:[^"\\\n]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_LITERAL: Final = re.compile(r"\|[-+]?[ ]*(?:#[^\n]*)?\r?\n")
_PLAIN_ENOUGH: Final = re.compile(r"[\n\r -~]*")
_INDICATORS: Final = "*&!%@`"
_SHOWN: Final = 64
_VISIBLE: Final = frozenset({None, TextKind.CONFUSABLE})
_QUOTE: Final = "put it in double quotes if a text is meant"


def is_ambiguous(text: str) -> bool:
    """Returns whether some reader takes this plain scalar for another type than a text (rule 3)."""
    return _AMBIGUOUS.fullmatch(text) is not None


def _is_odd(char: str) -> bool:
    return char != "\n" and kind_of(char) not in _VISIBLE


def read_yaml(source: Source) -> tuple[JsonValue, Places]:
    """Returns the value of a text and the offset of each part; raises MalformedError with its place."""
    _require_visible(source)
    reader = _Reader(source)
    try:
        for event in yaml.parse(source.text, Loader=yaml.SafeLoader):
            reader.take(event)
    except yaml.YAMLError as error:
        raise _told(source, error) from error
    if not reader.documents:
        raise source.point(EmptyDocumentError("there is no document", remedy="write one YAML document"), 0)
    return reader.value, reader.places


def _require_visible(source: Source) -> None:
    if _PLAIN_ENOUGH.fullmatch(source.text) and "\r" not in source.text.replace("\r\n", "\n"):
        return
    odd = {char for char in set(source.text) if char != "\r" and _is_odd(char)}
    for at, char in enumerate(source.text):
        if char == "\t":
            raise source.point(
                DocumentSyntaxError(
                    "a tab stands here", remedy="indent with spaces; in a text, write \\t in double quotes"
                ),
                at,
            )
        if char in odd or (char == "\r" and source.text[at + 1 : at + 2] != "\n"):
            error = DocumentSyntaxError(
                f"a character stands here that can't be seen: U+{ord(char):04X}",
                remedy=f"take it out, or write it as an escape in double quotes: {_escape(char)}",
            )
            raise source.point(error, at)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _told(source: Source, error: yaml.YAMLError) -> DocumentSyntaxError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    at = min(_index(mark), len(source.text))
    start = at
    while start and source.text[start - 1] in _INDICATORS:
        start -= 1
    char = source.text[start : start + 1]
    if char and char in _INDICATORS:
        return source.point(
            DocumentSyntaxError(f"a text that begins with {_named(char)} must stand in double quotes"), start
        )
    words = str(getattr(error, "problem", None) or "it is not YAML").split("\n", 1)[0]
    context = str(getattr(error, "context", None) or "").split("\n", 1)[0]
    said = escape_text(f"{context}: {words}" if context else words)[:200].replace("`", "'").rstrip(".")
    return source.point(DocumentSyntaxError(f"this is no YAML: {said}"), at)


def _index(mark: _Mark | None) -> int:
    return 0 if mark is None else mark.index


def _named(char: str) -> str:
    return "a backtick" if char == "`" else f"`{char}`"


@dataclass(slots=True)
class _Open:
    into: dict[str, JsonValue] | list[JsonValue]
    steps: tuple[str | int, ...]
    key: str | None = None
    """The key whose value comes next."""
    lines: dict[str, int] = field(default_factory=dict)
    """Where each key stands."""


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.value: JsonValue = None
        self.places: Places = {}
        self.documents = 0
        self._open: list[_Open] = []
        self._parts = 0

    def take(self, event: yaml.Event) -> None:
        at = _index(event.start_mark)
        match event:
            case yaml.DocumentStartEvent():
                self._begin(event, at)
            case yaml.AliasEvent():
                raise self._fault("an alias stands here", at, "write the value out, or put a text in quotes")
            case yaml.ScalarEvent():
                self._require_plain_node(event, at)
                self._scalar(event, at)
            case yaml.MappingStartEvent():
                self._require_plain_node(event, at)
                if event.flow_style and self.source.text[at] != "{":
                    raise self._fault("a pair stands in a list", at, "write it in braces: {key: value}")
                self._enter({}, at)
            case yaml.SequenceStartEvent():
                self._require_plain_node(event, at)
                self._enter([], at)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()
            case _:
                pass  # the stream's begin and end, and the document's end, say nothing

    def _begin(self, event: yaml.DocumentStartEvent, at: int) -> None:
        self.documents += 1
        if self.documents > 1:
            raise self._fault("a second document begins here", at, "write one document in a file")
        if event.version or event.tags:
            raise self._fault("directives are not read", at, "take out the lines that begin with `%`")

    def _require_plain_node(self, event: yaml.NodeEvent, at: int) -> None:
        if event.anchor is not None:
            raise self._fault("an anchor stands here", at, "write the value out where it is needed")
        if getattr(event, "tag", None) is not None:
            raise self._fault("a tag stands here", at, "take it out; quotes make a text")

    def _enter(self, into: dict[str, JsonValue] | list[JsonValue], at: int) -> None:
        self._parts += 1
        if len(self._open) >= LIMITS.depth:
            raise self.source.point(
                TooDeepError(f"mappings and lists stand more than {LIMITS.depth} deep in each other"), at
            )
        if self._parts > LIMITS.parts:
            raise self.source.point(
                TooManyPartsError(f"there are more than {LIMITS.parts} mappings and lists"), at
            )
        if self._open and isinstance(self._open[-1].into, dict) and self._open[-1].key is None:
            raise self._fault("a key must be a text", at, "write `key: value`")
        self._open.append(_Open(into=into, steps=self._put(into, at)))

    def _scalar(self, event: yaml.ScalarEvent, at: int) -> None:
        value = self._read(event, at)
        top = self._open[-1] if self._open else None
        if top is None or isinstance(top.into, list) or top.key is not None:
            self._put(value, at)
            return
        if not isinstance(value, str):
            raise self._fault(f"a key must be a text: put `{event.value[:_SHOWN]}` in double quotes", at)
        if value in top.lines:
            line, _ = self.source.spot(top.lines[value])
            shown = escape_text(value[:_SHOWN]).replace("`", "'")
            raise self.source.point(DuplicateKeyError(f"the key `{shown}` stands in line {line} already"), at)
        top.key = value
        top.lines[value] = at
        self.places[(*top.steps, value)] = at

    def _put(self, value: JsonValue, at: int) -> tuple[str | int, ...]:
        if not self._open:
            self.value = value
            self.places[()] = at
            return ()
        top = self._open[-1]
        if isinstance(top.into, list):
            steps = (*top.steps, len(top.into))
            self.places[steps] = at
            top.into.append(value)
            return steps
        key = top.key or ""
        top.into[key] = value
        top.key = None
        return (*top.steps, key)

    def _read(self, event: yaml.ScalarEvent, at: int) -> JsonValue:
        written = self.source.text[at : _index(event.end_mark)]
        match event.style:
            case '"':
                return self._quoted(written, at)
            case "|":
                if not _LITERAL.match(written):
                    raise self._fault("only `|`, `|-` and `|+` are read here", at)
                return event.value
            case ">":
                raise self._fault("a folded text stands here", at, "use `|`, or one line in double quotes")
            case "'":
                if "\n" in written:
                    raise self._fault("a text in quotes goes over several lines", at, "use `|`, or `\\n`")
                return event.value
            case _:
                return self._plain(event.value, written, at)

    def _quoted(self, written: str, at: int) -> JsonValue:
        if "\n" in written:
            raise self._fault("a text in quotes goes over several lines", at, "use `|`, or `\\n`")
        if _ESCAPES.fullmatch(written) is None:
            raise self._fault(
                "a text has an escape that JSON doesn't know",
                at,
                'use \\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u0000; in single quotes a backslash is itself',
            )
        try:
            return parse_document(written.encode())
        except MalformedError as error:
            raise self.source.point(error, at) from None

    def _plain(self, text: str, written: str, at: int) -> JsonValue:
        if not text:
            raise self._fault("nothing stands here", at, "write the value, `null`, or quotes")
        if "\n" in written:
            raise self._fault(
                "a text without quotes goes over several lines", at, "put it in quotes, or use `|`"
            )
        if text in _WORDS:
            return _WORDS[text]
        if _NUMBER.fullmatch(text):
            try:
                return parse_document(text.encode())
            except MalformedError as error:
                raise self.source.point(error, at) from None
        if is_ambiguous(text):
            raise self._fault(f"`{text[:_SHOWN]}` is read differently by others: {_QUOTE}", at)
        return text

    def _fault(self, message: str, at: int, remedy: str = "") -> DocumentSyntaxError:
        return self.source.point(DocumentSyntaxError(message, remedy=remedy), at)


E = TypeVar("E", bound=TaskboundError)
_BEFORE: Final = 36
_AFTER: Final = 20
_WIDE: Final = frozenset({"W", "F"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A text with the name of its file."""

    name: str
    text: str
    starts: tuple[int, ...] = field(init=False, repr=False)
    """Where each line begins."""

    def __post_init__(self) -> None:
        """Finds the lines."""
        starts = [0]
        at = self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        object.__setattr__(self, "starts", tuple(starts))

    def spot(self, at: int) -> tuple[int, int]:
        """Returns line and column of a character (rule 1)."""
        line = bisect_right(self.starts, at)
        return line, at - self.starts[line - 1] + 1

    def excerpt(self, at: int) -> tuple[str, str]:
        """Returns the line of a character, and a caret for below it (rule 2)."""
        line, column = self.spot(at)
        start = self.starts[line - 1]
        whole = self.text[start : self.starts[line] if line < len(self.starts) else None].rstrip("\r\n")
        first, last = max(0, column - 1 - _BEFORE), column - 1 + _AFTER
        while _cells(before := _visible(whole[first : column - 1])) > _BEFORE:
            first += 1
        before = f"…{before}" if first else before
        after = _visible(whole[column - 1 : last]) + ("…" if last < len(whole) else "")
        head = f"{line:>5} | "
        return f"{head}{before}{after}".rstrip(), f"{' ' * (len(head) - 2)}| {' ' * _cells(before)}^"

    def point(self, error: E, at: int) -> E:
        """Returns the error with `where` as ``file:line:column`` and the excerpt as notes."""
        line, column = self.spot(at)
        error.where = f"{self.name}:{line}:{column}"
        for one in self.excerpt(at):
            error.add_note(one)
        return error


def _visible(part: str) -> str:
    return escape_text(f".{part}.")[1:-1]


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(one) in _WIDE else 1 for one in text) - sum(
        1 for one in text if unicodedata.combining(one)
    )


_TOKEN: Final = re.compile(r'[ \t\n\r]*([{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+)', re.DOTALL)
_SPACE: Final = " \t\n\r"
_BYTE: Final = re.compile(r"byte ([0-9]+)")
_OF_VALUES: Final = (NumberRangeError, NotFiniteError, LoneSurrogateError)


@dataclass(slots=True)
class _LocateOpen:
    steps: tuple[str | int, ...]
    keys: set[str] | None
    """Of an object, those that were seen; ``None`` for a list."""
    key: str | None = None
    count: int = 0


@dataclass(slots=True)
class _Walk:
    wanted: type[MalformedError] | None
    places: Places = field(default_factory=dict)
    found: int | None = None
    """Where what is wanted stands."""
    open: list[_LocateOpen] = field(default_factory=list)
    parts: int = 0

    def take(self, word: str, at: int) -> None:
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
        self.open.append(_LocateOpen(self._put(at), set() if word == "{" else None))

    def _name(self, top: _LocateOpen, word: str, at: int) -> None:
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
    """Returns the offset of each part of a JSON text; of a member that of its key."""
    return _walk(text, None).places


def fault(error: MalformedError, raw: bytes, text: str) -> int:
    """Returns where the text violates the rule that the error names; 0 if that is unknown."""
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
