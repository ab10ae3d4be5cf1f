"""Signature and token verifiers of the daemon, loaded on first use.

OpenSSL and the token library take 12 MB, and many daemons never need them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.identity.issuer import IdentityIssuer
    from taskbound.core.identity.person_key import PersonKey, PersonKeyKind
    from taskbound.core.identity.selector import Credential, Shown
    from taskbound.core.identity.sign_in import PersonClaims
    from taskbound.core.identity.trust import Bundle
    from taskbound.ports.identity import (
        AskingVerifier,
        AuthorizationParameters,
        Documents,
        IssuerFetch,
        PublicHalf,
        RelyingParty,
        Signatures,
        Svids,
    )
    from taskbound.ports.store import Store
    from taskbound.wire.jose import Compact, Jwk, SignatureCheck


_PATIENCE: Final = 5.0
"""Seconds for the document of a client: a person waits for it."""


class LaterSignatures:
    """Verifies persons' signatures with `adapters/identity`."""

    def read(self, kind: PersonKeyKind, public: bytes) -> PublicHalf:
        """Returns the key to enroll; raises BadPersonKeyError if it is malformed, weak or unsupported."""
        return self._own.read(kind, public)

    def verify(self, key: PersonKey, statement: bytes, signature: bytes) -> None:
        """Raises BadSignatureError unless the key signed exactly this statement."""
        self._own.verify(key, statement, signature)

    def counter(self, key: PersonKey, signature: bytes) -> int:
        """Returns the device's signature counter; 0 if it has none."""
        return self._own.counter(key, signature)

    @cached_property
    def _own(self) -> Signatures:
        from taskbound.adapters.identity.signatures import PersonSignatures  # noqa: PLC0415 -- 9 MB

        return PersonSignatures()


class LaterTokens:
    """Verifies token signatures with `adapters/jose`."""

    def verify(self, compact: Compact, key: Jwk) -> None:
        """Raises TokenUnprovenError unless the key made the signature."""
        self._own.verify(compact, key)

    @cached_property
    def _own(self) -> SignatureCheck:
        from taskbound.adapters.jose import JoserfcCheck  # noqa: PLC0415 -- 3 MB, and 7 of OpenSSL

        return JoserfcCheck()


class LaterSvids:
    """Verifies workload certificates with `adapters/identity/spiffe`."""

    def domain_of(self, chain: Sequence[bytes]) -> str:
        """Returns the trust domain that a certificate chain claims, unverified."""
        return self._own.domain_of(chain)

    def prove(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, now: Instant) -> Shown:
        return self._own.prove(chain, authorities, now=now)

    def require_current(self, certificate: bytes, *, now: Instant) -> None:
        """Raises SvidExpiredError or SvidNotYetError unless the certificate is valid now."""
        self._own.require_current(certificate, now=now)

    def require_authorities(self, domain: str, bundle: Bundle) -> None:
        """Raises an error unless all certificates of the bundle are authorities of this domain."""
        self._own.require_authorities(domain, bundle)

    @cached_property
    def _own(self) -> Svids:
        from taskbound.adapters.identity.spiffe.x509 import SpiffeSvids  # noqa: PLC0415 -- 7 MB

        return SpiffeSvids()


class LaterDocuments:
    """Fetches client metadata documents with `adapters/upstream`."""

    def fetch(self, url: str, *, private: bool) -> bytes | None:
        """Returns the document at this URL, or None; raises IssuerUnreachableError."""
        return self._own.fetch(url, private=private)

    @cached_property
    def _own(self) -> Documents:
        from taskbound.adapters.upstream.mcp.http.document import HttpDocuments  # noqa: PLC0415 -- TLS, 4 MB

        return HttpDocuments(patience=_PATIENCE)


class LaterOidc:
    """Verifies workload tokens of issuers with `adapters/identity/oidc`."""

    def __init__(self, store: Store, check: SignatureCheck) -> None:
        self._store = store
        self._check = check

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        return self._own.verify(namespace, credential, now)

    def awaited(self, namespace: str, credential: Credential, now: Instant) -> IssuerFetch | None:
        """Returns what must be fetched from an issuer before the token can be verified, or None."""
        return self._own.awaited(namespace, credential, now)

    def ask(self, awaited: IssuerFetch) -> None:
        """Fetches it; may block on the issuer."""
        self._own.ask(awaited)

    @cached_property
    def _own(self) -> AskingVerifier:
        from taskbound.adapters.identity.oidc import IssuerKeys, OidcVerifier  # noqa: PLC0415 -- with what it needs
        from taskbound.adapters.upstream.mcp.http.document import HttpDocuments  # noqa: PLC0415 -- TLS, 4 MB

        return OidcVerifier(self._store, IssuerKeys(HttpDocuments()), self._check)


class LaterParty:
    """Signs persons in at an issuer with `adapters/identity/oidc`."""

    def __init__(self, check: SignatureCheck) -> None:
        self._check = check

    def address(
        self, issuer: IdentityIssuer, wanted: AuthorizationParameters, now: Instant
    ) -> tuple[str, bool]:
        """Returns the browser's URL, and whether the issuer promises `iss` in its redirect."""
        return self._own.address(issuer, wanted, now)

    def trouble(self, issuer: IdentityIssuer, now: Instant) -> str:
        """Returns why sign-in at this issuer would fail now, or ''."""
        return self._own.trouble(issuer, now)

    def redeem(
        self, issuer: IdentityIssuer, code: str, verifier: str, redirect: str, now: Instant
    ) -> PersonClaims:
        return self._own.redeem(issuer, code, verifier, redirect, now)

    @cached_property
    def _own(self) -> RelyingParty:
        from taskbound.adapters.identity.oidc import IssuerKeys, OidcRelyingParty, SecretFiles  # noqa: PLC0415 -- with what it needs
        from taskbound.adapters.upstream.mcp.http.document import HttpDocuments  # noqa: PLC0415 -- TLS, 4 MB

        web = HttpDocuments()
        return OidcRelyingParty(web, web, IssuerKeys(web), self._check, SecretFiles())
