"""Comparing pinned tools with the log: what each is, what a person declared of it, and who answers for it.

1. The pinned bytes have the digest that their record names, or another definition would be shown.
2. Not compared: what a gateway last saw of a tool, and whether it has changed: no record ends that.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from taskbound.core.audit.events.people import ToolApproversChanged, ToolOwnerChanged
from taskbound.core.audit.events.standing import ToolAccepted, ToolDeclared, ToolPinned, UpstreamRemoved
from taskbound.core.audit.events.target import TargetRemoved
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import parse_definition
from taskbound.core.tool.file import UNWATCHED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.ports.store import Snapshot
    from taskbound.ports.tool import PinnedTool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the records say of one tool."""

    server: str
    definition: str
    owner: str
    declared: tuple[object, ...] = (False, (), (), "", (), False)
    """Idempotent, probes, checks, effect, roles, unwatched."""


@dataclass(slots=True)
class ToolLedger:
    """What the log says of pinned tools."""

    snapshot: Snapshot
    told: dict[tuple[str, str], _Told] = field(default_factory=dict)
    approvers: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Follow one record."""
        space = record.namespace
        match record.event:
            case ToolPinned() as event:
                self.told[space, event.tool] = _Told(
                    server=event.server, definition=event.definition, owner=event.owner
                )
            case ToolApproversChanged() as event:
                self.approvers.pop((space, event.tool), None)
                if event.own:
                    self.approvers[space, event.tool] = event.approvers
            case UpstreamRemoved(upstream=name) | TargetRemoved(target=name):
                for place in [one for one in self.told if one[0] == space and _server_of(one[1]) == name]:
                    del self.told[place]
            case (ToolAccepted() | ToolDeclared() | ToolOwnerChanged()) as event if (
                space,
                event.tool,
            ) in self.told:
                self.told[space, event.tool] = _follow(self.told[space, event.tool], event)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        """Where the rows differ, in words."""
        spaces = {space for space, _ in self.told} | set(self.snapshot.identities.namespaces())
        for space in sorted(spaces):
            rows = {one.name: one for one in self.snapshot.tools.tools(space)}
            approvers = self.snapshot.tools.approvers(space)
            told = {name: one for (where, name), one in self.told.items() if where == space}
            for name in sorted(rows.keys() | told.keys()):
                if name not in rows:
                    yield f"tool {name} was pinned, and is not there"
                elif name not in told:
                    yield f"tool {name} is there, and no record pinned it"
                else:
                    yield from _compare(rows[name], told[name])
                    if approvers.get(name) != self.approvers.get((space, name)):
                        yield f"tool {name} has other approvers than its records leave it with"


def _server_of(tool: str) -> str:
    return tool.partition("__")[0]


def _follow(told: _Told, event: ToolAccepted | ToolDeclared | ToolOwnerChanged) -> _Told:
    match event:
        case ToolAccepted():
            return _Told(server=told.server, definition=event.after, owner=told.owner)
        case ToolDeclared():
            unwatched = event.outcome == UNWATCHED
            declared = (event.idempotent, event.probes, event.checks, event.effect, event.roles, unwatched)
            return replace(told, declared=declared)
        case ToolOwnerChanged():
            return replace(told, owner=event.owner)


def _compare(row: PinnedTool, told: _Told) -> Iterator[str]:
    declared = (row.idempotent, row.probes, row.checks, row.effect, row.roles, row.unwatched)
    for what, here, there in (
        ("server", row.identity, told.server),
        ("definition", row.digest, told.definition),
        ("owner", row.owner, told.owner),
        ("declaration", declared, told.declared),
    ):
        if here != there:
            yield f"tool {row.name} has another {what} than its records leave it with"
    if _digest(row.definition) != row.digest:
        yield f"the pinned definition of tool {row.name} is not the one that its digest names"  # 1


def _digest(definition: bytes) -> str:
    try:
        found = parse_definition(definition)
    except MalformedError:
        return ""
    return found.digest if found.canonical == definition else ""
