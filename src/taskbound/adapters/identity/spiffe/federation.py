"""Bundles of other organisations' trust domains, asked of their bundle endpoints, in either profile.

Source: SPIFFE Federation §5.

1. It is asked as often as it wishes (`spiffe_refresh_hint`, five minutes where it says nothing), and never
   so rarely that a lost answer makes the bundle stale.
2. An endpoint of `https_spiffe` is proven by the bundle of its own ID's domain. If that is the domain
   itself, the kept bundle counts however old it is, and for nothing but this (`core.identity.trust`, rule
   5); if it is another one, that one has to be believed here, and within its bound.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.adapters.identity.spiffe.endpoint import fetch, look_up, spiffe_context, web_context
from taskbound.adapters.identity.spiffe.x509 import require_authority_certificates
from taskbound.core.clock import seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.spiffe import parse_spiffe_id
from taskbound.core.identity.trust import (
    TrustSource,
    TrustSourceError,
    parse_bundle,
    require_authorities,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable

    from taskbound.adapters.identity.spiffe.endpoint import LookUp
    from taskbound.core.clock import Instant
    from taskbound.core.identity.trust import Bundle, Trust

    Known = Callable[[str, str], Trust | None]
    """What is believed now of a namespace's domain."""


_PATIENCE: Final = 20.0


class EndpointBundles:
    """The `BundleSource` of bundle endpoints."""

    def __init__(
        self,
        known: Known,
        now: Callable[[], Instant],
        *,
        patience: float = _PATIENCE,
        look: LookUp = look_up,
        authorities: str = "",
    ) -> None:
        """Prepare; nothing is asked.

        Args:
            known: Finds the domain by which an endpoint proves itself.
            now: Tells whether that one is within its bound.
            patience: Seconds for one answer.
            look: Finds a name's addresses.
            authorities: A file with those who certify web servers, in place of the system's.
        """
        self._known = known
        self._now = now
        self._patience = patience
        self._look = look
        self._authorities = authorities

    async def states(self, trust: Trust) -> AsyncGenerator[Bundle, None]:
        """The bundle, each time that the endpoint was asked (rule 1).

        Raises:
            TrustSourceError: It isn't reached, isn't the one, or says nothing that can be read.
            BadBundleError: What it says is no bundle.
            BundleSizeError: It says more than is read.
            ForeignAuthorityError: It is another domain's.
        """
        while True:
            raw = await fetch(trust, self._context(trust), patience=self._patience, look=self._look)
            bundle = parse_bundle(raw)
            require_authority_certificates(trust.domain, bundle)
            yield bundle
            trust = replace(trust, bundle=bundle.document)
            await asyncio.sleep(trust.every / seconds(1))

    def _context(self, trust: Trust) -> ssl.SSLContext:
        """Whom to believe (rule 2)."""
        if trust.source is TrustSource.HTTPS_WEB:
            return web_context(self._authorities)
        domain = parse_spiffe_id(trust.endpoint).domain
        known = self._known(trust.namespace, domain)
        if known is None:
            raise TrustSourceError(
                "the trust domain by which the endpoint proves itself is not believed here"
            )
        if domain == trust.domain:
            return spiffe_context(known.known.x509)
        try:
            return spiffe_context(require_authorities(known, "x509", now=self._now()))
        except TaskboundError as error:
            raise TrustSourceError(f"the endpoint can't be proven: {error.message}") from error
