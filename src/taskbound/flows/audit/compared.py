"""What a row of an action has in common with the record of its decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import Action, Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import ActionDecided
    from taskbound.ports.action import StoredAction

__all__ = ["compared"]


def compared(row: StoredAction, event: ActionDecided) -> Iterator[tuple[str, object, object]]:
    """By name: what the row has, and what the record has."""
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
    """Of the action that the row's arguments make: bytes that were changed have another."""
    frame = Frame(
        namespace=row.namespace,
        task=row.task,
        agent=row.agent,
        tool=row.tool,
        server=row.server,
        definition=row.definition,
    )
    return Action(frame=frame, arguments=row.arguments).digest
