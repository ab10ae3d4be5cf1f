"""What a person may grant: what is said of them, and of each group that they are in.

1. A task must be within all of this together; what one task is given takes nothing from the next, so that a
   limit in it is one of each task by itself.
2. Who is gone or not known may grant nothing, whatever their groups may.
3. Nobody gives what they don't have: who says what somebody may grant, may grant that and what was said
   before. Only the account that owns the data directory may say anything.
4. A scope in steps says what is done in which order, which is a task's matter: it can't be granted from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.person import Breadth, PersonState
from taskbound.core.scope import Missed, Scope, cover
from taskbound.core.scope.algebra import NotCovers, covers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.identity.agent import Agent
    from taskbound.core.identity.person import Grantable, Group, Person
    from taskbound.core.scope import Grant
    from taskbound.core.scope.algebra import Uncovered


_TOLD = 3


class OutsideGrantableError(DeniedError):
    """The task would be given what the person who asks for it may not grant."""

    code = "outside-grantable"
    remedy = "leave it out, or ask somebody who may grant it: see `taskbound person show`"


class NotGiverError(DeniedError):
    """Somebody says what may be granted and may not grant it themselves."""

    code = "not-giver"
    remedy = "ask somebody who may grant all of it, or the account that owns the data directory"


class BadGrantableError(MalformedError):
    """What can't be said of a person or a group."""

    code = "bad-grantable"
    remedy = "give a scope without steps, `--ceiling` or `--nothing`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """All that a person may grant."""

    person: str
    grantable: Grantable
    """The union of what is said of them and of their groups (rule 1)."""
    sources: Mapping[str, str]
    """By grant of the union: where it comes from, such as "g0 of group `payers`"."""


def parse_grantable(grantable: Grantable) -> Grantable:
    """What can be said of a person or a group.

    Raises:
        BadGrantableError: It is a scope in steps (rule 4).
    """
    if isinstance(grantable, Scope) and grantable.steps:
        raise BadGrantableError("what may be granted has no steps")
    return grantable


def reach_of(name: str, persons: Mapping[str, Person], groups: Iterable[Group]) -> Reach:
    """All that this person may grant (rules 1 and 2)."""
    person = persons.get(name)
    if person is None or person.state is not PersonState.PRESENT:
        return Reach(person=name, grantable=Breadth.NOTHING, sources={})  # 2
    said = [(person.grantable, f"`{name}`")]
    said += [(one.grantable, f"group `{one.name}`") for one in groups if name in one.everyone]
    if any(grantable is Breadth.CEILING for grantable, _ in said):
        return Reach(person=name, grantable=Breadth.CEILING, sources={})
    grants: dict[bytes, Grant] = {}
    sources: dict[str, str] = {}
    for grantable, whose in said:
        for grant in grantable.grants if isinstance(grantable, Scope) else ():
            key = Scope(grants=(grant,)).canonical
            if key not in grants:
                grants[key] = _renamed(grant, f"g{len(grants)}")
                sources[grants[key].id] = f"{grant.id} of {whose}"
    union: Grantable = Scope(grants=tuple(grants.values())) if grants else Breadth.NOTHING
    return Reach(person=name, grantable=union, sources=sources)


def require_grantable(scope: Scope, reach: Reach) -> None:
    """Go on only with a scope that this person may grant.

    Raises:
        OutsideGrantableError: They may not.
    """
    match reach.grantable:
        case Breadth.CEILING:
            return
        case Breadth.NOTHING:
            raise OutsideGrantableError(f"`{reach.person}` may grant nothing")
        case Scope() as grantable:
            answer = covers(grantable, scope)
            if isinstance(answer, NotCovers):
                words = uncovered_words(answer, reach.sources, f"`{reach.person}` may grant")
                where = answer.uncovered[0].tool
                raise OutsideGrantableError(f"`{reach.person}` may not grant it: {words}", where=where)


def require_giver(reach: Reach, before: Grantable, after: Grantable) -> None:
    """Go on only when this person may say that somebody may grant this from now on (rule 3).

    Raises:
        NotGiverError: They may not grant all of it, or of what was said before.
    """
    for grantable in (before, after):
        if reach.grantable is Breadth.CEILING or grantable is Breadth.NOTHING:
            continue
        if not isinstance(grantable, Scope) or not isinstance(reach.grantable, Scope):
            raise NotGiverError(f"`{reach.person}` may not grant that themselves")
        answer = covers(reach.grantable, grantable)
        if isinstance(answer, NotCovers):
            words = uncovered_words(answer, reach.sources, f"`{reach.person}` may grant")
            raise NotGiverError(f"`{reach.person}` may not grant that themselves: {words}")


def misses(
    reach: Reach,
    tool: str,
    arguments: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
) -> str:
    """Why this person may not grant one call, in words; empty when they may."""
    match reach.grantable:
        case Breadth.CEILING:
            return ""
        case Breadth.NOTHING:
            return f"`{reach.person}` may grant nothing"
        case Scope() as grantable:
            found = cover(grantable, tool, arguments, schema)
            return f"`{reach.person}` may not grant it" if isinstance(found, Missed) else ""


def why_not(
    reach: Reach,
    agent: Agent,
    tool: str,
    arguments: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
) -> str:
    """Why a task of this agent that covers one call could not be had from this person; empty if it could."""
    if isinstance(cover(agent.ceiling, tool, arguments, schema), Missed):
        return f"the ceiling of agent `{agent.name}` does not cover it, so nobody may grant it"
    return misses(reach, tool, arguments, schema)


def uncovered_words(answer: NotCovers, sources: Mapping[str, str], who: str) -> str:
    """What is not covered, in a person's words, the first three told in full.

    Args:
        answer: What the comparison found.
        sources: Where the wider grants come from, by id; what has no source is called by its id.
        who: Who says no, such as "the ceiling names".
    """
    told = [_sentence(one, sources, who) for one in answer.uncovered[:_TOLD]]
    more = len(answer.uncovered) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _sentence(one: Uncovered, sources: Mapping[str, str], who: str) -> str:
    grant = f"grant {one.grant} (`{one.tool}`)"
    if one.nearest is None:
        return f"{grant} names a tool that no grant {who} names"
    between = "; ".join(gap.sentence for gap in one.gaps)
    return f"{grant} is wider than {sources.get(one.nearest, one.nearest)}, which came nearest: {between}"


def _renamed(grant: Grant, name: str) -> Grant:
    """The grant under another id, and its limits under their keys."""
    old = len(grant.id)
    return replace(
        grant,
        id=name,
        totals=tuple(replace(one, key=name + one.key[old:]) for one in grant.totals),
        rates=tuple(replace(one, key=name + one.key[old:]) for one in grant.rates),
    )
