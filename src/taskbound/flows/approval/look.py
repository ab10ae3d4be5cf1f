"""Reads what a held call names, before approvers are asked and before their approval is used.

Of `looking`:

1. Only what policy holds is looked at, and only by this process and its own: what a gateway says of a file is
   believed by nobody, since it runs beneath the agent.
2. What can't be looked at is kept as the error that it is: nobody is asked, and what was asked is over.
3. A relative path starts where the pinned server runs.
4. What is on the disk is looked at in place. What may wait for another is never waited for where calls are
   decided: the call is given back *unseen*, with what to look at, and is decided again with what was seen
   by then.
5. What was seen is of the moment before looking began, is of exactly these looks, and is worth some
   seconds. Where more is needed by then, all of it is looked at again at once.
6. What a tool has to be called for is given back by itself, before anything else is looked at: the gateway
   makes those calls and brings what they are named (`reading`). Who brings less than that is refused.

Of `reading`:

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

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.action import ActionState, parse_object
from taskbound.core.approval import MOST_LOOKS, Operand, OperandUnreadableError, looks_of, parse_probes
from taskbound.core.approval.probe import WITNESS, digest_of, parse_reading, read_for
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Evaluated, Hold, Holding
from taskbound.core.decision.settle import LOOK_LIFE
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Look
    from taskbound.core.clock import Instant
    from taskbound.core.decision import Verdict
    from taskbound.core.errors import TaskboundError
    from taskbound.core.scope import Covered
    from taskbound.flows.decision.context import ToolView
    from taskbound.flows.means import Means
    from taskbound.ports.action import StoredAction
    from taskbound.ports.approval import Operands
    from taskbound.ports.tool import PinnedServer


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


Looks: TypeAlias = "tuple[Look, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was seen of things that are not on the disk."""

    looks: Looks
    at: Instant
    """Before it was looked (rule 5)."""
    found: tuple[Operand | DeniedError, ...]
    """Of each, in order, what is there or why it can't be said."""

    def of(self, looks: Looks, now: Instant) -> tuple[Operand | DeniedError, ...] | None:
        """What was seen of these; None where that is not all of them, or too long ago (rule 5)."""
        known = dict(zip(self.looks, self.found, strict=True))
        if now - self.at > LOOK_LIFE or not known.keys() >= set(looks):
            return None
        return tuple(known[one] for one in looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was found behind the arguments of a call, or why it can't be looked at."""

    at: Instant
    operands: tuple[Operand, ...] = ()
    blocked: TaskboundError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen(NoTruth):
    """This has to be looked at before the call can be decided (rule 4)."""

    looks: Looks

    @property
    def unread(self) -> Looks:
        """Those that a tool has to be called for; then they are all that there is (rule 6)."""
        return tuple(one for one in self.looks if one.is_read)


def look_at(
    disk: Operands,
    tool: ToolView,
    arguments: Mapping[str, JsonValue],
    *,
    sight: Sight | None,
    brought: Brought | None,
    now: Instant,
) -> Seen | Unseen:
    """What is behind the arguments that a person declared of this tool (rules 1 and 2).

    Args:
        disk: Looks at what is on the disk.
        tool: The tool that is called.
        arguments: Those of the call.
        sight: What was seen of the rest.
        brought: What was read of it; None where nobody was told to read.
        now: When.
    """
    if not tool.pinned.probes:
        return Seen(at=now)
    try:
        probes, defaults = parse_probes(tool.pinned.probes), tool.definition.defaults
        looks = looks_of(probes, arguments, defaults, directory=_directory(tool.server))
        near, read, far = _sorted(looks)
        at = now
        found: tuple[Operand, ...] = ()
        if read:
            if brought is None:
                return Unseen(looks=to_read(read))  # 6
            at, found = answered(read, brought, server=tool.pinned.identity, now=now)
        if far:
            seen = see(sight, far, now)
            if isinstance(seen, Unseen):
                return seen
            at, found = min(at, seen.at), (*found, *operands_of(seen.found))
        by_place = {one.place: one for one in (*disk.look(near), *found)}
        return Seen(operands=tuple(by_place[one.place] for one in looks), at=at)
    except (DeniedError, MalformedError) as error:
        return Seen(blocked=error, at=now)


def _sorted(looks: Looks) -> tuple[Looks, Looks, Looks]:
    """What is on the disk, what is read by a tool, and what else may wait."""
    near = tuple(one for one in looks if one.is_near)
    read = tuple(one for one in looks if one.is_read)
    return near, read, tuple(one for one in looks if one not in near and one not in read)


def see(sight: Sight | None, looks: Looks, now: Instant) -> Sight | Unseen:
    """What was seen of these, or that they are to be looked at, with whatever was before (rules 4 and 5)."""
    found = None if sight is None else sight.of(looks, now)
    if sight is None or found is None:
        before = () if sight is None else tuple(one for one in sight.looks if one not in looks)
        return Unseen(looks=(*looks, *before))
    return Sight(looks=looks, at=sight.at, found=found)


def operands_of(found: Iterable[Operand | DeniedError]) -> list[Operand]:
    """What was found.

    Raises:
        DeniedError: The first of them can't be looked at.
    """
    operands: list[Operand] = []
    for one in found:
        if isinstance(one, DeniedError):
            raise one
        operands.append(one)
    return operands


def with_findings(verdict: Verdict, found: Seen, covered: Covered) -> Verdict:
    """The verdict with what was found for it."""
    match verdict:
        case Holding():
            return replace(verdict, operands=found.operands, blocked=found.blocked, looked=found.at)
        case Evaluated():  # what it waits for may be held whatever policy says now
            held = Holding(
                covered=covered,
                hold=Hold(reasons=(), policies=verdict.policies, lifters=()),
                operands=found.operands,
                blocked=found.blocked,
                looked=found.at,
            )
            return replace(verdict, looked=held)
        case _:
            return verdict


def look_far(means: Means, looks: Looks) -> Sight:
    """What is behind these; waits for it, so it is asked for beside the loop (rule 4)."""
    at = means.clock.now()
    return Sight(looks=looks, at=at, found=means.far.see(looks))


def _directory(server: PinnedServer) -> str:
    """Where the pinned server runs (rule 3)."""
    found = parse_object(server.spec).get("directory", "/")
    return found if isinstance(found, str) else "/"
