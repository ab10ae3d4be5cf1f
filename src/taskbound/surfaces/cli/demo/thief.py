"""What an attacker with the log's signing key does; only an earlier checkpoint reveals the new log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.surfaces.cli.plugs import StolenCopy


def place_of(records: Sequence[bytes], action: str) -> int:
    for index, raw in enumerate(records):
        event = audit.parse_record(raw).event
        if isinstance(event, audit.ActionDecided) and event.action == action:
            return index
    raise LookupError(f"the log holds no decision of `{action}`")


def blame(agent: str) -> Callable[[audit.Event], audit.Event]:
    def change(event: audit.Event) -> audit.Event:
        return replace(event, agent=agent) if isinstance(event, audit.ActionDecided) else event

    return change


def forge(loot: StolenCopy, index: int, change: Callable[[audit.Event], audit.Event]) -> tuple[bytes, ...]:
    """Return the lines of an export of the stolen log after changing the event at this index."""
    raws: list[bytes] = []
    heads: dict[str, str] = {}
    """What a record was called, and what it is called now."""
    last: dict[str, str] = {}
    """The hash of each writer's newest record."""
    for number, raw in enumerate(loot.records):
        record = audit.parse_record(raw)
        event = _follow(record.event, heads, raws)
        if number == index:
            event = change(event)
        forged = audit.seal(replace(record, prev=last.get(record.writer, record.prev), event=event))
        heads[_head(record, audit.leaf_hash(raw).hex())] = _head(record, forged.hash)
        last[record.writer] = forged.hash
        raws.append(forged.raw)
    checkpoint = audit.Checkpoint(origin=loot.origin, size=len(raws), root=_root(raws))
    key = audit.make_verifier_key(loot.origin, loot.public)
    note = audit.render_note(checkpoint.text, [(key, loot.sign(checkpoint.text.encode()))])
    return tuple(audit.render_export(loot.origin, raws, [note]))


def _follow(event: audit.Event, heads: dict[str, str], raws: Sequence[bytes]) -> audit.Event:
    match event:
        case audit.WriterStarted():
            return replace(
                event,
                heads=tuple(heads[audit.parse_head(one).text] for one in event.heads),
                checkpoint_root=_root(raws[: event.checkpoint_size]).hex(),
            )
        case audit.CheckpointSigned():
            return replace(event, root=_root(raws[: event.size]).hex())
        case _:
            return event


def _head(record: audit.Record, digest: str) -> str:
    return f"{record.writer}:{record.seq}:{digest}"


def _root(raws: Sequence[bytes]) -> bytes:
    return audit.grow(audit.EMPTY_FRONTIER, [audit.leaf_hash(one) for one in raws]).frontier.root
