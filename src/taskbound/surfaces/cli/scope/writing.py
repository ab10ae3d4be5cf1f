"""Scopes as texts for files: YAML in the order in which a person reads, or canonical JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.scope import parse_scope
from taskbound.surfaces.cli.reading import write_file
from taskbound.surfaces.cli.screen import ascii_json, shown
from taskbound.wire.document import read_document, write_yaml

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope import Scope
    from taskbound.surfaces.cli.session import Session


_ORDER: Final = (
    *("name", "keep", "tool", "arguments", "optional", "others", "uses", "total", "rate"),
    *("min", "max", "limit", "exponent", "currency", "limits", "seconds"),
)
_BLOCKS: Final = ("arguments", "grants", "steps", "total")


class WrittenReport(msgspec.Struct, frozen=True, kw_only=True, tag="written", tag_field="is"):
    """A file that was written."""

    path: str


def scope_as_yaml(scope: Scope) -> bytes:
    """The scope as YAML, which reads back as the same scope.

    Raises:
        MalformedError: It doesn't, such as for the name of an argument that no line of YAML has room for.
    """
    raw = write_yaml(scope.value(), order=_ORDER, blocks=_BLOCKS).encode()
    parse_scope(read_document(raw, "scope.yaml").value)
    return raw


def scope_as_json(scope: Scope) -> bytes:
    """The canonical bytes, and a line's end."""
    return scope.canonical + b"\n"


def schema_as_text(schema: dict[str, JsonValue]) -> bytes:
    """A JSON Schema for people to look at."""
    return json.dumps(schema, indent=2).encode() + b"\n"


def put(session: Session, raw: bytes, out: str) -> None:
    """Write a text to the file that was named, or show it; with `--json` say where it was written."""
    if out:
        write_file(out, [raw])
        if session.screen.json:
            session.screen.document(WrittenReport(path=out))
        else:
            session.screen.note(f"wrote {shown(out)}", "dim")
        return
    text = raw.decode()
    session.screen.text(
        text if text.isascii() or not text.startswith("{") else ascii_json(msgspec.Raw(raw.strip()))
    )
