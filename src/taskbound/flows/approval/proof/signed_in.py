"""How a person had signed in who answers, and whether that lasts.

1. It is found by what proves who brings the answer: their token's row, or the session that their browser
   showed. Nothing that is sent with an answer says it; nor does a statement, or the key that signs it.
2. Whoever brings what another person has signed lends them no sign-in.
3. It lasts while nobody ended it: the token and its key are not revoked, its client's admission was not
   ended, and the session that it rests on goes on. That the token's five minutes are over ends nothing.
4. A token that says something else by now than was kept of it is another one's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.approval import AnswerSignIn
from taskbound.core.errors import DeniedError
from taskbound.core.identity.proof import PrincipalKind, TokenProof
from taskbound.core.token import NEVER, TokenForm, require_not_revoked
from taskbound.core.token.authorization.admission import is_admission

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.approval import Answer
    from taskbound.core.clock import Instant
    from taskbound.core.identity.proof import Principal
    from taskbound.flows.means import Means
    from taskbound.ports.store import Snapshot


def signed_in_by(means: Means, principal: Principal | None, person: str) -> AnswerSignIn | None:
    """How this person had signed in, by the token that was shown (rules 1 and 2); None without."""
    if principal is None or (principal.kind, principal.name) != (PrincipalKind.PERSON, person):
        return None
    if not isinstance(principal.proof, TokenProof):
        return None
    with means.store.read() as snapshot:
        row = snapshot.tokens.token(principal.namespace, principal.proof.token)
        if row is None or row.form is not TokenForm.PERSON or row.authenticated == NEVER:
            return None
        session = ""
        if is_admission(row.parent):
            found = snapshot.authorizations.admission(row.namespace, row.parent)
            session = "" if found is None else found.session
    return AnswerSignIn(acr=row.acr, at=row.authenticated, token=row.id, session=session)


def lasting(
    snapshot: Snapshot, namespace: str, answers: Iterable[Answer], now: Instant
) -> tuple[Answer, ...]:
    """These answers, those without a sign-in whose sign-in has ended (rule 3)."""
    return tuple(
        one
        if one.sign_in is None or lasts(snapshot, namespace, one.person, one.sign_in, now)
        else replace(one, sign_in=None)
        for one in answers
    )


def lasts(snapshot: Snapshot, namespace: str, person: str, signed: AnswerSignIn, now: Instant) -> bool:
    """Whether nobody has ended this sign-in (rules 3 and 4)."""
    if signed.session and now >= snapshot.accounts.session_until(namespace, signed.session, person):
        return False
    if not signed.token:
        return bool(signed.session)
    row = snapshot.tokens.token(namespace, signed.token)
    if row is None or row.revoked != NEVER or (row.acr, row.authenticated) != (signed.acr, signed.at):  # 4
        return False
    try:
        require_not_revoked(snapshot.tokens.key(row.key))
    except DeniedError:
        return False
    if not is_admission(row.parent):
        return True
    found = snapshot.authorizations.admission(namespace, row.parent)
    return found is not None and found.ended == NEVER
