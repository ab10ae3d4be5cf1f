"""Looking at what a held call names, before it is asked about and before an approval of it is used.

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
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.action import parse_object
from taskbound.core.approval import looks_of, parse_probes
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Evaluated, Hold, Holding
from taskbound.core.decision.settle import LOOK_LIFE
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.truth import NoTruth
from taskbound.flows.approval.look.reading import answered, to_read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Look, Operand
    from taskbound.core.clock import Instant
    from taskbound.core.decision import Verdict
    from taskbound.core.errors import TaskboundError
    from taskbound.core.scope import Covered
    from taskbound.flows.approval.look.reading import Brought
    from taskbound.flows.decision.views import ToolView
    from taskbound.flows.means import Means
    from taskbound.ports.approval import Operands
    from taskbound.ports.tool import PinnedServer


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
