"""What an attacker with the log's signing key does; only an earlier checkpoint reveals the new log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.audit import (
    EMPTY_FRONTIER,
    ActionDecided,
    Checkpoint,
    CheckpointSigned,
    WriterStarted,
    grow,
    leaf_hash,
    make_verifier_key,
    parse_head,
    parse_record,
    render_export,
    render_note,
    seal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.core.audit import Event, Record
    from taskbound.surfaces.cli.plugs import Loot


def place_of(records: Sequence[bytes], action: str) -> int:
    for index, raw in enumerate(records):
        event = parse_record(raw).event
        if isinstance(event, ActionDecided) and event.action == action:
            return index
    raise LookupError(f"the log holds no decision of `{action}`")


def blame(agent: str) -> Callable[[Event], Event]:
    def change(event: Event) -> Event:
        return replace(event, agent=agent) if isinstance(event, ActionDecided) else event

    return change


def forge(loot: Loot, index: int, change: Callable[[Event], Event]) -> tuple[bytes, ...]:
    """Return the lines of an export of the stolen log after changing the event at this index."""
    raws: list[bytes] = []
    heads: dict[str, str] = {}
    """What a record was called, and what it is called now."""
    last: dict[str, str] = {}
    """The hash of each writer's newest record."""
    for number, raw in enumerate(loot.records):
        record = parse_record(raw)
        event = _follow(record.event, heads, raws)
        if number == index:
            event = change(event)
        forged = seal(replace(record, prev=last.get(record.writer, record.prev), event=event))
        heads[_head(record, leaf_hash(raw).hex())] = _head(record, forged.hash)
        last[record.writer] = forged.hash
        raws.append(forged.raw)
    checkpoint = Checkpoint(origin=loot.origin, size=len(raws), root=_root(raws))
    key = make_verifier_key(loot.origin, loot.public)
    note = render_note(checkpoint.text, [(key, loot.sign(checkpoint.text.encode()))])
    return tuple(render_export(loot.origin, raws, [note]))


def _follow(event: Event, heads: dict[str, str], raws: Sequence[bytes]) -> Event:
    match event:
        case WriterStarted():
            return replace(
                event,
                heads=tuple(heads[parse_head(one).text] for one in event.heads),
                checkpoint_root=_root(raws[: event.checkpoint_size]).hex(),
            )
        case CheckpointSigned():
            return replace(event, root=_root(raws[: event.size]).hex())
        case _:
            return event


def _head(record: Record, digest: str) -> str:
    return f"{record.writer}:{record.seq}:{digest}"


def _root(raws: Sequence[bytes]) -> bytes:
    return grow(EMPTY_FRONTIER, [leaf_hash(one) for one in raws]).frontier.root
