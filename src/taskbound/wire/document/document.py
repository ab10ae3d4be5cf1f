"""A document that a person wrote, read strictly, and the place in it that an error is about.

1. A file ``….json`` is JSON, ``….yaml`` and ``….yml`` are YAML. Another is JSON if it begins with a brace
   or a bracket, and YAML otherwise.
2. JSON is read by core's own parser, YAML by the rules of ``yaml``. At most 1 MiB, in UTF-8.
3. Every error names file, line and column, and has the line with a caret as its notes.
4. An error about the value names its place as scopes do (``grants[0].tool``). What isn't written in the
   document, such as a member that is missing, is pointed at by what it should stand in.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.action.errors import ByteOrderMarkError, NotUtf8Error
from taskbound.core.action.parse import parse_document, require_size
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.place import Place
from taskbound.wire.document.locate import fault, locate
from taskbound.wire.document.source import Source
from taskbound.wire.document.yaml import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    """A value and the text that it was read from."""

    source: Source
    format: Format
    value: JsonValue
    places: Places | None
    """Where each part begins, where reading found it out."""

    def find(self, where: str) -> int:
        """Where the place stands that an error names, or what it should stand in (rule 4)."""
        places = _texts(locate(self.source.text) if self.places is None else self.places)
        while where not in places and where:
            where = where[: max(where.rfind("."), where.rfind("["), 0)]
        return places.get(where, 0)

    @contextmanager
    def pointing(self) -> Iterator[None]:
        """Errors about the value that are raised inside name file, line and column (rule 3)."""
        try:
            yield
        except MalformedError as error:
            self.source.point(error, self.find(error.where))
            raise


def format_of(name: str, raw: bytes) -> Format:
    """How a file is written (rule 1)."""
    lower = name.lower()
    if lower.endswith(".json"):
        return Format.JSON
    if lower.endswith((".yaml", ".yml")):
        return Format.YAML
    return Format.JSON if raw.lstrip()[:1] in {b"{", b"["} else Format.YAML


def read_document(raw: bytes, name: str) -> Document:
    """The one document that the bytes are.

    Args:
        raw: The bytes of the file.
        name: Its name for people, which may tell how it is written; `-` for standard input.

    Raises:
        MalformedError: It can't be read; ``where`` names file, line and column.
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
    """The places as errors write them; the first counts where two are written alike."""
    found: dict[str, int] = {}
    known: dict[tuple[str | int, ...], Place] = {(): Place()}
    for steps, at in sorted(places.items(), key=lambda pair: pair[1]):
        if steps:
            above, last = known[steps[:-1]], steps[-1]
            known[steps] = above.item(last) if isinstance(last, int) else above.member(last)
        found.setdefault(known[steps].text, at)
    return found
