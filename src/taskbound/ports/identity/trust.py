"""Trust domains in the store, where their bundles come from, and whoever can tell what an SVID proves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.identity.selector import Shown
    from taskbound.core.identity.trust import Bundle, Trust


class TrustReads(Protocol):
    """Reads trust domains of one namespace at a time."""

    def trust(self, namespace: str, domain: str) -> Trust | None:
        """The trust domain of this name."""

    def trusts(self, namespace: str) -> tuple[Trust, ...]:
        """Every trust domain of a namespace, by name."""

    def all_trusts(self) -> tuple[Trust, ...]:
        """Every trust domain of every namespace, by both: whoever asks their sources asks for all."""


class TrustWrites(TrustReads, Protocol):
    """Writes them; `expect` is the version that the row must have, 0 for a row that must not exist."""

    def put_trust(self, trust: Trust, *, expect: int) -> None:
        """Write the trust domain. MUST raise `ConflictError` when the version is not `expect`."""

    def drop_trust(self, namespace: str, domain: str) -> None:
        """Forget the trust domain; nothing happens when there is none."""


class BundleSource(Protocol):
    """Where one trust domain's bundle comes from. The port is there since there are four such places."""

    def states(self, trust: Trust) -> AsyncGenerator[Bundle, None]:
        """The bundle, again and again: what it is now, and then whenever it is confirmed or has changed.

        Each MUST be all that the source says of this domain: what is not in it was withdrawn, and a domain
        that the source has no more is the empty bundle. MUST come often enough that nothing becomes stale
        while the source answers (`Trust.every`), and MUST NOT come when it doesn't. MUST raise
        `TrustSourceError`, `TrustFileError`, `BadBundleError`, `BundleSizeError` or `ForeignAuthorityError`
        where there is none now: it is then asked again after a while; any other error is taken as the
        first. MUST end by itself when it is cancelled.
        """


class Svids(Protocol):
    """Tells what SVIDs prove. The port is there for security: core and flows carry no cryptography."""

    def domain_of(self, chain: Sequence[bytes]) -> str:
        """The trust domain that a chain of certificates (DER, the workload's first) says it is of.

        MUST raise `SvidSizeError`, `BadSvidError` or `SvidFormError` for one that is no X.509-SVID of a
        workload.
        """

    def prove(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, now: Instant) -> Shown:
        """What a chain says that is by these authorities (DER) of its own trust domain.

        MUST raise `SvidUnprovenError`, `SvidExpiredError` or `SvidNotYetError` where there is none, and what
        `domain_of` raises. What it does not say: whether the domain is believed, and which agent this is.
        """

    def require_current(self, certificate: bytes, *, now: Instant) -> None:
        """Return only when a certificate (DER) has begun and has not ended.

        MUST raise `SvidExpiredError`, `SvidNotYetError`, or `BadSvidError` where it can't be read. Who issued
        it, and for what, is not its matter.
        """

    def require_authorities(self, domain: str, bundle: Bundle) -> None:
        """Return only when a bundle's certificates are authorities, and of this domain.

        MUST raise `BadBundleError` or `ForeignAuthorityError` otherwise.
        """
