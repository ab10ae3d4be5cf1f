"""A service that asks about a call in its own name: whether it may, in the transaction that decides it.

1. It is looked at again here, locked, whatever was seen when its token was shown: the service is there, its
   owner is, the key that proved it counts and its token stands. What commits first wins: a removal, a key
   that is taken away, an owner who leaves, a revocation.
2. It asks about tools that it is declared to enforce, and about no others.
3. It asks for the task whose agent came to it: the token that the agent showed it stands in the call. Both
   tokens are looked at as any that is shown (`tokens`).
4. Services are locked before all else (`flows.identity.services`, rule 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity.service import require_enforces
from taskbound.flows.identity.services import lock_service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.identity.service import Service
    from taskbound.flows.decision.writing import Pending
    from taskbound.ports.store import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcing:
    """The service that asks in its own name."""

    service: str
    key: str
    """The `kid` of the key that it proved itself with."""
    token: str
    """The id of the token that it showed."""


def lock_enforcing(
    tx: Transaction, namespace: str, group: Sequence[Pending]
) -> Mapping[Enforcing, Service | DeniedError]:
    """Each service that asks in this group, or why it is none any more; read under lock (rules 1 and 4)."""
    asking = {one.call.enforcing for one in group if one.call.enforcing is not None}
    if not asking:
        return {}
    found: dict[Enforcing, Service | DeniedError] = {}
    for one in sorted(asking, key=lambda one: (one.service, one.key)):
        try:
            found[one] = lock_service(tx, namespace, one.service, one.key)
        except DeniedError as error:
            found[one] = error
    return found


def why_not_enforced(
    enforcing: Mapping[Enforcing, Service | DeniedError], asked: Enforcing, tool: str
) -> DeniedError | None:
    """Why this service may not ask about this tool; None where it may (rules 1 and 2).

    Args:
        enforcing: What was locked.
        asked: Who asks.
        tool: About what.
    """
    found = enforcing[asked]
    if isinstance(found, DeniedError):
        return found
    try:
        require_enforces(found, tool)
    except DeniedError as error:
        return error
    return None
