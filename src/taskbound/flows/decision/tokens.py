"""Whether shown tokens, and a service that asks in its own name, still count at the decision.

A shown token, and a service with its owner, key and token, are read again under lock; a revocation or removal
that commits first wins. Keys are locked before tokens, and tokens before admissions. A token of another task
or agent is refused. A service asks for the task whose agent came to it, shown by that agent's token.
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
class AskingService:
    """A service that asks in its own name."""

    service: str
    key: str
    """The `kid` of the key that it proved itself with."""
    token: str
    """The id of the token that it showed."""


def lock_enforcing(
    tx: Transaction, namespace: str, group: Sequence[Pending]
) -> Mapping[AskingService, Service | DeniedError]:
    asking = {one.call.enforcing for one in group if one.call.enforcing is not None}
    if not asking:
        return {}
    found: dict[AskingService, Service | DeniedError] = {}
    for one in sorted(asking, key=lambda one: (one.service, one.key)):
        try:
            found[one] = lock_service(tx, namespace, one.service, one.key)
        except DeniedError as error:
            found[one] = error
    return found


def enforcement_error(
    enforcing: Mapping[AskingService, Service | DeniedError], asked: AskingService, tool: str
) -> DeniedError | None:
    """Returns why the service may not ask about this tool, None if it may."""
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
    if not tokens:
        return {}, {}
    keys = {one.kid: one for one in tx.tokens.lock_keys()}
    found = tx.tokens.lock_tokens(namespace, tokens)
    clients = {row.parent for row in found.values() if is_admission(row.parent)}
    let_in = tx.authorizations.lock_admissions(namespace, clients) if clients else {}
    ended: dict[str, DeniedError] = {}
    for name in tokens:
        try:
            row = found.get(name)
            if row is None:
                raise UnknownTokenError("that token was not issued here")
            require_standing(row, now)
            require_not_revoked(keys.get(row.key))
            if is_admission(row.parent):
                require_standing_admission(let_in.get(row.parent), now)
        except DeniedError as error:
            ended[name] = error
    return found, ended


def refuse_ended_tokens(
    tx: Transaction,
    namespace: str,
    group: Sequence[Pending],
    enforcing: Mapping[AskingService, Service | DeniedError],
    now: Instant,
) -> list[Proposal]:
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
    asked = one.call.enforcing
    return tuple(name for name in (one.call.token, asked.token if asked is not None else "") if name)


def _why_not_asked(
    one: Pending,
    found: Mapping[str, Token],
    ended: Mapping[str, DeniedError],
    enforcing: Mapping[AskingService, Service | DeniedError],
) -> DeniedError | None:
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
        return UnknownTokenError("the token is another's than the service's that asks")
    return ended.get(asked.token) or enforcement_error(enforcing, asked, one.call.tool)


def _why_not(
    one: Pending, found: Mapping[str, Token], ended: Mapping[str, DeniedError]
) -> DeniedError | None:
    if not one.call.token:
        return None
    row = found.get(one.call.token)
    if row is not None and (row.task, row.agent) != (one.call.task, one.call.agent):
        return UnknownTokenError("the token is another task's")
    return ended.get(one.call.token)
