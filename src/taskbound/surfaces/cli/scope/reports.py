"""JSON documents of the scope commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from taskbound.core.scope.algebra import Change, Dropped, Share
    from taskbound.core.scope.review import Remark


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
    """Return a remark as a row."""
    return RemarkRow(
        code=one.code,
        weight=one.weight.value,
        grant=one.grant,
        path=one.path,
        text=one.text,
        where=where,
    )


def change_row(one: Change, example: bytes | None) -> ChangeRow:
    """Return a change as a row."""
    return ChangeRow(
        grant=one.grant.id,
        tool=one.grant.tool,
        against="" if one.against is None else one.against.id,
        gaps=tuple(gap.sentence for gap in one.gaps),
        example=None if example is None else msgspec.Raw(example),
    )


def share_row(one: Share) -> ShareRow:
    """Return a share as a row."""
    return ShareRow(child=one.child, parent=one.parent, taken=dict(one.taken))


def dropped_row(one: Dropped) -> DroppedRow:
    """Return a pair of grants as a row."""
    return DroppedRow(first=one.first, second=one.second, reason=one.reason)
