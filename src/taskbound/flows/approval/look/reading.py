"""What reading tools answered for a held call, taken from the record of the calls that were made for it.

1. The gateway makes each reading call as a call of the agent's task, with a decision of its own on the one
   path, and reports its outcome as of any other. What it brings afterwards is the names of those actions;
   what they found is read from the record, and is worked out here. Nothing that it says beside that is heard.
2. A name counts only for what was to be read: this task, this connection, the presentation that is decided
   (`core.approval.answer`), the declared tool under the declared definition, at the same pinned server, with
   these argument bytes. There are as many as things to be read, in their order.
3. It was permitted and succeeded, its answer was released and is kept whole, and its decision is not older
   than a look may be. What was refused or held refuses what it was read for, by the reason that it had.
4. It is the gateway's word all the same, which runs under the agent's account: it shows what changed, and
   holds nothing against a gateway that lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import ActionState
from taskbound.core.approval import MOST_LOOKS, Operand, OperandUnreadableError
from taskbound.core.approval.answer import WITNESS, digest_of, parse_reading, read_for
from taskbound.core.dataclass import dataclass
from taskbound.core.decision.settle import LOOK_LIFE
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.core.approval import Look
    from taskbound.core.clock import Instant
    from taskbound.ports.action import StoredAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What the gateway brings with a call: the actions that it read by (rule 1)."""

    task: str
    connection: str
    request: str
    """The presentation that is decided."""
    actions: tuple[str, ...]
    find: Callable[[str], StoredAction | None]
    """The action of this id in the call's namespace."""


def to_read(looks: Sequence[Look]) -> tuple[Look, ...]:
    """What has to be read for these, each thing once, in order (rule 2)."""
    return tuple({(parse_reading(one.probe.where).tool, one.value): one for one in looks}.values())


def answered(
    looks: Sequence[Look], brought: Brought, *, server: str, now: Instant
) -> tuple[Instant, tuple[Operand, ...]]:
    """What was read for these, and the instant before the first of it was read.

    Args:
        looks: Things that a tool has to be called for.
        brought: What the gateway brings for them.
        server: Identity of the pinned server of the tool that is called.
        now: When.

    Raises:
        OperandUnreadableError: Something of it was not read, or not for this (rules 2 and 3).
    """
    due = to_read(looks)
    if not brought.actions:
        raise OperandUnreadableError(
            "what it names is read by calling a tool, as the call's own gateway does, and nothing was read",
            where=due[0].place,
        )
    if len(brought.actions) != len(due) or len(due) > MOST_LOOKS:
        raise OperandUnreadableError(
            f"{len(due)} things were to be read for this call, and {len(brought.actions)} are brought"
        )
    kept = [_kept(look, action, brought, server) for look, action in zip(due, brought.actions, strict=True)]
    for look, one in zip(due, kept, strict=True):
        if now - one.at > LOOK_LIFE:
            raise OperandUnreadableError("what was read is too old by now: call again", where=look.place)
    digests = {
        (one.tool, one.arguments.decode()): _digest(look, one) for look, one in zip(due, kept, strict=True)
    }
    found = tuple(_operand(one, digests) for one in looks)
    return min(one.at for one in kept), found


def _kept(look: Look, action: str, brought: Brought, server: str) -> StoredAction:
    """The record of the reading call for this (rule 2)."""
    said = parse_reading(look.probe.where)
    kept = brought.find(action) if action else None
    if kept is None:
        raise OperandUnreadableError(f"`{said.tool}` was not called for it", where=look.place)
    theirs = (kept.task, kept.connection, read_for(kept.request), kept.tool, kept.arguments)
    ours = (brought.task, brought.connection, brought.request, said.tool, look.value.encode())
    if theirs != ours:
        raise OperandUnreadableError("what is brought was not read for this call", where=look.place)
    if (kept.server, kept.definition) != (server, said.definition):
        raise OperandUnreadableError(
            f"`{said.tool}` is another tool than the one that was declared: a person has to declare it anew",
            where=look.place,
        )
    return kept


def _digest(look: Look, kept: StoredAction) -> str:
    """What is compared of its answer (rule 3)."""
    if kept.decision != "permit":
        why = next((text for _, text, _ in kept.reasons), "")
        raise OperandUnreadableError(
            f"`{kept.tool}` may not be called for it ({kept.code or kept.decision}): {why}", where=look.place
        )
    if kept.state is not ActionState.SUCCEEDED:
        raise OperandUnreadableError(f"`{kept.tool}` was called for it: {kept.state.value}", where=look.place)
    if kept.answer is None:  # it is kept only where it was released
        raise OperandUnreadableError(f"what `{kept.tool}` answered is withheld or too long", where=look.place)
    try:
        return digest_of(kept.answer)
    except MalformedError as error:
        raise OperandUnreadableError(
            f"what `{kept.tool}` answered can't be read: {error.message}", where=look.place
        ) from error


def _operand(look: Look, digests: dict[tuple[str, str], str]) -> Operand:
    said = parse_reading(look.probe.where)
    found = {
        "arguments": look.value,
        "by": WITNESS,
        "sha256": digests[said.tool, look.value],
        "tool": said.tool,
    }
    return Operand(place=look.place, kind=look.probe.kind, found=tuple(sorted(found.items())))
