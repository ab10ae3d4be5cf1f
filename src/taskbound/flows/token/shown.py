"""Who shows a token of ours over HTTP, from what came with the request.

1. `Authorization` is `DPoP TOKEN` or `Bearer TOKEN`, and nothing else is looked at for a token (A139).
2. As `DPoP` it comes with one proof, which is of this request and this token, by the key that the token is
   bound to (RFC 9449 §7.1). A token that is bound so is nobody's as `Bearer`, whatever proof comes with it.
3. As `Bearer` the key is that of the client's certificate (RFC 8705 §3), which has begun and not ended;
   without one there is none. TLS has shown that who connects has its key, and leaves its times to us.
4. A proof is used once, and only by a token that holds: what strangers make up is not kept.
5. Where only tasks' tokens are taken, one that is refused and is of another kind is told that: what is said
   is the same whatever else is wrong with it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.token import ClaimKind, OtherKindError, claim_of
from taskbound.flows.token.standing import require_token_stands
from taskbound.wire.jose import PERSON_TOKEN, SERVICE_TOKEN, TRANSACTION_TOKEN, parse_jws
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.jose.dpop import BoundToken, DpopRequest, read_dpop, token_hash

if TYPE_CHECKING:
    from taskbound.core.identity.proof import Principal
    from taskbound.core.token import Claim
    from taskbound.flows.means import Means, OneLook
    from taskbound.flows.token.verifying import Stands, Verification, Verified


_TOKEN: Final = re.compile(r"(dpop|bearer) +([A-Za-z0-9._~+/-]+=*)", re.ASCII | re.IGNORECASE)


class BadProofError(DeniedError):
    """What a request over the network shows is nobody's proof."""

    code = "bad-proof"
    remedy = (
        "send `Authorization: DPoP TOKEN` and one `DPoP` header, or the token with its client certificate"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came with a request; no repr of this has a secret."""

    method: str
    uri: str
    """Where it went, by our own configuration."""
    authorization: str
    dpop: str
    certificate: bytes
    """The client's own, DER; empty for none."""

    def __repr__(self) -> str:
        """Without what proves anything."""
        return f"Request({self.method} {self.uri!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shower:
    """Who shows a token that holds, and what has to be used for the first time by that."""

    verified: Verified
    claim: Claim | None
    """The proof's (rule 4); none without one."""

    @property
    def principal(self) -> Principal:
        """Who that is."""
        return self.verified.principal


def read_shown(  # noqa: PLR0913 - a request, and what is asked of the token that it shows
    means: Means,
    verification: Verification,
    request: Request,
    *,
    audience: str,
    namespace: str = "",
    stands: Stands = require_token_stands,
    one_look: OneLook | None = None,
) -> Shower:
    """Who shows a token; its proof is still to be used.

    Args:
        means: What flows are given.
        verification: What tokens are verified by.
        request: What came with it.
        audience: The resource that was asked.
        namespace: The only one that the token may be of; empty for any.
        stands: What has to be so of the token's row.
        one_look: What is looked at together with it; None for nothing.

    Raises:
        BadProofError: It is none of rule 1, or comes with what does not belong to it.
        MalformedError: A token or a proof can't be read.
        DeniedError: It proves nobody now, and why.
    """
    told = _TOKEN.fullmatch(request.authorization)
    if told is None:
        raise BadProofError("the authorization is no token of a kind that is taken")  # 1
    scheme, text = told[1].lower(), told[2]
    if scheme == "bearer":
        if request.dpop:
            raise BadProofError("a proof of a key comes with a token that is shown as `Bearer`")  # 2
        verified = verification.verify(
            text,
            audience=audience,
            shown=_certificate(means, request),
            namespace=namespace,
            stands=stands,
            one_look=one_look,
        )
        return Shower(verified=verified, claim=None)
    proof = read_dpop(
        [request.dpop] if request.dpop else [],
        request=DpopRequest(
            method=request.method,
            uri=request.uri,
            token=BoundToken(digest=token_hash(text), jkt=_claimed_key(verification, text)),
        ),
        check=means.tokens,
        now=means.clock.now(),
    )  # 2
    shown = Binding(kind=BindingKind.DPOP, thumbprint=proof.jkt)
    verified = verification.verify(
        text, audience=audience, shown=shown, namespace=namespace, stands=stands, one_look=one_look
    )
    space = verified.principal.namespace
    claim = claim_of(space, ClaimKind.DPOP, proof.jkt, proof.id, until=proof.until)
    return Shower(verified=verified, claim=claim)


def require_task_kind(authorization: str) -> None:
    """Go on unless a token says of itself that it is no task's (rule 5).

    Raises:
        OtherKindError: It does.
    """
    told = _TOKEN.fullmatch(authorization)
    if told is None:
        return
    for kind in (PERSON_TOKEN, SERVICE_TOKEN, TRANSACTION_TOKEN):
        with suppress(MalformedError):
            parse_jws(told[2], kind=kind)
            raise OtherKindError("the token is not a task's")


def _certificate(means: Means, request: Request) -> Binding | None:
    """The key of the client's certificate (rule 3)."""
    if not request.certificate:
        return None
    means.svids.require_current(request.certificate, now=means.clock.now())
    thumbprint = encode_base64url(sha256(request.certificate).digest())
    return Binding(kind=BindingKind.MTLS, thumbprint=thumbprint)


def _claimed_key(verification: Verification, text: str) -> str:
    """The key that a token says it is bound to; whether it is, its row says afterwards."""
    bound = verification.read(text).claimed.rest.get("cnf")
    claimed = bound.get("jkt") if isinstance(bound, dict) else None
    return claimed if isinstance(claimed, str) else ""
