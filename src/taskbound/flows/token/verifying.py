"""Verifies a presented token of ours: first its format, then its row (ADR 0058).

- Only the signature check is cached, by digest of the text and audience; row and times are checked each time.
  Only within one snapshot are reads shared (`SharedSnapshot`).
- A caller without right to a token learns only that it is not active (RFC 7662 §2.2).
- `DPoP` comes with one proof for this request and token by the bound key (RFC 9449 §7.1); a DPoP-bound token
  is refused as `Bearer`. A proof is used once, and only stored for a valid token. `Bearer` uses the key of
  the client's certificate (RFC 8705 §3), if any, within its times, which TLS does not check.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache, partial
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.proof import Binding, BindingKind, Principal, PrincipalKind, TokenProof
from taskbound.core.token import (
    ClaimKind,
    OtherKindError,
    TokenAlteredError,
    TokenForm,
    UnboundTokenError,
    UnknownTokenError,
    claim_of,
    claims_of,
    named_in,
)
from taskbound.flows.token.keys import KINDS_OF_FORM
from taskbound.flows.token.revoking import revoke_own
from taskbound.flows.token.standing import ground_of, person_of, require_token_stands
from taskbound.wire.jose import (
    PERSON_TOKEN,
    SERVICE_TOKEN,
    TRANSACTION_TOKEN,
    TokenClaimsError,
    TokenExpiredError,
    TokenKindError,
    Trust,
    parse_access_token,
    parse_jwk,
    parse_jws,
    verify_jws,
)
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.jose.dpop import BoundToken, DpopRequest, read_dpop, token_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim, Token
    from taskbound.flows.means import Actor, Adapters, SharedSnapshot
    from taskbound.flows.token.issuing import Issuing
    from taskbound.ports.store import Snapshot
    from taskbound.wire.jose import Jwk, Jws, UnverifiedJws


Stands: TypeAlias = "Callable[[Snapshot, Token, Instant], None]"
"""Goes on only when this is so of a token's row."""

_REMEMBERED: Final = 4096
_PARSED: Final = 256
"""Texts that were read, whatever they are worth: a request asks more than once what its token says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A valid token and its presenter."""

    principal: Principal
    token: Token


class Verification:
    """Verifies tokens; thread-safe."""

    def __init__(self, adapters: Adapters, issuing: Issuing) -> None:
        self._adapters = adapters
        self._issuing = issuing
        self._seen: OrderedDict[tuple[str, str], Jws] = OrderedDict()
        self._parsed: OrderedDict[str, UnverifiedJws] = OrderedDict()
        self._lock = Lock()

    def verify(
        self,
        text: str,
        *,
        audience: str,
        shown: Binding | None,
        namespace: str = "",
        stands: Stands = require_token_stands,
        one_look: SharedSnapshot | None = None,
    ) -> Verified:
        """`shown` is the key proven by TLS or a DPoP proof of this very token (`ath`), None if none."""
        if one_look is None:
            verified = self._verified(text, audience, namespace, stands)
        else:
            look = partial(self._look, text, self.read(text), audience, namespace, stands)
            verified = one_look.once((text, audience, namespace, stands), look)
        row = verified.token
        if row.binding is not None and row.binding != shown:
            raise UnboundTokenError("the token was shown without the key that it is bound to")
        return verified

    def _verified(self, text: str, audience: str, namespace: str, stands: Stands) -> Verified:
        jws = self.read(text)
        with self._adapters.store.read() as snapshot:
            return self._look(text, jws, audience, namespace, stands, snapshot)

    def _look(
        self, text: str, jws: UnverifiedJws, audience: str, namespace: str, stands: Stands, snapshot: Snapshot
    ) -> Verified:
        row = _row(snapshot, jws)
        now = self._adapters.clock.now()
        believed = self._believe(snapshot, text, jws, audience, now)
        if row is None or (namespace and row.namespace != namespace):
            raise UnknownTokenError("that token was not issued here")
        if row.digest != believed.payload_digest or KINDS_OF_FORM[row.form] is not believed.kind:
            raise TokenAlteredError("the token is not what its row says")
        stands(snapshot, row, now)
        return Verified(principal=_principal(row), token=row)

    def verify_subject(self, text: str, *, namespace: str) -> Verified:
        """Verifies a subject token for us (its `aud` is our issuer), presented without its key."""
        return self._verified(text, self._issuing.issuer, namespace, require_token_stands)

    def verify_relayed(self, text: str, *, audience: str, namespace: str, stands: Stands) -> Verified:
        """Verifies a token that a process of ours was shown with its key."""
        return self._verified(text, audience, namespace, stands)

    def introspect(self, text: str, *, client: str, audiences: Collection[str]) -> dict[str, JsonValue]:
        """RFC 7662 §2.2; `client` is the caller as tokens name it, `audiences` its resources."""
        row = self._mine(text, client, audiences)
        if row is None:
            return {"active": False}
        with self._adapters.store.read() as snapshot:
            try:
                require_token_stands(snapshot, row, self._adapters.clock.now())
                claims = claims_of(row, ground_of(snapshot, row))
            except DeniedError:
                return {"active": False}
        dpop = row.binding is not None and row.binding.kind is BindingKind.DPOP
        return {**claims, "active": True, "token_type": "DPoP" if dpop else "Bearer"}

    def revoke(self, text: str, *, client: str, actor: Actor) -> None:
        """Revokes the client's own token, if it is ours (RFC 7009 §2.1); raises ForeignTokenError."""
        row = self.known(text)
        if row is not None:
            revoke_own(self._adapters, row, client, actor)

    @property
    def domain(self) -> str:
        """Returns the trust domain, the `aud` of transaction tokens."""
        return self._issuing.domain

    def known(self, text: str, *, transactions: bool = False) -> Token | None:
        """Returns the row of a text that our key signed, valid or not; None for others."""
        try:
            jws = self._any(text) if transactions else self.read(text)
            with self._adapters.store.read() as snapshot:
                row = _row(snapshot, jws)
                if row is None:
                    return None
                believed = self._believe(snapshot, text, jws, row.audience, row.issued)
        except (MalformedError, DeniedError):
            return None
        return row if row.digest == believed.payload_digest else None

    def _mine(self, text: str, client: str, audiences: Collection[str]) -> Token | None:
        row = self.known(text)
        if row is None:
            return None
        own = row.actors[0] if row.actors else row.subject
        return row if client == own or row.audience in audiences else None

    def _any(self, text: str) -> UnverifiedJws:
        try:
            return self.read(text)
        except (TokenClaimsError, TokenKindError):
            return parse_jws(text, kind=TRANSACTION_TOKEN)

    def read(self, text: str) -> UnverifiedJws:
        """Reads an access token without verifying it; raises MalformedError or DeniedError for its kind."""
        with self._lock:
            known = self._parsed.get(text)
        if known is not None:
            return known
        jws = parse_access_token(text)
        with self._lock:
            self._parsed[text] = jws
            while len(self._parsed) > _PARSED:
                self._parsed.popitem(last=False)
        return jws

    def _believe(self, snapshot: Snapshot, text: str, jws: UnverifiedJws, audience: str, now: Instant) -> Jws:
        name = sha256(text.encode("ascii")).hexdigest(), audience
        with self._lock:
            known = self._seen.get(name)
            if known is not None:
                self._seen.move_to_end(name)
        if known is not None:
            if now >= known.claims.expires:
                raise TokenExpiredError("the token has expired", where="exp")
            return known
        key = snapshot.tokens.key(jws.header.kid)
        trust = Trust(
            issuer=self._issuing.issuer,
            audience=audience,
            keys=() if key is None else (_public(key.public),),
        )
        believed = verify_jws(jws, trust=trust, check=self._adapters.tokens, now=now)
        with self._lock:
            self._seen[name] = believed
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return believed


def _row(snapshot: Snapshot, jws: UnverifiedJws) -> Token | None:
    context = jws.claimed.rest.get("tctx")  # where a transaction token names it
    space = (context if isinstance(context, dict) else jws.claimed.rest).get("namespace")
    return snapshot.tokens.token(space, jws.claimed.id) if isinstance(space, str) else None


def _principal(token: Token) -> Principal:
    proof = TokenProof(token=token.id, binding=token.binding, task=token.task)
    if token.form is TokenForm.PERSON:
        return Principal(
            kind=PrincipalKind.PERSON, namespace=token.namespace, name=person_of(token), proof=proof
        )
    if token.form is TokenForm.SERVICE:
        name = named_in(token.subject)
        return Principal(kind=PrincipalKind.SERVICE, namespace=token.namespace, name=name, proof=proof)
    return Principal(kind=PrincipalKind.AGENT, namespace=token.namespace, name=token.agent, proof=proof)


@lru_cache(maxsize=64)
def _public(raw: bytes) -> Jwk:
    return parse_jwk(json.loads(raw))


_TOKEN: Final = re.compile(r"(dpop|bearer) +([A-Za-z0-9._~+/-]+=*)", re.ASCII | re.IGNORECASE)


class BadProofError(DeniedError):
    """The request over the network has no acceptable proof."""

    code = "bad-proof"
    remedy = (
        "send `Authorization: DPoP TOKEN` and one `DPoP` header, or the token with its client certificate"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The credentials of a request, hidden in repr."""

    method: str
    uri: str
    """Where it went, by our own configuration."""
    authorization: str
    dpop: str
    certificate: bytes
    """The client's own, DER; empty for none."""

    def __repr__(self) -> str:
        """Hides the credentials."""
        return f"Request({self.method} {self.uri!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presenter:
    """The presenter of a valid token, with claims that must be used for the first time."""

    verified: Verified
    claim: Claim | None
    """The proof's; none without one."""

    @property
    def principal(self) -> Principal:
        return self.verified.principal


def read_shown(  # noqa: PLR0913 - a request, and what is asked of the token that it shows
    adapters: Adapters,
    verification: Verification,
    request: Request,
    *,
    audience: str,
    namespace: str = "",
    stands: Stands = require_token_stands,
    one_look: SharedSnapshot | None = None,
) -> Presenter:
    """Verifies a request's token; the caller must still use its proof. `namespace` empty means any."""
    told = _TOKEN.fullmatch(request.authorization)
    if told is None:
        raise BadProofError("the authorization is no token of a kind that is taken")
    scheme, text = told[1].lower(), told[2]
    if scheme == "bearer":
        if request.dpop:
            raise BadProofError("a proof of a key comes with a token that is shown as `Bearer`")
        verified = verification.verify(
            text,
            audience=audience,
            shown=_certificate(adapters, request),
            namespace=namespace,
            stands=stands,
            one_look=one_look,
        )
        return Presenter(verified=verified, claim=None)
    proof = read_dpop(
        [request.dpop] if request.dpop else [],
        request=DpopRequest(
            method=request.method,
            uri=request.uri,
            token=BoundToken(digest=token_hash(text), jkt=_claimed_key(verification, text)),
        ),
        check=adapters.tokens,
        now=adapters.clock.now(),
    )
    shown = Binding(kind=BindingKind.DPOP, thumbprint=proof.jkt)
    verified = verification.verify(
        text, audience=audience, shown=shown, namespace=namespace, stands=stands, one_look=one_look
    )
    space = verified.principal.namespace
    claim = claim_of(space, ClaimKind.DPOP, proof.jkt, proof.id, until=proof.until)
    return Presenter(verified=verified, claim=claim)


def require_task_kind(authorization: str) -> None:
    told = _TOKEN.fullmatch(authorization)
    if told is None:
        return
    for kind in (PERSON_TOKEN, SERVICE_TOKEN, TRANSACTION_TOKEN):
        with suppress(MalformedError):
            parse_jws(told[2], kind=kind)
            raise OtherKindError("the token is not a task's")


def _certificate(adapters: Adapters, request: Request) -> Binding | None:
    if not request.certificate:
        return None
    adapters.svids.require_current(request.certificate, now=adapters.clock.now())
    thumbprint = encode_base64url(sha256(request.certificate).digest())
    return Binding(kind=BindingKind.MTLS, thumbprint=thumbprint)


def _claimed_key(verification: Verification, text: str) -> str:
    bound = verification.read(text).claimed.rest.get("cnf")
    claimed = bound.get("jkt") if isinstance(bound, dict) else None
    return claimed if isinstance(claimed, str) else ""
