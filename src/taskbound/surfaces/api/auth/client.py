"""Authenticates clients of the OAuth endpoints, and serves the grants that they present.

Of `client_proof`:
1. A client authenticates in exactly one way: `client_assertion` signed by the agent's or service's own key
   (`jwt-bearer`, RFC 7523 §2.2), a JWT-SVID (`jwt-spiffe`), or `actor_token` with a JWT-SVID or a trusted
   issuer's token (RFC 8693 §2.1). Two at once, a secret or an `Authorization` header are refused (A139,
   A152).
2. Only without those, the certificate of the connection authenticates it as an X.509-SVID. Beside one of them
   the certificate proves the key alone.
3. `client_id` is optional; if present it must be the name of the proven client as in tokens.
4. The key is that of the one `DPoP` header made for this request without a token (RFC 9449 §5), or else that
   of a valid certificate (RFC 8705 §3). The proof is claimed against replay only after the client is proven,
   so that strangers fill no memory.
5. `namespace` is our own parameter, with the default `default`; trust is that of the namespace. A namespace
   without agents and services is refused, so that strangers create no namespaces in records.
Of `client_grants`:
1. Such a client is public: its grant admits it, and nothing proves which program it is. It names its
   `client_id`; a credential beside it is refused, because the sender means another grant (A152).
2. Its key is that of the `DPoP` header, or none; a certificate binds nothing. The proof needs no claim,
   because code and refresh token are single-use.
3. It acts on a seat of the service that brought it; the person has consented before.
4. It may revoke what it holds (RFC 7009): a refresh token with its whole admission, or one token.
5. Grants are served one at a time outside the worker, because they wait for the signer (`ClientTokens`).
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
from taskbound.surfaces.api.auth.authority import apart, at_once
from taskbound.wire.authorization import CODE, REFRESH, TokenGiven
from taskbound.wire.jose.compact import encode_base64url, split_compact
from taskbound.wire.jose.dpop import DpopRequest, read_dpop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.token import Claim
    from taskbound.flows.identity.workload import Proofs
    from taskbound.flows.means import Adapters
    from taskbound.flows.token import ClientToken, Tokens, Verification
    from taskbound.ports.identity import IssuerFetch
    from taskbound.surfaces.api.server.connection import Connection
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
    """The key with which a request was made, and the proof that is still to be claimed."""

    binding: Binding | None = None
    proof: DpopProof | None = None

    def claim(self, namespace: str) -> Claim | None:
        """Returns the replay claim of the proof (rule 4)."""
        one = self.proof
        if one is None:
            return None
        return claim_of(namespace, ClaimKind.DPOP, one.jkt, one.id, until=one.until)


def read_key(adapters: Adapters, shown: Shown) -> ClientKey:
    """Returns the key of a request; raises MalformedError or DeniedError on a bad proof (rule 4)."""
    if shown.dpop:
        proof = read_dpop(
            [shown.dpop],
            request=DpopRequest(method=shown.method, uri=shown.uri),
            check=adapters.tokens,
            now=adapters.clock.now(),
        )
        return ClientKey(binding=Binding(kind=BindingKind.DPOP, thumbprint=proof.jkt), proof=proof)
    leaf = leaf_of(shown)
    if not leaf:
        return ClientKey()
    thumbprint = encode_base64url(sha256(leaf).digest())
    return ClientKey(binding=Binding(kind=BindingKind.MTLS, thumbprint=thumbprint))


def prove_client(adapters: Adapters, proofs: Proofs, form: Mapping[str, str], shown: Shown) -> Principal:
    """Returns the agent or service that a form or its connection proves (rules 1 to 3, 5).

    Raises NoProofError without any proof, UnprovenError if there are two or `client_id` differs,
    MalformedError if one cannot be parsed, and DeniedError if it proves no client.
    """
    namespace = require_namespace(adapters, form)
    principal = proofs.prove(namespace, _credential(form, shown))
    leaf = leaf_of(shown)
    if leaf and not shown.dpop:
        adapters.svids.require_current(leaf, now=adapters.clock.now())  # 4
    name = client_name(principal)
    if form.get("client_id", name) != name:
        raise UnprovenError("`client_id` names another client than the one that is proven")  # 3
    return principal


def client_name(principal: Principal) -> str:
    """Returns the name of a proven client as in tokens."""
    return name_of(principal.kind.value.lower(), principal.namespace, principal.name)


def awaited(adapters: Adapters, proofs: Proofs, form: Mapping[str, str], shown: Shown) -> IssuerFetch | None:
    """Returns what must be fetched from an issuer before a form can prove its client; None for nothing."""
    return proofs.awaited(require_namespace(adapters, form), _credential(form, shown))


def require_namespace(adapters: Adapters, form: Mapping[str, str]) -> str:
    """Returns the namespace of a form; raises UnprovenError if it has no agents or services (rule 5)."""
    namespace = form.get("namespace", _DEFAULT)
    parse_name(namespace, what="a namespace")
    with adapters.store.read() as snapshot:
        known = bool(snapshot.identities.agents(namespace) or snapshot.services.services(namespace))
    if not known and namespace != _DEFAULT:
        raise UnprovenError("the namespace has no agent and no service")  # 5
    return namespace


def leaf_of(shown: Shown) -> bytes:
    """Returns the client certificate in DER, empty for none; raises BadProofError unless it is Base64."""
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
        raise NoProofError("the request has no proof of its client")
    return Credential(kind=WorkloadKind.X509_SVID, raw=leaf, chain=tuple(rest))  # 2


def _kind_of(text: str) -> WorkloadKind:
    """Reads the unverified kind of an actor token; the verifier that it selects must verify it."""
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
    """Returns whether a revocation request comes from a public client: it names itself and proves nothing."""
    if shown.authorization or any(one in form for one in _CREDENTIALS):
        return False
    client = form.get("client_id", "")
    return client != "" and not client.startswith(_AGENT)


def public_client(carrier: Connection, namespace: str, form: Mapping[str, str], shown: Shown) -> Principal:
    """Returns a public client's identity; raises UnprovenError or BadExchangeError (rules 1 and 3)."""
    if shown.authorization or any(one in form for one in _CREDENTIALS):
        raise UnprovenError("a client of this grant has no credential of its own")
    _required(form, "client_id")
    return Principal(
        kind=PrincipalKind.SERVICE, namespace=namespace, name=carrier.role, proof=carrier.peer.proof
    )


class ClientGrants:
    """Issues tokens for codes and refresh tokens; used in the loop."""

    def __init__(self, adapters: Adapters, tokens: Tokens) -> None:
        self._adapters = adapters
        self._tokens = ClientTokens(adapters, tokens)
        self._turn = asyncio.Lock()

    async def give(self, namespace: str, form: Mapping[str, str], binding: Binding | None) -> TokenGiven:
        """Returns the token that a form asks for.

        Raises BadExchangeError if a parameter is missing, DeniedError if the grant is refused, and
        UnavailableError.
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
        """Ends what a client revokes (rule 4); an unknown token is no error.

        Raises BadExchangeError if a parameter is missing, and ForeignTokenError for another client's token.
        """
        client, text = _required(form, "client_id"), _required(form, "token")

        def work() -> None:
            if not give_back_refresh(self._adapters, namespace, text, client):
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
