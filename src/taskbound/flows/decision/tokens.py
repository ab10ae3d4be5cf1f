"""Whether a shown token still counts, and a service that asks in its own name, when it is decided.

Of `tokens`:

1. It was looked at when it was shown, and is looked at again here, locked: a revocation of the token, of its
   key or of what let its client in that commits first wins. What else it rests on (its task, its agent, the
   switch) whoever acts has locked and judges anyway.
2. A token of another task or agent than is acted for is worth nothing, whoever says that it was shown.
3. Keys are locked before tokens, as whoever revokes a key does, and tokens before what let their clients in.
4. Where a service asks in its own name its token is looked at too, and it itself (`enforcing`): first, so
   that one that may not ask is told nothing of the task's token.

Of `enforcing`:

1. It is looked at again here, locked, whatever was seen when its token was shown: the service is there, its
   owner is, the key that proved it counts and its token stands. What commits first wins: a removal, a key
   that is taken away, an owner who leaves, a revocation.
2. It asks about tools that it is declared to enforce, and about no others.
3. It asks for the task whose agent came to it: the token that the agent showed it stands in the call. Both
   tokens are looked at as any that is shown (`tokens`).
4. Services are locked before all else (`flows.identity.services`, rule 4).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.decision import refusal
from taskbound.core.errors import DeniedError
from taskbound.core.identity.service import require_enforces
from taskbound.core.token import TokenForm, UnknownTokenError, named_in, require_not_revoked, require_standing
from taskbound.core.token.authorization.request import is_admission, require_standing_admission
from taskbound.flows.identity.services import lock_service

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.decision import Proposal
    from taskbound.core.identity.service import Service
    from taskbound.core.token import Token
    from taskbound.flows.decision.settlement import Pending
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


def ended_tokens(
    tx: Transaction, namespace: str, tokens: Collection[str], now: Instant
) -> tuple[Mapping[str, Token], Mapping[str, DeniedError]]:
    """Those of these tokens that exist, and why some of them are worth nothing any more (rule 1)."""
    if not tokens:
        return {}, {}
    keys = {one.kid: one for one in tx.tokens.lock_keys()}  # 3
    found = tx.tokens.lock_tokens(namespace, tokens)
    clients = {row.parent for row in found.values() if is_admission(row.parent)}
    let_in = tx.authorizations.lock_admissions(namespace, clients) if clients else {}
    ended: dict[str, DeniedError] = {}
    for name in tokens:
        try:
            row = found.get(name)
            if row is None:
                raise UnknownTokenError("nobody here issued that token")
            require_standing(row, now)
            require_not_revoked(keys.get(row.key))
            if is_admission(row.parent):
                require_standing_admission(let_in.get(row.parent), now)
        except DeniedError as error:
            ended[name] = error
    return found, ended


def bar_tokens(
    tx: Transaction,
    namespace: str,
    group: Sequence[Pending],
    enforcing: Mapping[Enforcing, Service | DeniedError],
    now: Instant,
) -> list[Proposal]:
    """The proposals of these calls; that of a call whose token is worth nothing any more is refused.

    Args:
        tx: The transaction that holds the locks.
        namespace: Of all these calls.
        group: The calls.
        enforcing: The services that ask in their own names, as they were locked (rule 4).
        now: The instant of the commit.
    """
    tokens = {name for one in group for name in _shown(one)}
    if not tokens:
        return [one.proposal for one in group]
    found, ended = ended_tokens(tx, namespace, tokens, now)
    proposals: list[Proposal] = []
    for one in group:
        error = _why_not_asked(one, found, ended, enforcing) or _why_not(one, found, ended)
        proposals.append(
            one.proposal if error is None else replace(one.proposal, verdict=refusal(error), resume="")
        )
    return proposals


def _shown(one: Pending) -> tuple[str, ...]:
    """The tokens that were shown for a call."""
    asked = one.call.enforcing
    return tuple(name for name in (one.call.token, asked.token if asked is not None else "") if name)


def _why_not_asked(
    one: Pending,
    found: Mapping[str, Token],
    ended: Mapping[str, DeniedError],
    enforcing: Mapping[Enforcing, Service | DeniedError],
) -> DeniedError | None:
    """Why the service that asks may not (rule 4); None where none asks, or it may."""
    asked = one.call.enforcing
    if asked is None:
        return None
    row = found.get(asked.token)
    own = row is not None and (row.form, named_in(row.subject), row.proven_by) == (
        TokenForm.SERVICE,
        asked.service,
        asked.key,
    )  # fmt: skip - what is compared, side by side
    if asked.token not in ended and not own:
        return UnknownTokenError("the token is another's than the service's that asks")  # 2
    return ended.get(asked.token) or why_not_enforced(enforcing, asked, one.call.tool)


def _why_not(
    one: Pending, found: Mapping[str, Token], ended: Mapping[str, DeniedError]
) -> DeniedError | None:
    if not one.call.token:
        return None
    row = found.get(one.call.token)
    if row is not None and (row.task, row.agent) != (one.call.task, one.call.agent):
        return UnknownTokenError("the token is another task's")  # 2
    return ended.get(one.call.token)
