"""Which open hold a call resumes, and what becomes of one that resumes none (design 4.1, 4.8).

1. A call with the digest of an open hold of its task resumes it: it is the same action, under the same
   id. One waits at a time; another call meanwhile is new, and is asked for by itself.
2. What waits may name its hold: a gateway asks again for the call that it still holds open, and for no
   other. A hold that is named and is over lets nothing pass.
3. An approval that counts is used by the call that resumes it, and by no other of the group.
4. What is asked anew, since what was asked before is another thing now, says so.
5. A held action that was narrowed is over: a call of it is told which action runs instead, as long as that
   one can; whoever waits for that one may take it alone. What a person narrows to is asked about by itself.
6. Held takes nothing. What nobody may answer, or be shown, is refused and not held; so is what would be
   one open question too many.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from taskbound.core.decision.values import Hold, Reason, Refuse, refusal
from taskbound.core.errors import DeniedError
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.decision.values import Proposal
    from taskbound.core.errors import TaskboundError

__all__ = ["PAUSES", "HoldBook", "HoldOverError", "HoldPlaces", "Narrowed", "OpenHold", "Waiting"]


PAUSES: Final = frozenset({"too-many-holds", "too-many-questions"})
"""Codes of refusals that pause the task: people are not asked on."""


class HoldOverError(DeniedError):
    """The held action that the call waits for is over."""

    code = "hold-over"
    remedy = "look at it with `taskbound action show`; call again to ask anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHold:
    """A held action that can still be permitted, and whether its approval counts now."""

    approval: str
    action: str
    connection: str
    request: str
    waits: Instant
    """Until when the presentation above waits for the answer."""
    lifted: bool
    """Whether enough persons have approved, by what is true now, and the approval is unused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(NoTruth):
    """The call resumes a hold that nobody has lifted yet."""

    proposal: Proposal
    hold: OpenHold
    decision: Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed(NoTruth):
    """The call is of a held action that a person has narrowed: this open one is to be presented instead."""

    proposal: Proposal
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlaces:
    """What is known of open holds, read under lock."""

    holds: Mapping[tuple[str, str], tuple[OpenHold, ...]]
    """By (task, action digest), oldest first."""
    unaskable: Mapping[str, TaskboundError]
    """By the proposal's id: why nobody can be asked for it."""
    room: Mapping[str, int]
    """By task: how many more may be open."""
    hourly: Mapping[str, int]
    """By agent: how many more it may ask within this hour."""
    superseded: Mapping[str, str]
    """Held actions that were ended just now, since what was asked is not what would run, and why."""
    anew: Mapping[tuple[str, str], str]
    """The same by (task, action digest): what is asked anew, and why."""
    narrowed: Mapping[tuple[str, str], tuple[tuple[str, OpenHold], ...]] = field(default_factory=dict)
    """By (task, action digest): held actions that were narrowed, each with the open one that runs instead."""


class HoldBook:
    """The group's running account of holds."""

    __slots__ = ("_holds", "_hourly", "_places", "_room")

    def __init__(self, places: HoldPlaces) -> None:
        """Begin with what is locked."""
        self._places = places
        self._holds = {key: list(some) for key, some in places.holds.items()}
        self._room = dict(places.room)
        self._hourly = dict(places.hourly)

    def take(self, proposal: Proposal, now: Instant) -> OpenHold | Narrowed | None:
        """The hold that this call resumes, which no other of the group gets any more (rules 1 to 5).

        Raises:
            HoldOverError: It names one that is over.
        """
        if proposal.narrows is not None:
            return None  # 5
        key = (proposal.action.task, proposal.action.digest)
        waiting = self._holds.get(key, [])
        for one in waiting:
            if _resumes(proposal, one, now):
                waiting.remove(one)
                return one
        for held, hold in self._places.narrowed.get(key, ()):
            if _resumes(proposal, hold, now, held=held):
                return Narrowed(proposal=proposal, action=hold.action)
        if proposal.resume and proposal.resume not in self._places.superseded:
            raise HoldOverError("the action that this call waits for is not held any more")
        return None

    def ask(self, proposal: Proposal, hold: Hold) -> Hold | Refuse:
        """The hold, if people can be asked (rules 4 and 6)."""
        error = self._places.unaskable.get(proposal.id)
        if error is not None:
            return refusal(error)
        task = proposal.action.task
        agent = proposal.action.agent
        self._room[task] = self._room.get(task, 0) - 1
        self._hourly[agent] = self._hourly.get(agent, 0) - 1
        for code, left in (("too-many-holds", self._room[task]), ("too-many-questions", self._hourly[agent])):
            if left < 0:
                return Refuse(
                    code=code,
                    reasons=hold.reasons,
                    instead="stop: the task pauses until a person has looked at what was asked",
                    policies=hold.policies,
                )
        why = self._places.anew.get((task, proposal.action.digest))
        if why is None:
            return hold
        before = Reason(code="superseded", text="what was asked before is another thing now", detail=why)
        return replace(hold, reasons=(before, *hold.reasons))


def _resumes(proposal: Proposal, hold: OpenHold, now: Instant, *, held: str = "") -> bool:
    presented = proposal.presented
    if proposal.resume:
        return (held or hold.action) == proposal.resume and (
            hold.connection == presented.connection or now >= hold.waits
        )
    own = (hold.connection, hold.request) == (presented.connection, presented.request)
    return own or now >= hold.waits
