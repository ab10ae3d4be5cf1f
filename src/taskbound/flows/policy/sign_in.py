"""How a person signed in: by the row of the token that they showed, or by their account's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.identity.proof import AccountProof, PrincipalKind, TokenProof
from taskbound.core.policy.step_up import SignIn
from taskbound.core.token import NEVER, TokenForm

if TYPE_CHECKING:
    from taskbound.core.identity.proof import Principal
    from taskbound.flows.means import Means


def sign_in_of(means: Means, principal: Principal) -> SignIn | None:
    """How a person signed in, as far as what they showed says it; None for whoever did not."""
    proof = principal.proof
    if principal.kind is not PrincipalKind.PERSON:
        return None
    if isinstance(proof, AccountProof):
        return SignIn(acr=proof.acr, at=proof.authenticated)
    if not isinstance(proof, TokenProof):
        return None
    with means.store.read() as snapshot:
        row = snapshot.tokens.token(principal.namespace, proof.token)
    if row is None or row.form is not TokenForm.PERSON or row.authenticated == NEVER:
        return None
    return SignIn(acr=row.acr, at=row.authenticated)
