"""Whether a credential can be given, or renewed, at the instant of the commit, by what is locked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.credential import end_of
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.target import renewed_until
from taskbound.core.task import deadline_with

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.decision.locked import Locked
    from taskbound.core.decision.values import Proposal
    from taskbound.core.errors import TaskboundError
    from taskbound.core.task import TaskHead


def why_too_short(proposal: Proposal, tasks: Mapping[str, TaskHead], now: Instant) -> TaskboundError | None:
    """Why no credential is written down that would live so long; None where one is, or none is asked for."""
    life = proposal.life
    if life is None:
        return None
    try:
        end_of(life.asked, life.most, now, deadline_with(proposal.action.task, tasks))
    except (DeniedError, MalformedError) as error:
        return error
    return None


def require_renewable(proposal: Proposal, locked: Locked, renewed: Collection[str], now: Instant) -> None:
    """Go on only where the credential that is named can be renewed, and where none is named.

    Args:
        proposal: What asks.
        locked: All that it needs, read under lock.
        renewed: Ids of what the same commit renews already.
        now: The instant of the commit.

    Raises:
        DeniedError: It can't.
        MalformedError: It can't live so long.
    """
    life = proposal.life
    if life is None or not life.renews:
        return
    found = next((one for one in locked.credentials if one.row.id == life.renews), None)
    if found is not None and life.renews in renewed:
        found = replace(found, unsettled=True)
    deadline = deadline_with(proposal.action.task, locked.tasks)
    renewed_until(found, proposal.action, life, now, deadline)
