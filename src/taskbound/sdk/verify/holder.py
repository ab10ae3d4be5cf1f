"""The sender of a request: what its connection or proof shows, and whether it holds the token.

1. A *showing* is a text for a proven key or workload: a SPIFFE ID (X.509-SVID or JWT-SVID), `x5t#S256:…`
   (client certificate, RFC 8705) or `jkt:…` (key that signed this request, DPoP).
2. The holder is the workload in `req_wl`, or the prover of the `cnf` key. If showings are configured for
   the workload, only those count: a key bound by a stolen proof doesn't. Each showing belongs to one
   workload. A SPIFFE ID as `req_wl` shows itself.
3. Configured *carriers* may present any token: services that forward requests prove themselves, not the
   agent. They are trusted to present it only for its request.
4. A DPoP proof is for this request and this token (`ath`) and used once, whatever the result. The origin is
   the service's configured one.
5. A service that can't identify senders says so (`WHOEVER_HAS_IT`): then anyone with the token's text is
   its holder.
"""

from __future__ import annotations

from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.token import ClaimKind, claim_of
from taskbound.sdk.verify.errors import HolderNotShownError
from taskbound.wire import jose

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
    """The configured showings are invalid."""

    code = "bad-holders"
    remedy = "give each workload its showings (`spiffe://…`, `x5t#S256:…`, `jkt:…`), and none to two"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """The configured showings of workloads (rules 2 and 3)."""

    shown_by: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Of each workload, as `req_wl` names it; of one that stands here keys in its tokens do not count."""
    carriers: Collection[str] = ()
    """Showings of those that pass requests on."""
    origin: str = ""
    """Where the service is reached, `https://pay.example`, for proofs of DPoP; empty where none are taken."""

    def __post_init__(self) -> None:
        """Raises BadHoldersError for an invalid showing or one of two workloads (rule 2)."""
        seen: set[str] = set()
        for one in (*(each for own in self.shown_by.values() for each in own), *self.carriers):
            if not one.startswith(_PREFIXES) or one in _PREFIXES:
                raise BadHoldersError(f"`{one}` is no showing")
            if one in seen:
                raise BadHoldersError(f"two have the showing `{one}`")
            seen.add(one)

    def require(self, holder: str, confirmed: str, shown: Collection[str]) -> None:
        """Raises HolderNotShownError unless the holder or a carrier was shown; `confirmed` may be ""."""
        if self.of(holder, confirmed).isdisjoint(shown):
            raise HolderNotShownError(f"nothing shows that the request is from `{holder}`")

    def of(self, holder: str, confirmed: str) -> frozenset[str]:
        """Returns the showings that this token may come with."""
        own = {holder} if holder.startswith(_SPIFFE) else set[str]()
        if confirmed and holder not in self.shown_by:
            own.add(confirmed)
        return frozenset({*self.shown_by.get(holder, ()), *self.carriers, *own})


Holding: TypeAlias = Holders | Literal["whoever-has-the-token"]
"""How a service knows who sent a request."""


def certificate_showing(der: bytes) -> str:
    """Returns the showing of a client certificate that TLS verified (RFC 8705 §3.1)."""
    return f"x5t#S256:{jose.encode_base64url(sha256(der).digest())}"


def svid_showing(
    text: str, *, domain: str, audience: str, keys: tuple[Jwk, ...], check: SignatureCheck, now: Instant
) -> str:
    """Returns the showing of a JWT-SVID; `domain` is the trusted domain, `audience` the service."""
    trust = jose.Trust(issuer=domain, audience=audience, keys=keys)
    return jose.verify_jws(
        jose.parse_jws(text, kind=jose.JWT_SVID), trust=trust, check=check, now=now
    ).claims.subject


def dpop_showing(
    proofs: Sequence[str],
    keys: Collection[str],
    *,
    request: tuple[str, str],
    token: str,
    check: SignatureCheck,
    now: Instant,
) -> tuple[str, Claim]:
    """Returns the showing of a DPoP proof by one of these keys, and its single-use claim (rule 4)."""
    method, uri = request
    digest = jose.token_hash(token)
    for key in sorted(one.removeprefix(_JKT) for one in keys if one.startswith(_JKT)):
        asked = jose.DpopRequest(method=method, uri=uri, token=jose.BoundToken(digest=digest, jkt=key))
        try:
            proof = jose.read_dpop(proofs, request=asked, check=check, now=now)
        except jose.DpopKeyError:
            continue
        return f"{_JKT}{proof.jkt}", claim_of("", ClaimKind.DPOP, proof.jkt, proof.id, until=proof.until)
    raise HolderNotShownError("the proof is by no key of the token's holder")
