"""Bundles from the SPIFFE Workload API: two streams, each message all that there is.

1. A domain that is not in a message was withdrawn: its authorities of that kind count no more. Without any
   it is the empty bundle, which trusts nothing.
2. Nothing counts before both streams have said what there is: half of a state is none. A server that offers
   no tokens has no authorities for them.
3. The streams are opened anew as often as the bundle is to be confirmed: each time the server says all that
   there is, so that one that hangs, or serves a state that nobody renews any more, is noticed.
4. Of a domain counts what stands under its own SPIFFE ID, and nothing under another's.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.adapters.identity.spiffe.calls import Calls
from taskbound.adapters.identity.spiffe.der import split_certificates
from taskbound.adapters.identity.spiffe.protobuf import read_map
from taskbound.adapters.identity.spiffe.x509 import require_authority_certificates
from taskbound.core.clock import seconds
from taskbound.core.identity.trust import EMPTY, Bundle, TrustRefusedError, parse_bundle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from taskbound.core.identity.trust import Trust


_X509: Final = "FetchX509Bundles"
_JWT: Final = "FetchJWTBundles"
_FIELDS: Final = {_X509: 2, _JWT: 1}
_PATIENCE: Final = 10.0


class WorkloadApiBundles:
    """The `BundleSource` of the Workload API."""

    def __init__(self, *, patience: float = _PATIENCE) -> None:
        """Wait this long, in seconds, for a connection, and for what it first says."""
        self._patience = patience

    async def states(self, trust: Trust) -> AsyncGenerator[Bundle, None]:
        """The bundle of this domain, whenever the server says what there is.

        Raises:
            TrustSourceError: The server is not reached, or ended a call.
            TrustRefusedError: It offers no bundles.
            BadBundleError: What it says can't be read.
            BundleSizeError: It is too much.
            ForeignAuthorityError: It is another domain's.
        """
        while True:
            calls = Calls(trust.place, (_X509, _JWT), patience=self._patience)
            try:
                async with aclosing(self._once(calls, trust)) as states:
                    async for bundle in states:
                        yield bundle
                        trust = replace(trust, bundle=bundle.document)
            finally:
                calls.close()

    async def _once(self, calls: Calls, trust: Trust) -> AsyncGenerator[Bundle, None]:
        """What one connection says, until it is time for another one (rule 3)."""
        loop = asyncio.get_running_loop()
        until = loop.time() + trust.every / seconds(1)
        said: dict[str, tuple[bytes, ...]] = {}
        async with aclosing(calls.messages()) as messages:
            while True:
                try:
                    async with asyncio.timeout_at(until if len(said) == len(_FIELDS) else None):
                        method, message = await anext(messages)
                except TimeoutError:
                    return  # 3
                said[method] = _authorities(method, message, trust.domain)
                if len(said) == len(_FIELDS):  # 2
                    bundle = replace(EMPTY, x509=said[_X509], jwt=said[_JWT])
                    require_authority_certificates(trust.domain, bundle)
                    yield bundle


def _authorities(method: str, message: bytes | None, domain: str) -> tuple[bytes, ...]:
    """What a message says of this domain (rules 1 and 4)."""
    if message is None:
        if method == _X509:
            raise TrustRefusedError("the Workload API offers no bundles")
        return ()
    raw = read_map(message, _FIELDS[method]).get(f"spiffe://{domain}", b"")
    if not raw:
        return ()
    return split_certificates(raw) if method == _X509 else parse_bundle(raw).jwt
