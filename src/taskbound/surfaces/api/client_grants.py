"""Grants of clients that people use: a token of the task that a person consented to, for what it brings.

1. Such a client is public: what it brings lets it in, and nothing proves which program it is. It says its
   `client_id`; a credential beside it is refused, since whoever sends one means another grant (A152).
2. Its key is the `DPoP` header's, or none; a certificate binds nothing here. The proof needs no claim: code
   and refresh token are used once themselves.
3. What it asks is asked on a seat of the service that brought it: the person has consented before.
4. It gives back what it has (RFC 7009): a refresh token, and with it all that it was let in to, or one token.
5. One is answered at a time, beside the worker, as it waits for the signer (`ClientTokens`).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import seconds
from taskbound.core.identity import UnprovenError
from taskbound.core.identity.proof import BindingKind, Principal, PrincipalKind
from taskbound.core.token.authorization.admission import Renewal
from taskbound.core.token.authorization.code import Exchange
from taskbound.core.token.exchange import BadExchangeError
from taskbound.flows.token import ClientTokens, give_back_refresh
from taskbound.flows.token.admitting import client_actor
from taskbound.surfaces.api.authority import apart, at_once
from taskbound.wire.oauth import CODE, REFRESH, TokenGiven

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.identity.proof import Binding
    from taskbound.flows.means import Means
    from taskbound.flows.token import ClientToken, Tokens, Verification
    from taskbound.surfaces.api.connection import Connection
    from taskbound.wire.network import Shown


_AGENT: Final = "agent:"
_CREDENTIALS: Final = ("actor_token", "client_assertion", "client_secret")


def is_public(form: Mapping[str, str], shown: Shown) -> bool:
    """Whether what is given back is a client's that nothing proves: it names itself, and no agent."""
    if shown.authorization or any(one in form for one in _CREDENTIALS):
        return False
    client = form.get("client_id", "")
    return client != "" and not client.startswith(_AGENT)


def public_client(carrier: Connection, namespace: str, form: Mapping[str, str], shown: Shown) -> Principal:
    """Who asks for a client that nothing proves (rules 1 and 3).

    Raises:
        UnprovenError: It shows a credential.
        BadExchangeError: It does not say which client it is.
    """
    if shown.authorization or any(one in form for one in _CREDENTIALS):
        raise UnprovenError("a client of this grant has no credential of its own")
    _required(form, "client_id")
    return Principal(
        kind=PrincipalKind.SERVICE, namespace=namespace, name=carrier.role, proof=carrier.peer.proof
    )


class ClientGrants:
    """Gives tokens for codes and refresh tokens; used in the loop."""

    def __init__(self, means: Means, tokens: Tokens) -> None:
        """Give tokens that these issue."""
        self._means = means
        self._tokens = ClientTokens(means, tokens)
        self._turn = asyncio.Lock()

    async def give(self, namespace: str, form: Mapping[str, str], binding: Binding | None) -> TokenGiven:
        """The token that a form asks for.

        Raises:
            BadExchangeError: It lacks what its grant needs.
            DeniedError: What it brings gives nothing, and why.
            UnavailableError: It can't be done now.
        """
        jkt = binding.thumbprint if binding is not None and binding.kind is BindingKind.DPOP else ""
        work = (
            self._by_code(namespace, form, jkt)
            if form["grant_type"] == CODE
            else self._by_refresh(namespace, form, jkt)
        )
        async with self._turn:  # 5
            given = await apart(work)
        token = given.issued.token
        return TokenGiven(
            access_token=given.issued.text,
            token_type="Bearer" if token.binding is None else "DPoP",
            expires_in=(token.expires - token.issued) // seconds(1),
            scope=" ".join(given.admission.scope) or "task",
            refresh_token=given.refresh,
        )

    async def take_back(self, namespace: str, form: Mapping[str, str], verification: Verification) -> None:
        """End what a client gives back (rule 4); a text that is none of ours is nothing to end.

        Raises:
            BadExchangeError: It says neither what, nor which client it is.
            ForeignTokenError: It is another client's.
        """
        client, text = _required(form, "client_id"), _required(form, "token")

        def work() -> None:
            if not give_back_refresh(self._means, namespace, text, client):
                actor = client_actor(client, "access-token")
                verification.revoke(text, client=actor.name, actor=actor)

        await at_once(work)

    def _by_code(self, namespace: str, form: Mapping[str, str], jkt: str) -> Callable[[], ClientToken]:
        brought = Exchange(
            client=_required(form, "client_id"),
            redirect=_required(form, "redirect_uri"),
            verifier=_required(form, "code_verifier"),
            resource=form.get("resource", ""),
            jkt=jkt,
        )
        return partial(self._tokens.by_code, namespace, _required(form, "code"), brought)

    def _by_refresh(self, namespace: str, form: Mapping[str, str], jkt: str) -> Callable[[], ClientToken]:
        brought = Renewal(
            client=_required(form, "client_id"),
            resource=form.get("resource", ""),
            scope=tuple(form["scope"].split(" ")) if "scope" in form else (),
            jkt=jkt,
        )
        return partial(self._tokens.by_refresh, namespace, _required(form, REFRESH), brought)


def _required(form: Mapping[str, str], name: str) -> str:
    if name not in form:
        raise BadExchangeError(f"`{name}` stands once", where=name)
    return form[name]
