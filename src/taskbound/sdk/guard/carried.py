"""Forwards a permit to the acting service: a transaction token and the one request it is valid for.

A token is requested only when a permitted function forwards its permit: an unused permit is given back,
which is impossible once a token exists. The body is the decided arguments, byte by byte; `content_digest`
covers them. The token names the client's key (`cnf`) and each request has a DPoP proof, so a stolen token
is useless where the service requires the holder. The token ends with the running function. An address that
a proof can't name is refused here: with user information (the password would stand in the proof),
characters invalid in a URI, or no host.
"""

from __future__ import annotations

import base64
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import field
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

from taskbound.core.dataclass import dataclass
from taskbound.sdk.guard.errors import NotCarriedError
from taskbound.wire.jose.dpop import normalize_uri
from taskbound.wire.jose.errors import BadUriError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from taskbound.sdk.guard.flow import Run
    from taskbound.sdk.guard.holder import Holder


class Carrier(Protocol):
    """A client on whose behalf a permitted function runs."""

    def carry(self, run: Run) -> Carried | Awaitable[Carried]:
        """Returns the request that forwards this permit; an awaitable for asynchronous clients."""


_here: ContextVar[tuple[Carrier, Run] | None] = ContextVar("_here", default=None)
"""What runs here on a permit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The parts of a request to a service; no repr shows the token."""

    action: str
    token: str = field(repr=False)
    """The transaction token, for the header `Txn-Token`: good for 30 seconds at most."""
    body: bytes = field(repr=False)
    """The arguments as they were decided: canonical JSON (RFC 8785)."""
    prove: Callable[[str, str], str] = field(repr=False)
    """Makes a proof (DPoP) of the request with this method and address."""

    def headers(self, method: str, url: str) -> dict[str, str]:
        """Returns one request's headers; `url` is complete; the proof omits its query (RFC 9449 §4.2)."""
        try:
            normalize_uri(url)
        except BadUriError as error:
            raise NotCarriedError(
                f"no proof can name where that goes: {error.message}",
                remedy="give the whole address as it is sent: no user in it, its host and path escaped",
            ) from error
        parts = urlsplit(url)
        return {
            "Content-Type": "application/json",
            "Content-Digest": content_digest(self.body),
            "Txn-Token": self.token,
            "DPoP": self.prove(method.upper(), urlunsplit(parts._replace(query="", fragment=""))),
        }


@contextmanager
def on(client: Carrier, run: Run) -> Iterator[None]:
    """Runs the block on this permit."""
    token = _here.set((client, run))
    try:
        yield
    finally:
        with suppress(ValueError):  # a function that is left in another context than it was entered in
            _here.reset(token)


def carried_of(holder: Holder, run: Run, token: str) -> Carried:
    return Carried(action=run.action, token=token, body=run.arguments, prove=partial(holder.prove, token))


def content_digest(body: bytes) -> str:
    """Returns `Content-Digest` of a body (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(sha256(body).digest()).decode()}:"


def carry() -> Carried:
    """Returns the request that forwards the running function's permit, for a `Client` over the network."""
    client, run = _running()
    found = client.carry(run)
    if not isinstance(found, Carried):
        _close(found)
        raise NotCarriedError("this function is awaited", remedy="write `await acarry()` there")
    return found


async def acarry() -> Carried:
    client, run = _running()
    found = client.carry(run)
    return found if isinstance(found, Carried) else await found


def _running() -> tuple[Carrier, Run]:
    found = _here.get()
    if found is None:
        raise NotCarriedError("nothing runs here on a permit")
    return found


def _close(found: Awaitable[Carried]) -> None:
    close = getattr(found, "close", None)
    if close is not None:
        close()
