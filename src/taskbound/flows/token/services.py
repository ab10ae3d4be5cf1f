"""Services: their own tokens, introspection, and shared single-use claims.

- Agents get no such token, and services exchange none, so one's proof is useless as the other.
- Introspection (RFC 7662) answers for valid tokens of the service's namespace that are meant for it: a task
  token by audience, a transaction token by enforced tool. Others are just not active.
- A request begins with the very token that the service was shown: of its namespace, that action, an enforced
  tool, and valid now. Everything that can end is locked and compared. A repeat gets what is known.
- A process remembers how often a service's claims changed; a store that knows of fewer lost some (failover)
  and is refused. Claims are deleted when the log has a record two minutes past their end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, minutes
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity.proof import BindingKind, PrincipalKind, WorkloadProof
from taskbound.core.identity.service import UnknownServiceError, require_enforces
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import require_live
from taskbound.core.token import (
    ClaimKind,
    NotOpenError,
    TokenForm,
    UnknownTokenError,
    claim_of,
    claims_of,
    require_not_revoked,
    require_standing,
    service_name,
)
from taskbound.core.token.errors import NotMeantError, UnfitClientError
from taskbound.core.token.exchange import BadExchangeError, BadScopeError, TargetUnknownError
from taskbound.core.token.shared import (
    BadClaimError,
    Begun,
    begun_anew,
    forget_claims,
    make_room,
    require_remembered,
    say,
    shared_again,
    swap_room,
)
from taskbound.flows.identity.services import lock_service, require_service
from taskbound.flows.means import Actor
from taskbound.flows.token.issuing import ServiceTokenOrder
from taskbound.flows.token.revoking import use_claim
from taskbound.flows.token.standing import OPEN, ground_of, require_token_stands
from taskbound.ports.store import ConflictError, StoreBehindError
from taskbound.wire.jose import SKEW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.identity.proof import Binding, Principal
    from taskbound.core.identity.service import Service
    from taskbound.core.token import Token
    from taskbound.core.token.shared import SharedBeginning, SharedRequest, Tally
    from taskbound.flows.means import Adapters
    from taskbound.flows.token.issuing import Issued, Tokens
    from taskbound.flows.token.verifying import Verification
    from taskbound.ports.store import Snapshot, Transaction


SCOPE: Final = "service"
"""Of services' tokens."""


def require_fit_grant(principal: Principal, *, service: bool) -> None:
    if (principal.kind is PrincipalKind.SERVICE) is not service or principal.is_process:
        whom = "a service" if service else "an agent"
        raise UnfitClientError(f"this grant is only for {whom}", where="grant_type")


def give_service_token(
    tokens: Tokens, form: Mapping[str, str], principal: Principal, binding: Binding | None
) -> Issued:
    require_fit_grant(principal, service=True)
    issuer = tokens.issuing.issuer
    if form.get("scope", SCOPE) != SCOPE:
        raise BadScopeError("the scope of a service's token is `service`", where="scope")
    if {form.get(name, issuer) for name in ("resource", "audience")} != {issuer}:
        raise TargetUnknownError("a service's token is for our issuer alone", where="resource")
    order = ServiceTokenOrder(
        namespace=principal.namespace,
        service=principal.name,
        proven_by=_key(principal),
        binding=binding,
    )
    actor = Actor(name=service_name(principal.namespace, principal.name), proof=principal.proof.words)
    return tokens.issue_service_token(order, actor)


def introspect_for_service(
    adapters: Adapters, verification: Verification, principal: Principal, text: str
) -> dict[str, JsonValue]:
    """Returns a token's introspection for a service (RFC 7662 §2.2)."""
    found = verification.known(text, transactions=True)
    domain = verification.domain
    with adapters.store.read() as snapshot:
        service = require_service(snapshot, principal.namespace, principal.name, _key(principal))
        if found is None or found.namespace != service.namespace:
            return {"active": False}
        try:
            row = snapshot.tokens.token(found.namespace, found.id)
            if row is None:
                raise UnknownTokenError("that token was not issued here")
            _require_meant(snapshot, service, row, domain)
            require_token_stands(snapshot, row, adapters.clock.now())
            claims = claims_of(row, ground_of(snapshot, row))
        except DeniedError:
            return {"active": False}
    if row.form is TokenForm.TRANSACTION:
        return {**claims, "active": True, "token_type": "N_A"}
    dpop = row.binding is not None and row.binding.kind is BindingKind.DPOP
    return {**claims, "active": True, "token_type": "DPoP" if dpop else "Bearer"}


def _require_meant(snapshot: Snapshot, service: Service, token: Token, domain: str) -> None:
    match token.form:
        case TokenForm.TASK if token.audience == service.audience:
            return
        case TokenForm.TRANSACTION if token.audience == domain:
            action = snapshot.actions.action(token.namespace, token.action)
            require_enforces(service, "" if action is None else action.tool)
        case TokenForm.SERVICE if token.subject == service_name(service.namespace, service.name):
            return
        case _:
            raise NotMeantError(f"the token is not meant for service `{service.name}`")


def _key(principal: Principal) -> str:
    if not isinstance(principal.proof, WorkloadProof):
        raise BadExchangeError("a service proves itself here with a key of its own")
    return principal.proof.subject


_APART: Final = minutes(2)
_WINDOW: Final = minutes(5)
"""How far ahead the window of what serves once may end."""
_TURN: Final = 200
"""Claims that one transaction forgets at most."""
_TRIES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A service authenticated by its own token."""

    namespace: str
    service: str
    token: str
    """The `jti` of that token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    own: Token
    """The service's."""
    token: Token
    agent: int
    """The agent's version."""
    task: int
    """The task's version."""
    tool: str


class SharedClaims:
    """Shared claims; calls run in the worker's thread, one at a time."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters
        self._seen: dict[tuple[str, str], int] = {}
        """How often the claims of each service had changed when last seen."""

    def begin(self, asker: Asker, wish: SharedRequest) -> SharedBeginning:
        """Begins a request durably, or returns what is known of it."""
        for _ in range(_TRIES):
            with self._adapters.store.read() as snapshot:
                found = snapshot.shared_claims.claim(asker.namespace, asker.service, wish.txn)
                if found is not None:
                    return shared_again(found, wish, self._adapters.clock.now())
                ground = self._ground(snapshot, asker, wish)
            try:
                told, tally = self._adapters.store.write(partial(self._begin, asker, wish, ground))
            except ConflictError:
                continue
            self._see(tally)
            return told
        raise ConflictError("what the request rests on kept changing")

    def answer(self, asker: Asker, *, txn: str, request: str, claimant: str, answer: bytes | None) -> None:
        """Stores the result of a request, None if unknown."""

        def work(tx: Transaction) -> Tally:
            tally = self._tally(tx, asker.namespace, asker.service)
            found = tx.shared_claims.lock_claim(asker.namespace, asker.service, txn)
            after = say(found, claimant, request, answer)
            if found is None or after is None:
                return tally
            moved = swap_room(tally, found, after)
            tx.shared_claims.put(after)
            tx.shared_claims.put_tally(moved)
            return moved

        self._see(self._adapters.store.write(work))

    def use(self, asker: Asker, kind: str, digest: str, until: Instant) -> None:
        """Raises BadClaimError for a window too long, ReplayedError also if unknown, or UnavailableError."""
        if until > self._adapters.clock.now() + _WINDOW:
            raise BadClaimError("nothing serves once for as long as that", where="until")
        shown = claim_of(asker.namespace, ClaimKind.SHOWN, asker.service, kind, digest, until=until)
        use_claim(self._adapters, shown)

    def sweep(self) -> int:
        adapters = self._adapters
        before = Instant(min(adapters.clock.now(), adapters.store.last_instant()) - _APART)
        with adapters.store.read() as snapshot:
            due = snapshot.shared_claims.due(before)
        return sum(self._forget(namespace, service, before) for namespace, service in due)

    def _forget(self, namespace: str, service: str, before: Instant) -> int:
        def work(tx: Transaction) -> tuple[int, Tally]:
            tally = self._tally(tx, namespace, service)
            gone = tx.shared_claims.drop(namespace, service, before, limit=_TURN)
            if not gone:
                return 0, tally
            moved = forget_claims(tally, gone)
            tx.shared_claims.put_tally(moved)
            return len(gone), moved

        count, tally = self._adapters.store.write(work)
        self._see(tally)
        return count

    def _ground(self, snapshot: Snapshot, asker: Asker, wish: SharedRequest) -> _Ground:
        space, now = asker.namespace, self._adapters.clock.now()
        own = snapshot.tokens.token(space, asker.token)
        if own is None or own.form is not TokenForm.SERVICE:
            raise UnknownTokenError("the service shows no token of its own that was issued here")
        require_token_stands(snapshot, own, now)
        service = snapshot.services.service(space, asker.service)
        if service is None:
            raise UnknownServiceError("no service has that name")
        token = snapshot.tokens.token(space, wish.token)
        if token is None or token.form is not TokenForm.TRANSACTION or token.action != wish.txn:
            raise UnknownTokenError("no token of that action was issued here")
        action = snapshot.actions.action(space, token.action)
        tool = "" if action is None else action.tool
        require_enforces(service, tool)
        require_token_stands(snapshot, token, now)
        agent = snapshot.identities.agent(space, token.agent)
        task = snapshot.tasks.heads(space, {token.task}).get(token.task)
        return _Ground(
            own=own,
            token=token,
            agent=0 if agent is None else agent.version,
            task=0 if task is None else task.version,
            tool=tool,
        )

    def _begin(
        self, asker: Asker, wish: SharedRequest, ground: _Ground, tx: Transaction
    ) -> tuple[SharedBeginning, Tally]:
        now = self._adapters.clock.now()
        service = lock_service(tx, asker.namespace, asker.service, ground.own.proven_by)
        _require_ground(tx, ground, service, now)
        tally = self._tally(tx, asker.namespace, asker.service)
        found = tx.shared_claims.lock_claim(asker.namespace, asker.service, wish.txn)
        if found is not None:
            return shared_again(found, wish, now), tally
        until = Instant(ground.token.expires + SKEW)
        require_remembered(until, tally.forgotten)
        claim = begun_anew(wish, asker.namespace, asker.service, until=until, now=now)
        moved = make_room(tally, claim)
        tx.shared_claims.insert(claim)
        tx.shared_claims.put_tally(moved)
        return Begun(), moved

    def _tally(self, tx: Transaction, namespace: str, service: str) -> Tally:
        tally = tx.shared_claims.lock_tally(namespace, service)
        seen = self._seen.get((namespace, service), 0)
        if tally.turn < seen:
            raise StoreBehindError(
                f"claims of service `{service}` changed {seen} times, and the database knows of {tally.turn}"
            )
        return tally

    def _see(self, tally: Tally) -> None:
        key = tally.namespace, tally.service
        self._seen[key] = max(tally.turn, self._seen.get(key, 0))


def _require_ground(tx: Transaction, ground: _Ground, service: Service, now: Instant) -> None:
    """Raises ConflictError if it changed and must be read anew, or DeniedError if it ended."""
    token = ground.token
    space = token.namespace
    require_not_stopped(tx.revocation.lock_kill_switch(space))
    if tx.identities.lock_agents(space, {token.agent}).get(token.agent) != ground.agent:
        raise ConflictError(f"agent `{token.agent}` changed meanwhile")
    permit = tx.actions.lock_permits(space, {token.action}).get(token.action)
    if permit is None or permit.state not in OPEN:
        raise NotOpenError(f"`{token.action}` is no open action")
    require_enforces(service, ground.tool)
    heads = tx.tasks.lock_heads(space, {token.task})
    require_live(token.task, heads, now)
    if heads[token.task].version != ground.task:
        raise ConflictError(f"task `{token.task}` changed meanwhile")
    keys = {one.kid: one for one in tx.tokens.lock_keys()}
    rows = tx.tokens.lock_tokens(space, {ground.own.id, token.id})
    for one in (ground.own, token):
        require_not_revoked(keys.get(one.key))
        row = rows.get(one.id)
        if row is None:
            raise UnknownTokenError("that token was not issued here")
        require_standing(row, now)
