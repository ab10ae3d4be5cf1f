"""What SVIDs prove: by the authorities of their own trust domain, as they are in the store at that moment.

1. The document says its trust domain, and the namespace whether that is believed. There is no other to fall
   back to.
2. A domain counts within its bound (law 10), and with the authorities that its source says there are.
3. A certificate is bound to its key by TLS, and says so; a token is not, and is good at its audience alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import canonical, parse_object
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Shown
from taskbound.core.identity.spiffe import parse_spiffe_id
from taskbound.core.identity.trust import Trust, UnknownTrustError, require_authorities
from taskbound.flows.identity.assertion import text_of
from taskbound.wire.jose import JWT_SVID, SPIFFE_JWT, parse_foreign_jwks, parse_jws, verify_jws
from taskbound.wire.jose import Trust as IssuerTrust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.identity.credential import Credential
    from taskbound.flows.means import Means
    from taskbound.wire.jose import Jwk


class X509SvidVerifier:
    """The `Verifier` of X.509-SVIDs, which TLS has shown to be their holders'."""

    def __init__(self, means: Means) -> None:
        """Prove by the trust domains of this store."""
        self._means = means

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """What a certificate chain says.

        Raises:
            SvidSizeError: It is too long.
            BadSvidError: It can't be read.
            SvidFormError: It is no X.509-SVID of a workload.
            UnknownTrustError: Its domain is not believed in this namespace.
            StaleTrustError: The domain's bundle was not confirmed within its bound.
            EmptyTrustError: The domain has no authority for this kind.
            SvidUnprovenError: None of them stands behind it.
            SvidExpiredError: It has ended.
            SvidNotYetError: It has not begun.
        """
        chain = (credential.raw, *credential.chain)
        domain = self._means.svids.domain_of(chain)
        authorities = require_authorities(_believed(self._means, namespace, domain), "x509", now=now)
        return self._means.svids.prove(chain, authorities, now=now)


class JwtSvidVerifier:
    """The `Verifier` of JWT-SVIDs: whoever has one can show it, at its audience, until it ends."""

    def __init__(self, means: Means, *, audience: str) -> None:
        """Prove by the trust domains of this store what is for this audience: our own issuer's name."""
        self._means = means
        self._audience = audience

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """What a token says that is for us.

        Raises:
            MalformedError: It can't be read (`wire/jose`).
            DeniedError: It is not believed (`wire/jose`), or its domain isn't.
            StaleTrustError: The domain's bundle was not confirmed within its bound.
            EmptyTrustError: The domain has no authority for this kind.
        """
        unverified = parse_jws(text_of(credential), kind=JWT_SVID)
        spiffe = parse_spiffe_id(unverified.claimed.subject)
        authorities = require_authorities(_believed(self._means, namespace, spiffe.domain), "jwt", now=now)
        trust = IssuerTrust(issuer=spiffe.domain, audience=self._audience, keys=read_authorities(authorities))
        jws = verify_jws(unverified, trust=trust, check=self._means.tokens, now=now)
        return Shown(
            kind=WorkloadKind.JWT_SVID,
            issuer=spiffe.domain,
            subject=spiffe.text,
            until=jws.claims.expires,
            claims=jws.claims.rest,
        )


def read_authorities(authorities: Sequence[bytes]) -> tuple[Jwk, ...]:
    """The keys of authorities for JWT-SVIDs, as a bundle has them.

    Raises:
        MalformedError: One is for signing and no good (`wire/jose`).
    """
    members = [{**parse_object(one), "use": "jwt-svid"} for one in authorities]
    return parse_foreign_jwks(canonical({"keys": [*members]}), uses=SPIFFE_JWT)


def _believed(means: Means, namespace: str, domain: str) -> Trust:
    with means.store.read() as snapshot:
        found = snapshot.trusts.trust(namespace, domain)
    if found is None:
        raise UnknownTrustError("the trust domain is not believed here")
    return found
