"""Workloads by an issuer's word: service accounts of Kubernetes, jobs of GitHub Actions, any other.

1. The token goes through the strict gate (`wire/jose`, WORKLOAD_TOKEN), against the one issuer of the
   namespace that it names for workloads, for the one audience that was written down for it.
2. Which issuers are asked for keys was said by whoever owns the data directory: a token chooses among
   those, and no other address.
3. Verifying waits for nobody: it takes the keys as they are known. What has to be asked for before is told,
   and asked for, apart from that.
4. A workload shows the same token as often as it likes while it lives: what is issued for it is bound to a
   key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.errors import MalformedError
from taskbound.core.identity.issuer import IssuerUse, UnknownIdentityIssuerError
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Shown
from taskbound.ports.identity import Awaited, Need
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
    """Verifies tokens of issuers of workloads."""

    def __init__(self, store: Store, keys: IssuerKeys, check: SignatureCheck) -> None:
        """Verify with these."""
        self._store = store
        self._keys = keys
        self._check = check

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """What it says.

        Raises:
            MalformedError: It can't be read.
            UnknownIdentityIssuerError: It is by nobody whose word counts here.
            DeniedError: It is not believed.
            UnavailableError: The issuer's keys are not known.
        """
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

    def awaited(self, namespace: str, credential: Credential, now: Instant) -> Awaited | None:
        """What has to be asked for before this can be verified; nothing where it is refused anyway."""
        try:
            unverified, issuer = self._read(namespace, credential)
        except (MalformedError, UnknownIdentityIssuerError):
            return None
        kid = unverified.header.kid
        need = self._keys.need(issuer, kid, now)
        return None if need is Need.NOTHING else Awaited(issuer=issuer, kid=kid, need=need, asked=now)

    def ask(self, awaited: Awaited) -> None:
        """Ask the issuer for its keys; what it failed by is told by verifying."""
        self._keys.ask(awaited.issuer, awaited.kid, awaited.asked)

    def _read(self, namespace: str, credential: Credential) -> tuple[UnverifiedJws, IdentityIssuer]:
        """What a token says, unverified, and the issuer that it names (rule 2)."""
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
