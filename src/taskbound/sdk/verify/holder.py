"""Who sent a request: what its connection or a proof in it shows, and whose that is.

1. A *showing* is a text that says which key or workload was proven, and by what:

       spiffe://corp.example/agents/coder   an X.509-SVID or a JWT-SVID
       x5t#S256:…                           a client certificate, by the thumbprint of RFC 8705
       jkt:…                                a key, by its thumbprint, that signed this request (DPoP)

2. A token is held by the workload in its `req_wl`. It names the key that it was asked with (`cnf`), and who
   shows that is its holder. Where a workload's showings are configured those alone count: a key that
   somebody had a token issued to by that workload's stolen proof is none of them. One is nobody's but one
   workload's. A `req_wl` that is a SPIFFE ID is shown by itself.
3. A service that passes a request on shows itself, and not the agent: such *carriers* are configured, and
   are believed of any token that they bring. They are believed to bring it for what it is for, and to
   nobody else.
4. A proof of DPoP is of this request, with this token (`ath`), and is used once, whatever becomes of the
   request. Where the request went is the service's own configured origin.
5. A service that can't know who sent a request says so in a word (`WHOEVER_HAS_IT`): whoever has the text
   of a token is taken for its holder then.
"""

from __future__ import annotations

from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.token import ClaimKind, claim_of
from taskbound.sdk.verify.errors import HolderNotShownError
from taskbound.wire.jose import (
    JWT_SVID,
    BoundToken,
    DpopKeyError,
    DpopRequest,
    Trust,
    encode_base64url,
    parse_jws,
    read_dpop,
    token_hash,
    verify_jws,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim
    from taskbound.wire.jose import Jwk, SignatureCheck


WHOEVER_HAS_IT: Final = "whoever-has-the-token"
"""What a service is configured with that knows no sender (rule 5)."""
_SPIFFE: Final = "spiffe://"
_JKT: Final = "jkt:"
_PREFIXES: Final = (_SPIFFE, "x5t#S256:", _JKT)


class BadHoldersError(MalformedError):
    """Which showings are whose is not configured as it has to be."""

    code = "bad-holders"
    remedy = "give each workload its showings (`spiffe://…`, `x5t#S256:…`, `jkt:…`), and none to two"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """Which showings are whose (rules 2 and 3)."""

    shown_by: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Of each workload, as `req_wl` names it; of one that stands here keys in its tokens do not count."""
    carriers: Collection[str] = ()
    """Showings of those that pass requests on."""
    origin: str = ""
    """Where the service is reached, `https://pay.example`, for proofs of DPoP; empty where none are taken."""

    def __post_init__(self) -> None:
        """Refuse what two could show (rule 2).

        Raises:
            BadHoldersError: One is no showing, or two workloads have it.
        """
        seen: set[str] = set()
        for one in (*(each for own in self.shown_by.values() for each in own), *self.carriers):
            if not one.startswith(_PREFIXES) or one in _PREFIXES:
                raise BadHoldersError(f"`{one}` is no showing")
            if one in seen:
                raise BadHoldersError(f"two have the showing `{one}`")
            seen.add(one)

    def require(self, holder: str, confirmed: str, shown: Collection[str]) -> None:
        """Go on only where the token's holder was shown, or who may carry it.

        Args:
            holder: The token's `req_wl`.
            confirmed: The showing of the key that the token names; empty where it names none.
            shown: The showings of the request.

        Raises:
            HolderNotShownError: Neither was.
        """
        if self.of(holder, confirmed).isdisjoint(shown):
            raise HolderNotShownError(f"nothing shows that the request is from `{holder}`")

    def of(self, holder: str, confirmed: str) -> frozenset[str]:
        """The showings that a token of this holder, which names this key, may come with."""
        own = {holder} if holder.startswith(_SPIFFE) else set[str]()
        if confirmed and holder not in self.shown_by:
            own.add(confirmed)
        return frozenset({*self.shown_by.get(holder, ()), *self.carriers, *own})


Holding: TypeAlias = Holders | Literal["whoever-has-the-token"]
"""How a service knows who sent a request."""


def certificate_showing(der: bytes) -> str:
    """The showing of a client certificate (RFC 8705 §3.1) that TLS has proven."""
    return f"x5t#S256:{encode_base64url(sha256(der).digest())}"


def svid_showing(
    text: str, *, domain: str, audience: str, keys: tuple[Jwk, ...], check: SignatureCheck, now: Instant
) -> str:
    """The showing of a JWT-SVID that came with the request.

    Args:
        text: The SVID.
        domain: The trust domain that is believed.
        audience: The service, as SVIDs for it name it.
        keys: The keys of the domain's bundle.
        check: Computes signatures.
        now: Now.

    Raises:
        MalformedError: It is none.
        DeniedError: It is not believed.
    """
    trust = Trust(issuer=domain, audience=audience, keys=keys)
    return verify_jws(parse_jws(text, kind=JWT_SVID), trust=trust, check=check, now=now).claims.subject


def dpop_showing(
    proofs: Sequence[str],
    keys: Collection[str],
    *,
    request: tuple[str, str],
    token: str,
    check: SignatureCheck,
    now: Instant,
) -> tuple[str, Claim]:
    """The showing of a DPoP proof by one of these keys, and the claim that it is used by (rule 4).

    Args:
        proofs: The values of the header `DPoP`.
        keys: The showings of keys that it may be by.
        request: The request's method, and where it went: the configured origin and the path.
        token: The transaction token.
        check: Computes signatures.
        now: Now.

    Raises:
        MalformedError: It is no proof.
        DeniedError: It is of another request, of another token, too old, or by none of the keys.
    """
    method, uri = request
    digest = token_hash(token)
    for key in sorted(one.removeprefix(_JKT) for one in keys if one.startswith(_JKT)):
        asked = DpopRequest(method=method, uri=uri, token=BoundToken(digest=digest, jkt=key))
        try:
            proof = read_dpop(proofs, request=asked, check=check, now=now)
        except DpopKeyError:
            continue
        return f"{_JKT}{proof.jkt}", claim_of("", ClaimKind.DPOP, proof.jkt, proof.id, until=proof.until)
    raise HolderNotShownError("the proof is by no key of the token's holder")
