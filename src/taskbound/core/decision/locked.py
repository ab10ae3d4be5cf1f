"""What a commit has read under lock, and what it makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.decision.hold import HoldPlaces, Narrowed, OpenHold, Waiting
from taskbound.core.decision.values import Decision, Presented, Proposal, Repeated, Stale
from taskbound.core.quick import quick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import PriorAction
    from taskbound.core.decision.act import ActHistory
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.scope import Charge
    from taskbound.core.target import Renewable
    from taskbound.core.task import TaskHead


_NO_PLACES: Final = HoldPlaces(holds={}, unaskable={}, room={}, hourly={}, superseded={}, anew={})


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """What the transaction read under lock, for one namespace."""

    switch: KillSwitch
    tasks: Mapping[str, TaskHead]
    agents: Mapping[str, int]
    """Version by name."""
    tools: Mapping[str, int]
    """Version by name."""
    left: Mapping[str, Mapping[str, int]]
    """By task: what is left of each limit."""
    priors: Mapping[Presented, PriorAction]
    """By presentation; a key stands as `Presented(connection=task, request="", key=key)`."""
    acts: Mapping[tuple[str, str], ActHistory]
    """By (root task, act key)."""
    bundle: str
    doubted: frozenset[tuple[str, str]] = frozenset()
    """(root task, act key) of acts that were permitted to a holder who is lost."""
    issuers: tuple[Issuer, ...] = ()
    """Whose word counts as evidence; read only where a proposal rests on it."""
    places: HoldPlaces = _NO_PLACES
    credentials: tuple[Renewable, ...] = ()
    """Those that are to be renewed."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A decision, ready to be written with its record."""

    proposal: Proposal
    decision: Decision
    attempt: int
    charges: tuple[Charge, ...] = ()
    lifted: OpenHold | None = None
    """The hold that was lifted, when this is its permit; the action is the held one then."""


Answered: TypeAlias = Settled | Stale | Repeated | Waiting | Narrowed


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One answer for each proposal, in order, and the rows that change with them."""

    answers: tuple[Answered, ...]
    left: Mapping[tuple[str, str], tuple[int, int]]
    """By (task, limit): what was left before and after; compare-and-set."""
    acts: Mapping[tuple[str, str], ActHistory]
    differed: Mapping[str, str]
    """Plans of which the rest is over, since a call differed, and how."""
