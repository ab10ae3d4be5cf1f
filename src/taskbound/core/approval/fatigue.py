"""Limits on the questions that people are asked, and detection of answers faster than reading allows.

A question over a limit is refused and its task pauses. Reading time runs from the first display to this
person until their answer, so it is an upper bound. A *hasty* approval came faster than the sheet can be
read, or without a display here; it counts and is reported. Hasty denials are not reported.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from taskbound.core.approval.quorum import AnswerKind
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.core.approval.quorum import Answer
    from taskbound.core.clock import Instant


_SECOND: Final = 1_000_000
_HOUR: Final = 3600 * _SECOND
_MOST: Final = {"open": 200, "hourly": 10_000, "speed": 10_000}


class BadLimitsError(MalformedError):
    """A limit on questions is out of range."""

    code = "bad-limits"
    remedy = "see `taskbound approval limits --help`"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalLimits:
    """Limits on the questions of one namespace."""

    namespace: str
    open: int = 20
    """Questions of one task that are open at once."""
    hourly: int = 60
    """Questions that one agent may have asked within an hour."""
    speed: int = 100
    """Characters per second, about a thousand words per minute: faster than any person reads."""


def parse_limits(namespace: str, **values: int) -> ApprovalLimits:
    for name, value in values.items():
        if not 1 <= value <= _MOST[name]:
            raise BadLimitsError(f"`{name}` is between 1 and {_MOST[name]}", where=name)
    return ApprovalLimits(namespace=namespace, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """The first display of a question to a person."""

    person: str
    at: Instant
    length: int
    """Characters of the sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a person answered."""

    taken: int
    """µs from the display to the answer; -1 when it was never shown to them here."""
    length: int
    hasty: bool


def pace_of(answer: Answer, displays: Iterable[Display], limits: ApprovalLimits) -> Pace:
    yes = answer.kind in {AnswerKind.APPROVE, AnswerKind.CONFIRM}
    for one in displays:
        if one.person == answer.person and one.at <= answer.received:
            taken = answer.received - one.at
            return Pace(
                taken=taken, length=one.length, hasty=yes and taken * limits.speed < one.length * _SECOND
            )
    return Pace(taken=-1, length=0, hasty=yes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedQuestion:
    """One question, as counted in the statistics."""

    agent: str
    asked: Instant
    state: str
    answers: Sequence[Answer]
    displays: Sequence[Display]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLoad:
    """The questions that one agent caused."""

    agent: str
    asked: int
    busiest: int
    """Questions within the busiest hour."""
    states: Mapping[str, int]
    """How many are in each state now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonLoad:
    """The questions that one person was asked, and their answers."""

    person: str
    shown: int
    busiest: int
    """Questions that were first shown to them within the busiest hour."""
    yes: int
    no: int
    hasty: int
    unseen: int
    """Yes to what was never shown to them here; among the hasty."""
    median: int
    """µs from display to answer, of all answers to what was shown; -1 when there are none."""
    speed: int
    """Characters a second that the median answer would have had to be read with; -1 as above."""


def weigh(
    seen: Iterable[CountedQuestion], limits: ApprovalLimits
) -> tuple[tuple[AgentLoad, ...], tuple[PersonLoad, ...]]:
    asked: dict[str, list[CountedQuestion]] = {}
    shown: dict[str, list[int]] = {}
    paces: dict[str, list[tuple[AnswerKind, Pace]]] = {}
    for one in seen:
        asked.setdefault(one.agent, []).append(one)
        for display in one.displays:
            shown.setdefault(display.person, []).append(display.at)
        for answer in one.answers:
            if answer.kind is not AnswerKind.EVIDENCE:
                pace = pace_of(answer, one.displays, limits)
                paces.setdefault(answer.person, []).append((answer.kind, pace))
    persons = sorted({*shown, *paces})
    return (
        tuple(_agent(name, asked[name]) for name in sorted(asked)),
        tuple(_person(name, shown.get(name, []), paces.get(name, [])) for name in persons),
    )


def _agent(name: str, asked: Sequence[CountedQuestion]) -> AgentLoad:
    states = Counter(one.state for one in asked)
    return AgentLoad(
        agent=name,
        asked=len(asked),
        busiest=_busiest(one.asked for one in asked),
        states=dict(sorted(states.items())),
    )


def _person(name: str, shown: Sequence[int], paces: Sequence[tuple[AnswerKind, Pace]]) -> PersonLoad:
    hasty = [pace for _, pace in paces if pace.hasty]
    known = sorted((pace.taken, pace.length) for _, pace in paces if pace.taken >= 0)
    taken, length = known[len(known) // 2] if known else (-1, 0)
    denied = sum(kind is AnswerKind.DENY for kind, _ in paces)
    return PersonLoad(
        person=name,
        shown=len(shown),
        busiest=_busiest(shown),
        yes=len(paces) - denied,
        no=denied,
        hasty=len(hasty),
        unseen=sum(pace.taken < 0 for pace in hasty),
        median=taken,
        speed=length * _SECOND // max(taken, 1) if known else -1,
    )


def _busiest(instants: Iterable[int]) -> int:
    ordered = sorted(instants)
    most = first = 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= _HOUR:
            first += 1
        most = max(most, last - first + 1)
    return most
