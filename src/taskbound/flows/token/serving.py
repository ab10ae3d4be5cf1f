"""What services get of us: tokens of their own, and what tokens are worth that are meant for them.

1. A service asks for its own token by `client_credentials` (RFC 6749 §4.4), proven by its own key: for our
   issuer alone, with the scope `service`, bound to the key that the request was made with. It rests on the
   service, its owner and the key that proved it, not on the assertion that was shown; it lives 300 seconds.
2. Agents get no such token, and services exchange none: a proof that was taken from one is of no use as the
   other.
3. A service is told what a token is worth (RFC 7662) that is meant for it: a task's by its audience, a
   transaction token where it enforces the tool. It is of the service's own namespace, and stands now. Of any
   other it is told that it is not active, and nothing more: neither that there is one, nor why not.
4. Service and token are looked at in one state of the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError
from taskbound.core.identity.proof import BindingKind, PrincipalKind, WorkloadProof
from taskbound.core.identity.service import require_enforces
from taskbound.core.token import TokenForm, UnknownTokenError, claims_of, service_name
from taskbound.core.token.errors import NotMeantError, UnfitClientError
from taskbound.core.token.exchange import (
    BadExchangeError,
    BadScopeError,
    TargetUnknownError,
)
from taskbound.flows.identity.services import require_service
from taskbound.flows.means import Actor
from taskbound.flows.token.orders import ServiceTokenOrder
from taskbound.flows.token.standing import ground_of, require_token_stands

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.identity.proof import Binding, Principal
    from taskbound.core.identity.service import Service
    from taskbound.core.token import Token
    from taskbound.flows.means import Means
    from taskbound.flows.token.issuing import Tokens
    from taskbound.flows.token.orders import Issued
    from taskbound.flows.token.verifying import Verification
    from taskbound.ports.store import Snapshot


SCOPE: Final = "service"
"""Of services' tokens (rule 1)."""


def require_fit_grant(principal: Principal, *, service: bool) -> None:
    """Go on only with a client that may ask by such a grant (rule 2).

    Args:
        principal: Who was proven.
        service: Whether the grant is for services.

    Raises:
        UnfitClientError: It is for others.
    """
    if (principal.kind is PrincipalKind.SERVICE) is not service or principal.is_process:
        whom = "a service" if service else "an agent"
        raise UnfitClientError(f"by this grant {whom} gets its tokens, and nobody else", where="grant_type")


def give_service_token(
    tokens: Tokens, form: Mapping[str, str], principal: Principal, binding: Binding | None
) -> Issued:
    """A token of the service that asks (rule 1).

    Args:
        tokens: Issues.
        form: The parameters of the request, each once.
        principal: The service, proven.
        binding: The key that the request was made with.

    Raises:
        UnfitClientError: Rule 2.
        BadScopeError: It asks for another scope.
        TargetUnknownError: It asks for another resource.
        DeniedError: The service does not stand, or no key was shown.
        UnavailableError: It can't be written, or not signed now.
    """
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
    means: Means, verification: Verification, principal: Principal, text: str
) -> dict[str, JsonValue]:
    """What a token is worth to a service that was proven (rules 3 and 4; RFC 7662 §2.2).

    Raises:
        DeniedError: The service itself does not stand any more.
    """
    found = verification.known(text, transactions=True)
    domain = verification.domain
    with means.store.read() as snapshot:
        service = require_service(snapshot, principal.namespace, principal.name, _key(principal))
        if found is None or found.namespace != service.namespace:
            return {"active": False}
        try:
            row = snapshot.tokens.token(found.namespace, found.id)
            if row is None:
                raise UnknownTokenError("nobody here issued that token")
            _require_meant(snapshot, service, row, domain)
            require_token_stands(snapshot, row, means.clock.now())
            claims = claims_of(row, ground_of(snapshot, row))
        except DeniedError:
            return {"active": False}
    if row.form is TokenForm.TRANSACTION:
        return {**claims, "active": True, "token_type": "N_A"}
    dpop = row.binding is not None and row.binding.kind is BindingKind.DPOP
    return {**claims, "active": True, "token_type": "DPoP" if dpop else "Bearer"}


def _require_meant(snapshot: Snapshot, service: Service, token: Token, domain: str) -> None:
    """Go on only with a token that is meant for the service (rule 3).

    Raises:
        DeniedError: It is not.
    """
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
    """The key of its own that proved the service.

    Raises:
        BadExchangeError: It was proven by something else.
    """
    if not isinstance(principal.proof, WorkloadProof):
        raise BadExchangeError("a service proves itself here with a key of its own")
    return principal.proof.subject
