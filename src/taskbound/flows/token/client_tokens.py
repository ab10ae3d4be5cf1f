"""Tokens for clients that people use: what the token endpoint gives for a code and for a refresh token.

1. The token is of the task that a person consented to, for the one resource that they were shown, and ends
   with the admission: it is read whenever the token is shown (`standing`, rule 5).
2. It is bound to the DPoP key that the client proved. A client that proved none gets a bearer token: most
   that people have can do no better. It is good at that one resource, for five minutes at most.
3. A refresh token is used up only once the new token is there: a signer that is away costs nobody a consent.
   What was issued beside it, where another one came first, was told to nobody and ends with the admission.
   A code is used up first, whatever comes of it: two tokens of one code would be worse.
4. A client that acts as a person gets a person's token, bound to its key, which says how the person had
   signed in; it ends with the admission too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.flows.means import Actor
from taskbound.flows.token.admitting import exchange_code, look_at_refresh, renew
from taskbound.flows.token.orders import Issued, PersonTokenOrder, TaskTokenOrder

if TYPE_CHECKING:
    from taskbound.core.token.authorization.admission import Admission, Renewal
    from taskbound.core.token.authorization.code import Exchange
    from taskbound.flows.means import Means
    from taskbound.flows.token.admitting import Admitted
    from taskbound.flows.token.issuing import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientToken:
    """What a client is answered with. Both texts are in this answer and nowhere else."""

    issued: Issued
    refresh: str
    """Empty where there is none."""
    admission: Admission

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"ClientToken({self.issued.token.id!r}, {self.admission.id!r})"


class ClientTokens:
    """Gives tokens for codes and refresh tokens; used from one thread at a time."""

    def __init__(self, means: Means, tokens: Tokens) -> None:
        """Keep what to work with."""
        self._means = means
        self._tokens = tokens

    def by_code(self, namespace: str, code: str, brought: Exchange) -> ClientToken:
        """The first token, for a code; raises as `exchange_code` and `Tokens.issue_task_token`."""
        admitted = exchange_code(self._means, namespace, code, brought)
        one = admitted.admission
        issued = self._issue_as_person(admitted) if one.is_persons else self._issue(one, "code")
        return ClientToken(issued=issued, refresh=admitted.refresh, admission=one)

    def by_refresh(self, namespace: str, refresh: str, brought: Renewal) -> ClientToken:
        """The next token, for a refresh token (rule 3); raises as `renew` and `Tokens.issue_task_token`."""
        issued = self._issue(look_at_refresh(self._means, namespace, refresh, brought), "refresh-token")
        admitted = renew(self._means, namespace, refresh, brought)
        return ClientToken(issued=issued, refresh=admitted.refresh, admission=admitted.admission)

    def _issue_as_person(self, admitted: Admitted) -> Issued:
        """A person's token (rule 4)."""
        admission, signed = admitted.admission, admitted.signed
        order = PersonTokenOrder(
            namespace=admission.namespace,
            person=admission.person,
            audience=admission.resource,
            binding=_bound(admission.jkt),
            until=admission.until,
            acr=signed.acr,
            authenticated=signed.authenticated,
            parent=admission.id,
        )
        return self._tokens.issue_person_token(order, Actor(name=f"client:{admission.client}", proof="code"))

    def _issue(self, admission: Admission, proof: str) -> Issued:
        bound = _bound(admission.jkt)
        order = TaskTokenOrder(
            namespace=admission.namespace,
            task=admission.task,
            agent=admission.agent,
            audience=admission.resource,
            binding=bound,
            bearer=bound is None,  # 2
            parent=admission.id,  # 1
        )
        return self._tokens.issue_task_token(order, Actor(name=f"client:{admission.client}", proof=proof))


def _bound(jkt: str) -> Binding | None:
    return Binding(kind=BindingKind.DPOP, thumbprint=jkt) if jkt else None
