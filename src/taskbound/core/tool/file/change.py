"""What becomes different when something is declared of a tool, and what of it loosens anything.

1. What relaxes is named: an effect that is less than it was taken for until now, a call that may be repeated,
   a check that shows an effect, a look at what an argument names that is not taken any more, a limit that an
   argument is not worth any more, somebody who may approve, a process that goes on from task to task.
   So does an owner where nobody was: a tool that acts is refused without one. So does that nobody tells an
   outcome: what nobody knows of holds no repeat.
   Who is named where nobody was takes the place of the agent's own approvers, and may be none of them.
2. The digest is of all changes and of the definitions that they are of: who agrees to it, agrees to these
   changes of these definitions, and to no others.
"""

from __future__ import annotations

from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.definition import Effect
from taskbound.core.tool.file.parse import UNWATCHED, WATCHED
from taskbound.core.tool.file.role import parse_roles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from taskbound.core.action.canonical import JsonValue


_RANK: Final = {Effect.READ: 0, Effect.WRITE: 1, Effect.DESTRUCTIVE: 2}
_NONE: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What holds of one tool: what was declared, and what its definition says where nothing was."""

    definition: str
    """The definition's digest."""
    effect: Effect
    roles: tuple[str, ...] = ()
    idempotent: bool = False
    probes: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    approvers: tuple[str, ...] | None = None
    owner: str = ""
    unwatched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that becomes different."""

    tool: str
    definition: str
    what: str
    before: str
    after: str
    relaxes: bool = field(default=False)


def changes(tool: str, before: Declared, after: Declared) -> tuple[Change, ...]:
    """What becomes different of a tool, in a fixed order."""
    return tuple(
        Change(
            tool=tool,
            definition=after.definition,
            what=what,
            before=old or _NONE,
            after=new or _NONE,
            relaxes=relaxes,
        )
        for what, old, new, relaxes in _changed(before, after)
    )


def change_of_sharing(server: str, identity: str, *, before: bool, after: bool) -> tuple[Change, ...]:
    """What becomes different of a server, if anything does.

    Args:
        server: Its name.
        identity: Digest of its identity.
        before: Whether its process may go on from one task to the next.
        after: Whether it may from now on.
    """
    if before is after:
        return ()
    old, new = _word(before), _word(after)
    return (Change(tool=server, definition=identity, what="shareable", before=old, after=new, relaxes=after),)


def digest_of(found: Iterable[Change]) -> str:
    """The digest of changes that somebody was shown (rule 2): 64 lower-case hexadecimal digits."""
    rows: list[JsonValue] = [[one.tool, one.definition, one.what, one.before, one.after] for one in found]
    return sha256(canonical(rows)).hexdigest()


def _changed(before: Declared, after: Declared) -> Iterator[tuple[str, str, str, bool]]:
    """Each thing that differs: what, before, after, and whether it relaxes (rule 1)."""
    if before.effect is not after.effect:
        less = _RANK[after.effect] < _RANK[before.effect]
        yield "effect", before.effect.value, after.effect.value, less
    if before.roles != after.roles:
        yield "roles", " ".join(before.roles), " ".join(after.roles), _unlimited(before, after)
    if before.idempotent is not after.idempotent:
        yield "idempotent", _word(before.idempotent), _word(after.idempotent), after.idempotent
    if before.probes != after.probes:
        unseen = bool(set(before.probes) - set(after.probes))
        yield "probes", " ".join(before.probes), " ".join(after.probes), unseen
    if before.checks != after.checks:
        shown = bool(set(after.checks) - set(before.checks))
        yield "checks", " ".join(before.checks), " ".join(after.checks), shown
    if before.approvers != after.approvers:
        yield "approvers", _people(before.approvers), _people(after.approvers), _more_people(before, after)

    if before.unwatched is not after.unwatched:
        yield "outcome", _told(before), _told(after), after.unwatched
    if before.owner != after.owner:
        yield "owner", before.owner or "nobody", after.owner or "nobody", not before.owner


def _unlimited(before: Declared, after: Declared) -> bool:
    """Whether an argument is not worth a limit any more that was worth one."""
    old, new = parse_roles(before.roles), parse_roles(after.roles)
    lost = [one for one, role in old.items() if role.limited and not (one in new and new[one].limited)]
    known = [one for one, role in new.items() if one not in old and not role.limited and old]
    return bool(lost or known or (old and not new))  # without a role no argument is worth a limit


def _more_people(before: Declared, after: Declared) -> bool:
    if after.approvers is None:
        return True
    return bool(set(after.approvers) - set(before.approvers or ()))


def _people(names: tuple[str, ...] | None) -> str:
    return "those of the agent" if names is None else " ".join(names) or "nobody"


def _told(one: Declared) -> str:
    return UNWATCHED if one.unwatched else WATCHED


def _word(value: bool) -> str:  # noqa: FBT001 -- the word for a truth
    return "yes" if value else "no"
