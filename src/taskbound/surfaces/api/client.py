"""Who a client of the OAuth endpoints is, and the grants that it brings.

Of `client_proof`:

1. A client is authenticated in one way. `client_assertion` is by the agent's or service's own key
   (`jwt-bearer`, RFC 7523 §2.2) or a JWT-SVID (`jwt-spiffe`), `actor_token` a JWT-SVID or a token of an
   issuer that is trusted (RFC 8693 §2.1). Two of them at once, a secret or an `Authorization` header are
   none (A139, A152).
2. Only without those does the certificate of the connection authenticate it, as an X.509-SVID. Beside one of
   them it proves the key alone.
3. `client_id` may be left out. Where it stands it is the proven client's name as tokens say it.
4. The key is the one `DPoP` header's, made for this request and no token (RFC 9449 §5), or else the
   certificate's (RFC 8705 §3), which has begun and not ended. The proof is read first, and used only by a
   client that was proven: what strangers make up is not kept.
5. `namespace` is a parameter of ours, `default` without it. What is believed is what that one believes. One
   without agents and services is none: strangers make up no namespaces for our records.

Of `client_grants`:

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
from base64 import b64decode
from binascii import Error
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import parse_object
from taskbound.core.clock import seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity import UnprovenError, parse_name
from taskbound.core.identity.errors import NoProofError
from taskbound.core.identity.proof import Binding, BindingKind, Principal, PrincipalKind, WorkloadKind
from taskbound.core.identity.selector import Credential
from taskbound.core.token import claim_of, name_of
from taskbound.core.token.authorization.asked import Exchange
from taskbound.core.token.authorization.request import Renewal
from taskbound.core.token.exchange import BadExchangeError
from taskbound.core.token.key import ClaimKind
from taskbound.flows.token import ClientTokens, give_back_refresh
from taskbound.flows.token.admitting import client_actor
from taskbound.flows.token.verifying import BadProofError
from taskbound.surfaces.api.authority import apart, at_once
from taskbound.wire.authorization import CODE, REFRESH, TokenGiven
from taskbound.wire.jose.compact import encode_base64url, split_compact
from taskbound.wire.jose.dpop import DpopRequest, read_dpop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.token import Claim
    from taskbound.flows.identity.workload import Proofs
    from taskbound.flows.means import Means
    from taskbound.flows.token import ClientToken, Tokens, Verification
    from taskbound.ports.identity import Awaited
    from taskbound.surfaces.api.connection import Connection
    from taskbound.wire.jose.dpop import DpopProof
    from taskbound.wire.network import Shown


_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:"
_ASSERTIONS: Final = {
    _ASSERTION + "jwt-bearer": WorkloadKind.KEY,
    _ASSERTION + "jwt-spiffe": WorkloadKind.JWT_SVID,
}
_ACTOR: Final = "urn:ietf:params:oauth:token-type:jwt"
_DEFAULT: Final = "default"
_SIZE: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """The key that a request was made with, and what is still to be used for the first time by that."""

    binding: Binding | None = None
    proof: DpopProof | None = None

    def claim(self, namespace: str) -> Claim | None:
        """What the proof's use is known by (rule 4)."""
        one = self.proof
        if one is None:
            return None
        return claim_of(namespace, ClaimKind.DPOP, one.jkt, one.id, until=one.until)


def read_key(means: Means, shown: Shown) -> ClientKey:
    """The key that a request was made with (rule 4).

    Raises:
        MalformedError: The proof can't be read.
        DeniedError: It is not of this request.
    """
    if shown.dpop:
        proof = read_dpop(
            [shown.dpop],
            request=DpopRequest(method=shown.method, uri=shown.uri),
            check=means.tokens,
            now=means.clock.now(),
        )
        return ClientKey(binding=Binding(kind=BindingKind.DPOP, thumbprint=proof.jkt), proof=proof)
    leaf = leaf_of(shown)
    if not leaf:
        return ClientKey()
    thumbprint = encode_base64url(sha256(leaf).digest())
    return ClientKey(binding=Binding(kind=BindingKind.MTLS, thumbprint=thumbprint))


def prove_client(means: Means, proofs: Proofs, form: Mapping[str, str], shown: Shown) -> Principal:
    """The agent or service that a form, or the connection that it came on, proves (rules 1 to 3, 5).

    Raises:
        NoProofError: None is shown.
        UnprovenError: It is shown in two ways, or is another client's than it says.
        MalformedError: It can't be read.
        DeniedError: It proves nobody.
    """
    namespace = require_namespace(means, form)
    principal = proofs.prove(namespace, _credential(form, shown))
    leaf = leaf_of(shown)
    if leaf and not shown.dpop:
        means.svids.require_current(leaf, now=means.clock.now())  # 4
    name = client_name(principal)
    if form.get("client_id", name) != name:
        raise UnprovenError("`client_id` names another client than the one that is proven")  # 3
    return principal


def client_name(principal: Principal) -> str:
    """How tokens call a client that was proven."""
    return name_of(principal.kind.value.lower(), principal.namespace, principal.name)


def awaited(means: Means, proofs: Proofs, form: Mapping[str, str], shown: Shown) -> Awaited | None:
    """What an issuer has to be asked for before a form can prove its client; None for nothing.

    Raises:
        UnprovenError: As `prove_client`.
    """
    return proofs.awaited(require_namespace(means, form), _credential(form, shown))


def require_namespace(means: Means, form: Mapping[str, str]) -> str:
    """The namespace that a form is for (rule 5).

    Raises:
        UnprovenError: It is none.
    """
    namespace = form.get("namespace", _DEFAULT)
    parse_name(namespace, what="a namespace")
    with means.store.read() as snapshot:
        known = bool(snapshot.identities.agents(namespace) or snapshot.services.services(namespace))
    if not known and namespace != _DEFAULT:
        raise UnprovenError("the namespace has no agent and no service")  # 5
    return namespace


def leaf_of(shown: Shown) -> bytes:
    """The client's own certificate, DER; empty for none.

    Raises:
        BadProofError: It is no Base64.
    """
    return next(iter(_chain(shown)), b"")


def _credential(form: Mapping[str, str], shown: Shown) -> Credential:
    if shown.authorization or "client_secret" in form:
        raise UnprovenError("no client has a secret, or a token, to authenticate itself with here")  # 1
    asserted, acting = form.get("client_assertion", ""), form.get("actor_token", "")
    if asserted and acting:
        raise UnprovenError("the client authenticates itself in two ways")  # 1
    if asserted:
        kind = _ASSERTIONS.get(form.get("client_assertion_type", ""))
        if kind is None:
            raise UnprovenError("no `client_assertion` of that type is taken", where="client_assertion_type")
        return Credential(kind=kind, raw=_raw(asserted))
    if acting:
        if form.get("actor_token_type", "") != _ACTOR:
            raise UnprovenError("no `actor_token` of that type is taken", where="actor_token_type")
        return Credential(kind=_kind_of(acting), raw=_raw(acting))
    leaf, *rest = _chain(shown) or (b"",)
    if not leaf:
        raise NoProofError("the request shows no proof of which client asks")
    return Credential(kind=WorkloadKind.X509_SVID, raw=leaf, chain=tuple(rest))  # 2


def _kind_of(text: str) -> WorkloadKind:
    """What an actor's token claims to be; who is chosen by that has to believe it first, or refuses it."""
    try:
        subject = parse_object(split_compact(text, size=_SIZE).payload).get("sub")
    except MalformedError:
        return WorkloadKind.OIDC  # which can't be read either, and leaves the record of a refused proof
    spiffe = isinstance(subject, str) and subject.startswith("spiffe://")
    return WorkloadKind.JWT_SVID if spiffe else WorkloadKind.OIDC


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _chain(shown: Shown) -> tuple[bytes, ...]:
    try:
        return tuple(b64decode(one, validate=True) for one in shown.chain)
    except (Error, ValueError) as error:
        raise BadProofError("the client's certificate is no Base64") from error


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
