"""JSON documents of the scope commands, and scopes as readable YAML or canonical JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.scope import parse_scope
from taskbound.surfaces.cli.reading import write_file
from taskbound.surfaces.cli.screen import ascii_json, shown
from taskbound.wire.document import read_document, write_yaml

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope import Scope
    from taskbound.core.scope.algebra import Change, Share
    from taskbound.core.scope.review import Remark
    from taskbound.surfaces.cli.session import Session


class RemarkRow(msgspec.Struct, frozen=True, kw_only=True):
    """A remark."""

    code: str
    weight: str
    """`breadth` or `mistake`."""
    grant: str
    path: str
    text: str
    where: str
    """File, line and column; empty when the scope was no file."""


class CheckReport(msgspec.Struct, frozen=True, kw_only=True, tag="checked", tag_field="is"):
    """What a scope permits and can't permit, with remarks."""

    name: str
    digest: str
    grants: int
    steps: int
    tools: bool
    """Whether it was held against definitions of tools."""
    permits: tuple[str, ...]
    never: tuple[str, ...]
    remarks: tuple[RemarkRow, ...]


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that the other scope doesn't cover."""

    grant: str
    tool: str
    against: str
    """The grant of the other scope that came nearest; empty when none names the tool."""
    gaps: tuple[str, ...]
    example: msgspec.Raw | None
    """Arguments that only this grant covers, when some were found."""


class DiffReport(msgspec.Struct, frozen=True, kw_only=True, tag="scope-diff", tag_field="is"):
    """The differences between two scopes."""

    direction: str
    """`same`, `narrower`, `wider` or `other`."""
    old: str
    new: str
    """Digests."""
    added: tuple[ChangeRow, ...]
    removed: tuple[ChangeRow, ...]


class ShareRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a grant takes of the limits of a containing grant."""

    child: str
    parent: str
    taken: dict[str, int]


class UncoveredRow(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that isn't shown to be covered."""

    grant: str
    tool: str
    nearest: str
    text: str


class CoversReport(msgspec.Struct, frozen=True, kw_only=True, tag="scope-covers", tag_field="is"):
    """Whether one scope permits all that another does."""

    covers: bool
    shares: tuple[ShareRow, ...]
    uncovered: tuple[UncoveredRow, ...]


class DroppedRow(msgspec.Struct, frozen=True, kw_only=True):
    """Two grants whose intersection can't be written."""

    first: str
    second: str
    reason: str


class IntersectReport(msgspec.Struct, frozen=True, kw_only=True, tag="scope-intersection", tag_field="is"):
    """What two scopes both permit."""

    scope: msgspec.Raw | None
    digest: str
    dropped: tuple[DroppedRow, ...]


class DigestReport(msgspec.Struct, frozen=True, kw_only=True, tag="scope-digest", tag_field="is"):
    """A scope's digest."""

    name: str
    digest: str


def remark_row(one: Remark, where: str) -> RemarkRow:
    return RemarkRow(
        code=one.code,
        weight=one.weight.value,
        grant=one.grant,
        path=one.path,
        text=one.text,
        where=where,
    )


def change_row(one: Change) -> ChangeRow:
    return ChangeRow(
        grant=one.grant.id,
        tool=one.grant.tool,
        against="" if one.against is None else one.against.id,
        gaps=tuple(gap.sentence for gap in one.gaps),
        example=None if one.example is None else msgspec.Raw(canonical(one.example)),
    )


def share_row(one: Share) -> ShareRow:
    return ShareRow(child=one.child, parent=one.parent, taken=dict(one.taken))


_ORDER: Final = (
    *("name", "keep", "tool", "arguments", "optional", "others", "uses", "total", "rate"),
    *("min", "max", "limit", "exponent", "currency", "limits", "seconds"),
)
_BLOCKS: Final = ("arguments", "grants", "steps", "total")


class WrittenReport(msgspec.Struct, frozen=True, kw_only=True, tag="written", tag_field="is"):
    """A file that was written."""

    path: str


def scope_as_yaml(scope: Scope) -> bytes:
    raw = write_yaml(scope.value(), order=_ORDER, blocks=_BLOCKS).encode()
    parse_scope(read_document(raw, "scope.yaml").value)
    return raw


def scope_as_json(scope: Scope) -> bytes:
    return scope.canonical + b"\n"


def schema_as_text(schema: dict[str, JsonValue]) -> bytes:
    return json.dumps(schema, indent=2).encode() + b"\n"


def put(session: Session, raw: bytes, out: str) -> None:
    if out:
        write_file(out, [raw])
        session.screen.report(WrittenReport(path=out))
        session.screen.hint(f"wrote {shown(out)}")
        return
    text = raw.decode()
    session.screen.text(
        text if text.isascii() or not text.startswith("{") else ascii_json(msgspec.Raw(raw.strip()))
    )
