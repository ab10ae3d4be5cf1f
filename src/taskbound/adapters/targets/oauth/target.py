"""An authorization server as `ports.target.Target` and `Keeps`: access tokens by client credentials.

1. A token has no name of ours: it is ended by its value, which is kept (`ports.target.keeping`). It is given
   for one order's resource and scopes, says how long it lives, and not for longer than the file says; another
   one is given back, and refused.
2. To be given back (RFC 7009) is no proof: the answer is the same for what the server doesn't know. It is
   gone where the server itself says afterwards that it is not active (RFC 7662), and else left until its end.
3. A token that is a JWT can be read by whoever takes it, without a question to the server. What that says of
   it shows nothing there: it is given back, and left until its end.
4. No name can be looked for, nothing can be listed, and no end can be moved.
5. The server is asked by what reaches servers that want tokens (`Endpoint`), which has its bounds; nothing is
   sent twice. What can't be reached was sent nothing.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.tool.oauth.errors import (
    BadTokenError,
    TokenRefusedError,
    TokenTooWideError,
    TokenUnavailableError,
    TokenUnreachedError,
)
from taskbound.ports.target import (
    MAX_KEPT,
    Gone,
    Left,
    Minted,
    RenewalUnsupportedError,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping

    from taskbound.core.target import OauthAccess, OauthKind, OauthPlace
    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.core.tool.oauth.token import Token
    from taskbound.ports.target import MintOrder

__all__ = ["Endpoint", "Endpoints", "OauthTarget"]

T = TypeVar("T")
_GUIDE: Final = "see docs/guides/oauth.md"
_ANY: Final = "urn:taskbound:any"
"""Stands for the resource where only the client counts."""
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_LEAST: Final = 0.1


class Endpoint(Protocol):
    """One client's authorization server."""

    async def ask(self, more: Mapping[str, str] | None = None, *, default: int | None = None) -> Token:
        """A new token; raises errors of `core.tool.oauth`."""

    async def revoke(self, token: str) -> None:
        """Give it back; raises where that was not confirmed."""

    async def is_active(self, token: str) -> bool:
        """Whether it is a token still; raises where that is not said."""


class Endpoints(Protocol):
    """Makes them."""

    def __call__(self, client: OAuthClient, secret: str, *, patience: float, private: bool) -> Endpoint:
        """That of this client, which proves itself with this; each exchange has so many seconds.

        `private` says that the server's name may lead to a network of one's own.
        """


class OauthTarget:
    """One client of one server (`ports.target.Target`, `Keeps`)."""

    def __init__(self, place: OauthPlace, access: OauthAccess, endpoints: Endpoints) -> None:
        """Ask at this place, as the client that has this secret."""
        self._place = place
        self._access = access
        self._endpoints = endpoints

    @property
    def lasts(self) -> int:
        """Seconds that a token lives at most (rule 1)."""
        return self._place.lasts

    def mint(self, order: MintOrder, kind: OauthKind, *, patience: float) -> Minted:
        """A token (rule 1)."""
        until = time.monotonic() + patience
        resource, audience, scopes = kind.asked(order.context)
        more = {"audience": audience} if audience else {}
        client = self._place.client_for(resource, scopes)
        with _asked():
            token = self._run(self._endpoint(patience, client).ask(more, default=None), patience)
        kept = _kept(token)
        wrong = self._wrong(token, kept)
        if wrong:
            with suppress(TaskboundError):
                self._give_back(token.value, max(_LEAST, until - time.monotonic()))
            raise TargetRefusedError(wrong, remedy=_GUIDE)
        return Minted(
            open={f"{kind.variable}_RESOURCE": resource}, secret={kind.variable: token.value}, kept=kept
        )

    def use(self, minted: Minted, *, patience: float) -> None:
        """Ask the server whether it is a token; without that question nothing is to be shown."""
        if not self._place.introspection:
            return
        (token,) = minted.secret.values()
        with _asked():
            if not self._run(self._endpoint(patience).is_active(token), patience):
                raise TargetRefusedError("the authorization server does not know the token that it gave")

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:  # noqa: ARG002 - nothing can be done
        """A token ends when it was given to end."""
        raise RenewalUnsupportedError("nobody moves the end of a token that was given")

    def end_kept(self, kept: str, *, ends: Instant, patience: float) -> Gone | Left:
        """Give it back, and ask whether it is one still (rules 2 and 3)."""
        deadline = time.monotonic() + patience
        token, over = _read(kept)
        until = min(ends, over)
        with _asked():
            if self._place.revocation:
                self._give_back(token, patience)
            if not self._place.introspection or _JWT.fullmatch(token) is not None:
                return Left(until=until)
            left = max(_LEAST, deadline - time.monotonic())
            if not self._run(self._endpoint(left).is_active(token), left):
                return Gone(cut=0)
        if not self._place.revocation:
            return Left(until=until)
        raise TargetUnavailableError(
            "the authorization server took the token back, and says that it is one still"
        )

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Left:  # noqa: ARG002 - no name is known there
        """Nothing is ended by a name (rule 4)."""
        return Left(until=ends)

    def look(self, name: str, *, patience: float) -> Shown:  # noqa: ARG002 - as above
        """Nothing is shown under a name (rule 4)."""
        raise TargetRefusedError("an authorization server knows no names of tokens", remedy=_GUIDE)

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:  # noqa: ARG002 - as above
        """Nothing can be listed (rule 4)."""
        return iter(())

    def _wrong(self, token: Token, kept: str) -> str:
        """Why this token can't be handed out, in words; empty where it can (rule 1)."""
        if token.seconds > self._place.lasts:
            return (
                f"the authorization server gives a token for {token.seconds} seconds, and the target's file"
                f" allows {self._place.lasts} (`lasts`)"
            )
        if len(kept.encode()) > MAX_KEPT:
            return "the authorization server's token is longer than what can be kept to end it"
        return ""

    def _give_back(self, token: str, patience: float) -> None:
        self._run(self._endpoint(patience).revoke(token), patience)

    def _endpoint(self, patience: float, client: OAuthClient | None = None) -> Endpoint:
        asks = client or self._place.client_for(_ANY, ())
        return self._endpoints(asks, self._access.secret, patience=patience, private=self._place.private)

    @staticmethod
    def _run(asking: Coroutine[object, object, T], patience: float) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(patience):
                return await asking

        try:
            return asyncio.run(bounded())
        except TimeoutError:
            raise TokenUnavailableError(
                "the authorization server took longer than the call may take"
            ) from None


@contextmanager
def _asked() -> Iterator[None]:
    """What goes wrong with a server, as a target's (rule 5)."""
    try:
        yield
    except TokenUnreachedError as error:
        raise TargetUnreachedError(error.message, remedy=error.advice) from None
    except (TokenRefusedError, TokenTooWideError, MalformedError) as error:
        raise TargetRefusedError(error.message, remedy=error.advice) from None
    except (TokenUnavailableError, BadTokenError) as error:
        raise TargetUnavailableError(error.message, remedy=error.advice) from None


def _kept(token: Token) -> str:
    """What is kept of it: its value, and when it is over by our clock, counted from when it is here."""
    over = round(time.time() * 1_000_000) + seconds(token.seconds)
    return canonical({"ends": over, "token": token.value}).decode()


def _read(kept: str) -> tuple[str, Instant]:
    """The token that was kept, and when it is over.

    Raises:
        TargetRefusedError: It is none.
    """
    try:
        value = parse_object(kept.encode())
    except MalformedError:
        value = {}
    token, over = value.get("token"), value.get("ends")
    if not isinstance(token, str) or not isinstance(over, int):
        raise TargetRefusedError("what was kept of the token is none")
    return token, Instant(over)
