"""Shared parts of the comparison of rows with audit records."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.action import Action, Frame
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.audit import ActionDecided
    from taskbound.ports.action import StoredAction


Fields: TypeAlias = "dict[str, object]"
"""What a row says, or what its records do, by the words for it."""


@dataclass(slots=True)
class RecordedRows:
    """The row values that records leave for one kind, by namespace and name."""

    what: str
    """The kind, in words: `token`."""
    begun: str
    """What its first record says: `issued`."""
    rows: dict[tuple[str, str], Fields] = field(default_factory=dict)

    def put(self, space: str, name: str, **fields: object) -> None:
        self.rows[space, name] = fields

    def change(self, space: str, name: str, **fields: object) -> None:
        if (space, name) in self.rows:
            self.rows[space, name].update(fields)

    def drop(self, space: str, name: str) -> None:
        self.rows.pop((space, name), None)

    def agrees(self, space: str, name: str, row: Mapping[str, object] | None) -> bool:
        return not any(self._compare(name, row, self.rows.get((space, name))))

    def against(self, space: str, rows: Mapping[str, Fields]) -> Iterator[str]:
        told = {name: one for (where, name), one in self.rows.items() if where == space}
        for name in sorted(rows.keys() | told.keys()):
            yield from self._compare(name, rows.get(name), told.get(name))

    def _compare(self, name: str, row: Mapping[str, object] | None, told: Fields | None) -> Iterator[str]:
        called = f"{self.what} {name}".rstrip()
        if row is None:
            yield f"{called} was {self.begun}, and is not there"
        elif told is None:
            yield f"{called} is there, and no record says that it was {self.begun}"
        else:
            for what, there in told.items():
                if row[what] != there:
                    yield f"{called} has another {what} than its records leave it with"


def compared(row: StoredAction, event: ActionDecided) -> Iterator[tuple[str, object, object]]:
    charges = tuple(f"{limit}={amount}" for limit, amount in row.charges)
    yield "decision", row.decision, event.decision
    yield "digest", row.digest, event.digest
    yield "arguments", _digest(row), event.digest
    yield "act key", row.act_key, event.act_key
    yield "task", row.task, event.task
    yield (
        "tool",
        (row.agent, row.tool, row.server, row.definition),
        (
            event.agent,
            event.tool,
            event.server,
            event.definition,
        ),
    )
    yield (
        "grant",
        (row.grant, row.policies, row.bundle, row.scope),
        (
            event.grant,
            event.policies,
            event.bundle,
            event.scope,
        ),
    )
    yield "charge", charges, event.charges
    yield "attempt", row.attempt, event.attempt
    yield "connection", row.connection, event.connection


def _digest(row: StoredAction) -> str:
    frame = Frame(
        namespace=row.namespace,
        task=row.task,
        agent=row.agent,
        tool=row.tool,
        server=row.server,
        definition=row.definition,
    )
    return Action(frame=frame, arguments=row.arguments).digest
