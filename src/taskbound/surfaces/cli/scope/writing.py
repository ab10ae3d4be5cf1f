"""Writes scopes as readable YAML or canonical JSON."""

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
    """Return the scope as YAML; raises MalformedError if it would not read back the same."""
    raw = write_yaml(scope.value(), order=_ORDER, blocks=_BLOCKS).encode()
    parse_scope(read_document(raw, "scope.yaml").value)
    return raw


def scope_as_json(scope: Scope) -> bytes:
    """Return the canonical bytes and a line feed."""
    return scope.canonical + b"\n"


def schema_as_text(schema: dict[str, JsonValue]) -> bytes:
    """Return a JSON Schema as indented text."""
    return json.dumps(schema, indent=2).encode() + b"\n"


def put(session: Session, raw: bytes, out: str) -> None:
    """Write text to the named file or show it; with `--json` report where it was written."""
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
