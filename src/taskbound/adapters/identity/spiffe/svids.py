"""What X.509-SVIDs prove, as flows ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.identity.spiffe.x509 import (
    prove_chain,
    read_chain,
    require_authority_certificates,
    require_current,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.identity.selector import Shown
    from taskbound.core.identity.trust import Bundle


class SpiffeSvids:
    """The `Svids` of our servers."""

    def domain_of(self, chain: Sequence[bytes]) -> str:
        """The trust domain that a chain says it is of.

        Raises:
            SvidSizeError: It is too long.
            BadSvidError: It can't be read.
            SvidFormError: It is no X.509-SVID of a workload.
        """
        return read_chain(chain).spiffe.domain

    def prove(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, now: Instant) -> Shown:
        """What a chain says that is by these authorities of its own trust domain.

        Raises:
            SvidSizeError: It is too long.
            BadSvidError: It can't be read.
            SvidFormError: It is no X.509-SVID of a workload.
            SvidUnprovenError: None of them stands behind it.
            SvidExpiredError: It has ended.
            SvidNotYetError: It has not begun.
        """
        return prove_chain(read_chain(chain), authorities, now=now)

    def require_current(self, certificate: bytes, *, now: Instant) -> None:
        """Return only when a certificate has begun and has not ended.

        Raises:
            BadSvidError: It can't be read.
            SvidExpiredError: It has ended.
            SvidNotYetError: It has not begun.
        """
        require_current(certificate, now=now)

    def require_authorities(self, domain: str, bundle: Bundle) -> None:
        """Return only when a bundle's certificates are authorities, and of this domain.

        Raises:
            BadBundleError: One is none.
            ForeignAuthorityError: One is of another domain.
        """
        require_authority_certificates(domain, bundle)
