"""Probes the operands of a held call before approvers are asked and before an approval is used.

- The daemon and its own processes probe. They ignore a gateway's claim about a file, because the gateway runs
  beneath the agent. Disk operands are probed in place; others may block, so the call is returned *unseen*
  with its looks and decided again with the findings, which are valid for seconds.
- A reading call is decided, recorded and reported as any call of the task. The gateway then gives only action
  ids; an id counts only for its task, connection, presentation (`core.approval.answer`), declared tool and
  definition, pinned server and argument bytes.
- The content is still the word of the gateway, which runs as the agent's account: it shows changes and proves
  nothing against a lying gateway.
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
    from taskbound.core.approval import Lookup
    from taskbound.core.clock import Instant
    from taskbound.core.decision import Verdict
    from taskbound.core.errors import TaskboundError
    from taskbound.core.scope import Covered
    from taskbound.flows.decision.context import ToolView
    from taskbound.flows.means import Adapters
    from taskbound.ports.action import StoredAction
    from taskbound.ports.approval import Operands
    from taskbound.ports.tool import PinnedServer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingCalls:
    """The action ids of the reading calls that the gateway names."""

    task: str
    connection: str
    request: str
    """The presentation that is decided."""
    actions: tuple[str, ...]
    find: Callable[[str], StoredAction | None]
    """The action of this id in the call's namespace."""


def to_read(looks: Sequence[Lookup]) -> tuple[Lookup, ...]:
    """Returns the distinct looks that need a tool call, in order."""
    return tuple({(parse_reading(one.probe.where).tool, one.value): one for one in looks}.values())


def answered(
    looks: Sequence[Lookup], brought: ReadingCalls, *, server: str, now: Instant
) -> tuple[Instant, tuple[Operand, ...]]:
    """Returns the instant before the first reading call and what each found; `server` is its identity."""
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


def _kept(look: Lookup, action: str, brought: ReadingCalls, server: str) -> StoredAction:
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


def _digest(look: Lookup, kept: StoredAction) -> str:
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


def _operand(look: Lookup, digests: dict[tuple[str, str], str]) -> Operand:
    said = parse_reading(look.probe.where)
    found = {
        "arguments": look.value,
        "by": WITNESS,
        "sha256": digests[said.tool, look.value],
        "tool": said.tool,
    }
    return Operand(place=look.place, kind=look.probe.kind, found=tuple(sorted(found.items())))


Looks: TypeAlias = "tuple[Lookup, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandFindings:
    """Findings of operands that are not on the disk."""

    looks: Looks
    at: Instant
    """Before it was looked."""
    found: tuple[Operand | DeniedError, ...]
    """Of each, in order, what is there or why it can't be said."""

    def of(self, looks: Looks, now: Instant) -> tuple[Operand | DeniedError, ...] | None:
        """Returns the findings for these looks; None if incomplete or too old."""
        known = dict(zip(self.looks, self.found, strict=True))
        if now - self.at > LOOK_LIFE or not known.keys() >= set(looks):
            return None
        return tuple(known[one] for one in looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedOperands:
    """The operands of a call, or the error that prevents probing."""

    at: Instant
    operands: tuple[Operand, ...] = ()
    blocked: TaskboundError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsProbe(NoTruth):
    """These operands must be probed before the call can be decided."""

    looks: Looks

    @property
    def unread(self) -> Looks:
        """Returns the looks that need a tool call; if there are any, there are no others."""
        return tuple(one for one in self.looks if one.is_read)


def look_at(
    disk: Operands,
    tool: ToolView,
    arguments: Mapping[str, JsonValue],
    *,
    sight: OperandFindings | None,
    brought: ReadingCalls | None,
    now: Instant,
) -> ProbedOperands | NeedsProbe:
    """Probes the declared operands; `brought` is None if the gateway was not asked to read."""
    if not tool.pinned.probes:
        return ProbedOperands(at=now)
    try:
        probes, defaults = parse_probes(tool.pinned.probes), tool.definition.defaults
        looks = looks_of(probes, arguments, defaults, directory=_directory(tool.server))
        near, read, far = _sorted(looks)
        at = now
        found: tuple[Operand, ...] = ()
        if read:
            if brought is None:
                return NeedsProbe(looks=to_read(read))
            at, found = answered(read, brought, server=tool.pinned.identity, now=now)
        if far:
            seen = see(sight, far, now)
            if isinstance(seen, NeedsProbe):
                return seen
            at, found = min(at, seen.at), (*found, *operands_of(seen.found))
        by_place = {one.place: one for one in (*disk.look(near), *found)}
        return ProbedOperands(operands=tuple(by_place[one.place] for one in looks), at=at)
    except (DeniedError, MalformedError) as error:
        return ProbedOperands(blocked=error, at=now)


def _sorted(looks: Looks) -> tuple[Looks, Looks, Looks]:
    near = tuple(one for one in looks if one.is_near)
    read = tuple(one for one in looks if one.is_read)
    return near, read, tuple(one for one in looks if one not in near and one not in read)


def see(sight: OperandFindings | None, looks: Looks, now: Instant) -> OperandFindings | NeedsProbe:
    """Returns findings for these looks, or that they must be probed."""
    found = None if sight is None else sight.of(looks, now)
    if sight is None or found is None:
        before = () if sight is None else tuple(one for one in sight.looks if one not in looks)
        return NeedsProbe(looks=(*looks, *before))
    return OperandFindings(looks=looks, at=sight.at, found=found)


def operands_of(found: Iterable[Operand | DeniedError]) -> list[Operand]:
    """Returns the operands; raises the first error among them."""
    operands: list[Operand] = []
    for one in found:
        if isinstance(one, DeniedError):
            raise one
        operands.append(one)
    return operands


def with_findings(verdict: Verdict, found: ProbedOperands, covered: Covered) -> Verdict:
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


def probe_remote(adapters: Adapters, looks: Looks) -> OperandFindings:
    """Probes these operands and blocks meanwhile; must not run on the daemon's loop."""
    at = adapters.clock.now()
    return OperandFindings(looks=looks, at=at, found=adapters.far.see(looks))


def _directory(server: PinnedServer) -> str:
    found = parse_object(server.spec).get("directory", "/")
    return found if isinstance(found, str) else "/"
