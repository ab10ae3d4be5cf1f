"""Who tells in the daemon what signatures prove, loaded when the first one comes.

A daemon may decide for weeks without one, and OpenSSL and the library for tokens are 12 MB of its memory.
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
    from taskbound.core.identity.sign_in import SaidOfPerson
    from taskbound.core.identity.trust import Bundle
    from taskbound.ports.identity import (
        AskingVerifier,
        Awaited,
        Documents,
        PublicHalf,
        RelyingParty,
        Signatures,
        Svids,
        Wanted,
    )
    from taskbound.ports.store import Store
    from taskbound.wire.jose import Compact, Jwk, SignatureCheck


_PATIENCE: Final = 5.0
"""Seconds for the document of a client: a person waits for it."""


class LaterSignatures:
    """What the keys of persons have signed, by `adapters/identity`."""

    def read(self, kind: PersonKeyKind, public: bytes) -> PublicHalf:
        """The public half of a key that is to be enrolled.

        Raises:
            BadPersonKeyError: It can't be read, is weak, or nobody signs with its kind here.
        """
        return self._own.read(kind, public)

    def verify(self, key: PersonKey, statement: bytes, signature: bytes) -> None:
        """Return when the signature is by this key over exactly this statement.

        Raises:
            BadSignatureError: It is not.
        """
        self._own.verify(key, statement, signature)

    def counter(self, key: PersonKey, signature: bytes) -> int:
        """How many signatures the device says it has made; 0 where it doesn't count.

        Raises:
            BadSignatureError: The signature can't be read, or names another key.
        """
        return self._own.counter(key, signature)

    @cached_property
    def _own(self) -> Signatures:
        from taskbound.adapters.identity.signatures import PersonSignatures  # noqa: PLC0415 -- 9 MB

        return PersonSignatures()


class LaterTokens:
    """Whether a token's signature is its key's, by `adapters/jose`."""

    def verify(self, compact: Compact, key: Jwk) -> None:
        """Return only when the signature is the key's.

        Raises:
            TokenUnprovenError: It is not, or the library can't say.
        """
        self._own.verify(compact, key)

    @cached_property
    def _own(self) -> SignatureCheck:
        from taskbound.adapters.jose import JoserfcCheck  # noqa: PLC0415 -- 3 MB, and 7 of OpenSSL

        return JoserfcCheck()


class LaterSvids:
    """What certificates of workloads prove, by `adapters/identity/spiffe`."""

    def domain_of(self, chain: Sequence[bytes]) -> str:
        """The trust domain that a chain says it is of.

        Raises:
            SvidSizeError: It is too long.
            BadSvidError: It can't be read.
            SvidFormError: It is no X.509-SVID of a workload.
        """
        return self._own.domain_of(chain)

    def prove(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, now: Instant) -> Shown:
        """What a chain says that is by these authorities of its own trust domain.

        Raises:
            SvidUnprovenError: None of them stands behind it.
            SvidExpiredError: It has ended.
            SvidNotYetError: It has not begun.
            TaskboundError: As `domain_of`.
        """
        return self._own.prove(chain, authorities, now=now)

    def require_current(self, certificate: bytes, *, now: Instant) -> None:
        """Return only when a certificate has begun and has not ended.

        Raises:
            BadSvidError: It can't be read.
            SvidExpiredError: It has ended.
            SvidNotYetError: It has not begun.
        """
        self._own.require_current(certificate, now=now)

    def require_authorities(self, domain: str, bundle: Bundle) -> None:
        """Return only when a bundle's certificates are authorities, and of this domain.

        Raises:
            BadBundleError: One is none.
            ForeignAuthorityError: One is of another domain.
        """
        self._own.require_authorities(domain, bundle)

    @cached_property
    def _own(self) -> Svids:
        from taskbound.adapters.identity.spiffe.x509 import SpiffeSvids  # noqa: PLC0415 -- 7 MB

        return SpiffeSvids()


class LaterDocuments:
    """What clients' documents say, fetched by `adapters/upstream`."""

    def fetch(self, url: str, *, private: bool) -> bytes | None:
        """The document at this URL; None where there is none.

        Raises:
            IssuerUnreachableError: It is not reached, or gives no document.
        """
        return self._own.fetch(url, private=private)

    @cached_property
    def _own(self) -> Documents:
        from taskbound.adapters.upstream.mcp.http.document import HttpDocuments  # noqa: PLC0415 -- TLS, 4 MB

        return HttpDocuments(patience=_PATIENCE)


class LaterOidc:
    """What issuers say of workloads, by `adapters/identity/oidc`."""

    def __init__(self, store: Store, check: SignatureCheck) -> None:
        """Verify with these."""
        self._store = store
        self._check = check

    def verify(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        """What a token says.

        Raises:
            TaskboundError: It can't be read, is not believed, or nobody can tell now.
        """
        return self._own.verify(namespace, credential, now)

    def awaited(self, namespace: str, credential: Credential, now: Instant) -> Awaited | None:
        """What an issuer has to be asked for before a token can be verified."""
        return self._own.awaited(namespace, credential, now)

    def ask(self, awaited: Awaited) -> None:
        """Ask for it; may wait for the issuer."""
        self._own.ask(awaited)

    @cached_property
    def _own(self) -> AskingVerifier:
        from taskbound.adapters.identity.oidc import IssuerKeys, OidcVerifier  # noqa: PLC0415 -- with what it needs
        from taskbound.adapters.upstream.mcp.http.document import HttpDocuments  # noqa: PLC0415 -- TLS, 4 MB

        return OidcVerifier(self._store, IssuerKeys(HttpDocuments()), self._check)


class LaterParty:
    """Who somebody is that signs in at an issuer, by `adapters/identity/oidc`."""

    def __init__(self, check: SignatureCheck) -> None:
        """Verify with this."""
        self._check = check

    def address(self, issuer: IdentityIssuer, wanted: Wanted, now: Instant) -> tuple[str, bool]:
        """Where the browser goes, and whether the issuer promises to say `iss` when it sends it back.

        Raises:
            TaskboundError: The issuer is not reached, or not believed.
        """
        return self._own.address(issuer, wanted, now)

    def trouble(self, issuer: IdentityIssuer, now: Instant) -> str:
        """Why nobody could sign in there now; empty where they could."""
        return self._own.trouble(issuer, now)

    def redeem(
        self, issuer: IdentityIssuer, code: str, verifier: str, redirect: str, now: Instant
    ) -> SaidOfPerson:
        """What the issuer says of whoever came back with this code.

        Raises:
            TaskboundError: It is not believed, or nobody can tell now.
        """
        return self._own.redeem(issuer, code, verifier, redirect, now)

    @cached_property
    def _own(self) -> RelyingParty:
        from taskbound.adapters.identity.oidc import IssuerKeys, OidcRelyingParty, SecretFiles  # noqa: PLC0415 -- with what it needs
        from taskbound.adapters.upstream.mcp.http.document import HttpDocuments  # noqa: PLC0415 -- TLS, 4 MB

        web = HttpDocuments()
        return OidcRelyingParty(web, web, IssuerKeys(web), self._check, SecretFiles())
