"""Carrying a permit to the service that acts: its transaction token, and the one request that it is for.

1. A token is asked for where a permitted function carries it on, and not before: a permit that nothing is
   done on is given back, and with a token abroad it could not be.
2. The request is the arguments as they were decided, byte by byte: `content_digest` is made of those, and no
   other body can be sent with the token.
3. The token names the client's key (`cnf`), and each request has a proof by that key (DPoP): who reads the
   token on its way can do nothing with it where the service asks for its holder.
4. It is of the function that runs, and of nothing that goes on when that has returned.
5. An address that no proof can name is refused here, where the program can mend it, and not by the service:
   one with a user (whose password would stand in the proof), with characters that stand in no URI, or without
   a host.
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
    """A client in whose name a permitted function runs."""

    def carry(self, run: Run) -> Carried | Awaitable[Carried]:
        """The request that carries this permit on; awaited of a client that is."""


_here: ContextVar[tuple[Carrier, Run] | None] = ContextVar("_here", default=None)
"""What runs here on a permit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a request to a service is made of; no repr has its token."""

    action: str
    token: str = field(repr=False)
    """The transaction token, for the header `Txn-Token`: good for 30 seconds at most."""
    body: bytes = field(repr=False)
    """The arguments as they were decided: canonical JSON (RFC 8785)."""
    prove: Callable[[str, str], str] = field(repr=False)
    """Makes a proof (DPoP) of the request with this method and address."""

    def headers(self, method: str, url: str) -> dict[str, str]:
        """The headers of one request: `Txn-Token`, `DPoP`, `Content-Digest`, `Content-Type`; new for each.

        Args:
            method: Such as `POST`.
            url: Where it goes, whole, as it is sent. Query and fragment are no part of what is proven
                (RFC 9449 §4.2).

        Raises:
            NotCarriedError: It is no address that a proof can name (rule 5).
        """
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
    """What runs within, runs on this permit (rule 4)."""
    token = _here.set((client, run))
    try:
        yield
    finally:
        with suppress(ValueError):  # a function that is left in another context than it was entered in
            _here.reset(token)


def carried_of(holder: Holder, run: Run, token: str) -> Carried:
    """What carries a permit on, with its token."""
    return Carried(action=run.action, token=token, body=run.arguments, prove=partial(holder.prove, token))


def content_digest(body: bytes) -> str:
    """`Content-Digest` of a body (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(sha256(body).digest()).decode()}:"


def carry() -> Carried:
    """What carries the permit on that this function runs by, of a `Client` over the network.

    Raises:
        NotCarriedError: Nothing runs here on a permit that can be carried, or no token is to be had.
        UnavailableError: It can't be asked for now.
    """
    client, run = _running()
    found = client.carry(run)
    if not isinstance(found, Carried):
        _close(found)
        raise NotCarriedError("this function is awaited", remedy="write `await acarry()` there")
    return found


async def acarry() -> Carried:
    """The same of an `AsyncClient`; raises as `carry`."""
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
