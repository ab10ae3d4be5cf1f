"""Whether a credential can be renewed by what is asked for, and until when it lives then (I-09).

1. It is of the task and the agent that ask, was minted in this target as it is declared now, and is of this
   kind. What is another's, or a preflight's, and what is not there is one error.
2. It is active, who asked has its secret, and its time is not over: nothing that is being revoked, was, or is
   about to be lives again.
3. It was asked for with the same parameters: a renewal changes when it ends, and nothing else.
4. No other renewal of it is under way, nor one of which nobody knows what came of it.
5. It ends as one that is asked for now would, and later than it does, and than its target was ever told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action.parse import parse_object
from taskbound.core.credential import (
    CredentialState,
    NotRenewableError,
    RenewalNotLaterError,
    RenewalUnderWayError,
    end_of,
    is_renewing,
    latest_end,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.target.kind import RENEWS, SECONDS
from taskbound.core.tool.name import credential_kind, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import Action
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.target.asking import Life


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewable:
    """A credential as it stands under lock, and what is known of its last renewal."""

    row: Credential
    unsettled: bool = False
    """Whether the action of its last renewal has no outcome yet, or none that anybody knows (rule 4)."""


def parameters_of(arguments: bytes) -> Mapping[str, JsonValue]:
    """What was asked for but for how long and of which credential (rule 3)."""
    return {name: value for name, value in parse_object(arguments).items() if name not in {RENEWS, SECONDS}}


def renewed_until(
    found: Renewable | None, action: Action, life: Life, now: Instant, *ends: Instant
) -> Instant:
    """When the credential ends by this renewal.

    Args:
        found: The one of the id that is named; None where there is none.
        action: What asks.
        life: For how long, and of which.
        now: When.
        ends: The deadlines of its task and of that one's ancestors.

    Raises:
        NotRenewableError: It can't be renewed by that (rules 1 to 3).
        RenewalUnderWayError: Another renewal comes first (rule 4).
        RenewalNotLaterError: It would not live longer (rule 5).
        BadCredentialLifeError: It can't live so long (rule 5).
    """
    row = None if found is None else found.row
    if (
        found is None
        or row is None
        or not row.action
        or (row.namespace, row.task, row.agent) != (action.namespace, action.task, action.agent)
    ):
        raise NotRenewableError(f"this task has no credential `{shown(life.renews)}`")  # 1
    if (row.target, row.kind) != credential_kind(action.tool):
        raise NotRenewableError(f"`{row.id}` is of another target, or another kind")
    if row.identity != action.server:
        raise NotRenewableError(f"the target `{row.target}` is another one than `{row.id}` was minted in")
    if row.state is not CredentialState.ACTIVE:
        raise NotRenewableError(f"`{row.id}` is {row.state.value}, and only what is active is renewed")  # 2
    if not row.acknowledged or now >= row.ends:
        raise NotRenewableError(f"the time of `{row.id}` is over, or nobody has its secret yet")
    if parameters_of(row.arguments) != parameters_of(action.arguments):
        raise NotRenewableError(f"`{row.id}` was asked for with other parameters")  # 3
    if is_renewing(row) or found.unsettled:
        raise RenewalUnderWayError(f"another renewal of `{row.id}` is under way")  # 4
    until = end_of(life.asked, life.most, now, *ends)
    if until <= latest_end(row):
        raise RenewalNotLaterError(f"`{row.id}` would end no later than it may do already")  # 5
    return until
