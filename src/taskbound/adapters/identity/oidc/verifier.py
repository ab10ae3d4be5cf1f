"""Verifies workload tokens of issuers (Kubernetes service accounts, GitHub Actions jobs, others).

1. The token passes the strict verifier (`wire/jose`, WORKLOAD_TOKEN) for the namespace's issuer that it names
   and that issuer's configured audience.
2. The owner of the data directory configured the issuers; a token can't name another address.
3. Verifying never waits: it uses cached keys. What must be fetched first is reported and fetched separately.
4. A workload may show its token repeatedly; issued tokens are bound to a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.errors import MalformedError
from taskbound.core.identity.issuer import IssuerUse, UnknownIdentityIssuerError
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Shown
from taskbound.ports.identity import IssuerFetch, Need
from taskbound.wire.jose import WORKLOAD_TOKEN, TokenEncodingError, Trust, parse_jws, verify_jws

if TYPE_CHECKING:
    from taskbound.adapters.identity.oidc.keys import IssuerKeys
    from taskbound.core.clock import Instant
    from taskbound.core.identity.issuer import IdentityIssuer
    from taskbound.core.identity.selector import Credential
    from taskbound.ports.store import Store
    from taskbound.wire.jose import SignatureCheck
    from taskbound.wire.jose.gate import UnverifiedJws


class OidcVerifier:
    """Verifies workload tokens."""

    def __init__(self, store: Store, keys: IssuerKeys, check: SignatureCheck) -> None:
        self._store = store
        self._keys = keys
        self._check = check

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """Returns the verified identity."""
        unverified, issuer = self._read(namespace, credential)
        keys = self._keys.known(issuer, now)  # 3
        trust = Trust(issuer=issuer.issuer, audience=issuer.audience, keys=keys)
        said = verify_jws(unverified, trust=trust, check=self._check, now=now).claims  # 1
        return Shown(
            kind=WorkloadKind.OIDC,
            issuer=issuer.name,
            subject=said.subject,
            claims=said.rest,
            until=said.expires,
        )

    def awaited(self, namespace: str, credential: Credential, now: Instant) -> IssuerFetch | None:
        """Returns what must be fetched before verifying, or None."""
        try:
            unverified, issuer = self._read(namespace, credential)
        except (MalformedError, UnknownIdentityIssuerError):
            return None
        kid = unverified.header.kid
        need = self._keys.need(issuer, kid, now)
        return None if need is Need.NOTHING else IssuerFetch(issuer=issuer, kid=kid, need=need, asked=now)

    def ask(self, awaited: IssuerFetch) -> None:
        self._keys.ask(awaited.issuer, awaited.kid, awaited.asked)

    def _read(self, namespace: str, credential: Credential) -> tuple[UnverifiedJws, IdentityIssuer]:
        try:
            text = credential.raw.decode("ascii")
        except UnicodeDecodeError:
            raise TokenEncodingError("a token is ASCII") from None
        unverified = parse_jws(text, kind=WORKLOAD_TOKEN)
        with self._store.read() as snapshot:
            issuers = snapshot.workloads.identity_issuers(namespace)
        named = unverified.claimed.issuer
        issuer = next((one for one in issuers if (one.issuer, one.use) == (named, IssuerUse.WORKLOADS)), None)
        if issuer is None:
            raise UnknownIdentityIssuerError(
                "the token is by an issuer whose word proves no workload here", where="iss"
            )
        return unverified, issuer
