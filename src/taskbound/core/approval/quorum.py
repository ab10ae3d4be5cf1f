"""Who may answer, and whether enough have: asked when somebody answers, and again when it is used.

1. Who asked for the task approves nothing of it, nor does who asked for an ancestor or a descendant: each
   of them has set the agent to work. Persons who are one human are one; so an approver is never the
   requester under another name.
2. A confirmation is the requester's own word, and nobody else's; it counts as no approval.
3. A group's members answer where a policy names the group; those who approve for the agent where it names
   them. Whoever left the organization, or the group, counts no more.
4. Humans are counted, each once, however many keys, accounts or answers they have.
5. A denial by anyone who could have approved or confirmed is final.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskbound.core.approval.errors import NoApproverError, NotEntitledError
from taskbound.core.approval.question import AGENT, NeedKind
from taskbound.core.approval.statement import AnswerKind
from taskbound.core.identity import PersonState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from taskbound.core.approval.question import Need, Question
    from taskbound.core.clock import Instant
    from taskbound.core.identity import Group, Person

__all__ = ["Answer", "Circle", "askable", "missing", "require_askable", "require_entitled", "yes_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one person has said to one question, with their signature."""

    kind: AnswerKind
    person: str
    key: str
    at: Instant
    """As the statement says."""
    received: Instant
    statement: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    """Everybody whose word may count for one question, as they stand now."""

    persons: Mapping[str, Person]
    groups: tuple[Group, ...]
    approvers: tuple[str, ...]
    """Those who approve for the agent."""
    requester: str
    kin: frozenset[str]
    """Who asked for an ancestor or a descendant of the task."""
    human: Callable[[str], str]
    """The human behind a person's name."""


def askable(need: Need, circle: Circle) -> frozenset[str]:
    """Names of all whose word counts for this need now (rules 1, 2 and 3)."""
    if need.kind is NeedKind.CONFIRMATION:
        return _present({circle.requester}, circle)
    barred = {circle.human(name) for name in {circle.requester, *circle.kin}}
    named = {name for group in circle.groups if group.name == need.group for name in group.members}
    if need.group == AGENT:
        named = set(circle.approvers)
    return frozenset(name for name in _present(named, circle) if circle.human(name) not in barred)


def _present(names: Collection[str], circle: Circle) -> frozenset[str]:
    known = circle.persons
    return frozenset(one for one in names if one in known and known[one].state is PersonState.PRESENT)


def require_askable(needs: Iterable[Need], circle: Circle) -> None:
    """Go on only when enough humans could lift the hold: what nobody can answer is refused, not held.

    Raises:
        NoApproverError: Too few could.
    """
    for need in needs:
        could = {circle.human(name) for name in askable(need, circle)}
        if len(could) < need.quorum:
            raise NoApproverError(
                f"`{need.lifter}` needs {need.quorum}, and {len(could) or 'nobody'} may answer it"
            )


def require_entitled(kind: AnswerKind, person: str, needs: Iterable[Need], circle: Circle) -> None:
    """Go on only when this person's answer of this kind counts for the question now.

    Raises:
        NotEntitledError: It does not.
    """
    wanted = {need.kind.value: need for need in needs if person in askable(need, circle)}
    if not wanted:
        raise NotEntitledError(f"`{person}` is none of those whose word counts here")
    if kind is not AnswerKind.DENY and kind.value not in wanted:
        raise NotEntitledError(f"`{person}` can {' or '.join(sorted(wanted))} this, and not {kind.value} it")


def missing(
    needs: Iterable[Need], answers: Iterable[Answer], circle: Circle, standing: Collection[str]
) -> str:
    """What is missing until the hold is lifted, in words; empty when nothing is (rule 4).

    Args:
        needs: Of the question.
        answers: All of them.
        circle: Who may answer, now.
        standing: Ids of the keys whose word counts now.
    """
    said = [one for one in answers if one.key in standing]
    for need in needs:
        can = askable(need, circle)
        humans = {
            circle.human(one.person)
            for one in said
            if one.kind.value == need.kind.value and one.person in can
        }
        if len(humans) < need.quorum:
            return f"`{need.lifter}` has {len(humans)} of {need.quorum}"
    return ""


def yes_of(question: Question, person: str) -> AnswerKind:
    """What this person says by yes: a confirmation only where one is asked of them (rule 2)."""
    asked = any(need.kind is NeedKind.CONFIRMATION for need in question.needs)
    return AnswerKind.CONFIRM if asked and person == question.requester else AnswerKind.APPROVE
