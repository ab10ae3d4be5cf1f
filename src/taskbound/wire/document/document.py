"""Reads and writes one strict document.

Of `document`:
1. A file ``….json`` is JSON, ``….yaml`` and ``….yml`` are YAML; another is JSON if it begins with a brace or
   bracket, else YAML.
2. JSON is read by core's parser, YAML by the rules of ``yaml``; at most 1 MiB of UTF-8.
3. Every error names file, line and column, and has the line with a caret as its notes.
4. An error about the value names its place as scopes do (``grants[0].tool``). A missing member is reported at
   its container.
Of `write`:
1. Texts are plain if every YAML reader takes them for texts, else JSON texts in double quotes. Characters
   that could hide something (`places_in`) are escaped, so that a terminal can show the result.
2. Mappings and lists stand on one line where they fit, except those meant to be read line by line.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.errors import ByteOrderMarkError, NotUtf8Error
from taskbound.core.action.parse import parse_document, require_size
from taskbound.core.action.text import places_in
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.path import Place
from taskbound.wire.document.yaml import Source, fault, is_ambiguous, locate, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.wire.document.yaml import Places


_MARK: Final = "\ufeff"
_STANDARD_INPUT: Final = "<stdin>"


class Format(Enum):
    """How a document is written."""

    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A value and the text from which it was read."""

    source: Source
    format: Format
    value: JsonValue
    places: Places | None
    """Where each part begins, where reading found it out."""

    def find(self, where: str) -> int:
        """Returns the offset of the place that an error names, or of its container (rule 4)."""
        places = _texts(locate(self.source.text) if self.places is None else self.places)
        while where not in places and where:
            where = where[: max(where.rfind("."), where.rfind("["), 0)]
        return places.get(where, 0)

    @contextmanager
    def pointing(self) -> Iterator[None]:
        """Adds file, line and column to errors about the value that are raised inside (rule 3)."""
        try:
            yield
        except MalformedError as error:
            self.source.point(error, self.find(error.where))
            raise


def format_of(name: str, raw: bytes) -> Format:
    """Returns the format of a file (rule 1)."""
    lower = name.lower()
    if lower.endswith(".json"):
        return Format.JSON
    if lower.endswith((".yaml", ".yml")):
        return Format.YAML
    return Format.JSON if raw.lstrip()[:1] in {b"{", b"["} else Format.YAML


def read_document(raw: bytes, name: str) -> Document:
    """Reads one document; raises MalformedError with file, line and column in `where`.

    `name` is the file's name for people, from which the format may follow; `-` for standard input.
    """
    form = format_of(name, raw)
    source = Source(name=_STANDARD_INPUT if name == "-" else name, text=raw.decode(errors="replace"))
    if form is Format.JSON:
        try:
            return Document(source=source, format=form, value=parse_document(raw), places=None)
        except MalformedError as error:
            raise source.point(error, fault(error, raw, source.text)) from None
    try:
        require_size(raw)  # rule 2
        _require_text(raw, source)
    except MalformedError as error:
        raise source.point(error, fault(error, raw, "")) from None
    value, places = read_yaml(source)
    return Document(source=source, format=form, value=value, places=places)


def _require_text(raw: bytes, source: Source) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        where = f"byte {error.start}"
        raise NotUtf8Error(f"{where} is not UTF-8", where=where) from error
    if source.text.startswith(_MARK):
        raise ByteOrderMarkError("the document begins with a byte order mark")


def _texts(places: Mapping[tuple[str | int, ...], int]) -> dict[str, int]:
    """The first place counts if two have the same text."""
    found: dict[str, int] = {}
    known: dict[tuple[str | int, ...], Place] = {(): Place()}
    for steps, at in sorted(places.items(), key=lambda pair: pair[1]):
        if steps:
            above, last = known[steps[:-1]], steps[-1]
            known[steps] = above.item(last) if isinstance(last, int) else above.member(last)
        found.setdefault(known[steps].text, at)
    return found


_WIDTH: Final = 88
_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+-]+)*")


def write_yaml(value: JsonValue, *, order: Sequence[str] = (), blocks: Sequence[str] = ()) -> str:
    """Returns the text of one document.

    `order` names members that come first, `blocks` members whose values and items are written line by line.
    """
    return "\n".join(_Writer(order, blocks).lines(value, block=True)) + "\n"


class _Writer:
    def __init__(self, order: Sequence[str], blocks: Sequence[str]) -> None:
        self._rank = {name: at for at, name in enumerate(order)}
        self._blocks = frozenset(blocks)

    def lines(self, value: JsonValue, *, block: bool, items: bool = False) -> Iterator[str]:
        if self._is_flow(value, block=block):
            yield self.flow(value)
        elif isinstance(value, list):
            for item in value:
                first, *rest = self.lines(item, block=items)
                yield f"- {first}"
                yield from (f"  {line}" for line in rest)
        elif isinstance(value, dict):
            for name in self._sorted(value):
                member, inner = value[name], name in self._blocks
                inside = self.lines(member, block=inner, items=inner)
                if self._is_flow(member, block=inner):
                    yield f"{_text(name)}: {next(inside)}"
                else:
                    yield f"{_text(name)}:"
                    yield from (f"  {line}" for line in inside)

    def _is_flow(self, value: JsonValue, *, block: bool) -> bool:
        if not isinstance(value, dict | list) or not value:
            return True
        return not block and len(self.flow(value)) <= _WIDTH

    def flow(self, value: JsonValue) -> str:
        match value:
            case dict():
                members = (f"{_text(name)}: {self.flow(value[name])}" for name in self._sorted(value))
                return "{" + ", ".join(members) + "}"
            case list():
                return "[" + ", ".join(map(self.flow, value)) + "]"
            case str():
                return _text(value)
            case _:
                return canonical(value).decode()

    def _sorted(self, value: dict[str, JsonValue]) -> list[str]:
        return sorted(value, key=lambda name: (self._rank.get(name, len(self._rank)), name))


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and not is_ambiguous(text):
        return text
    hidden = places_in(text)
    return '"' + "".join(_escape(one) if at in hidden else _json(one) for at, one in enumerate(text)) + '"'


def _json(char: str) -> str:
    return json.dumps(char, ensure_ascii=False)[1:-1]


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
