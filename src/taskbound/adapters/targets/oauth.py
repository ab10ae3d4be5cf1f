"""An OAuth authorization server as a target.

1. A token has no name of ours: it is revoked by its value, which is kept (`ports.target.Keeps`). It is
   requested for one order's resource and scopes and must state a lifetime within the file's limit; any
   other is revoked and refused.
2. Revocation (RFC 7009) proves nothing: the answer is the same for an unknown token. A token is gone if
   introspection (RFC 7662) then says that it is inactive; otherwise it is left until its end.
3. A self-contained token (JWT, PASETO) is validated without asking the server, so introspection shows
   nothing: it is revoked and left until its end.
4. No token can be looked up by name, listed, or prolonged.
5. `Server` makes the requests within its limits; nothing is sent twice. A connection that failed was sent
   nothing.
6. Where statements name subjects, a token is exchanged (RFC 8693) in the name of the order's person for
   its agent, then introspected; a token of another subject is revoked and refused.
7. The answer must repeat the requested authorization details (RFC 9396), or it is refused.
8. Endpoints that the issuer publishes (RFC 8414) are discovered before they are needed, and again after a
   failure.
9. A token belongs to one credential. If the server returns a token that it issued before and that is still
   valid, it is refused and not revoked, which would end another task's. This object remembers them; the
   broker keeps it for as long as the target is unchanged.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from taskbound.adapters.targets.alone import Nameless, keep_token, read_token
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.target.oauth import is_given
from taskbound.core.tool.oauth.client import (
    BadTokenError,
    TokenRefusedError,
    TokenTooWideError,
    TokenUnavailableError,
    TokenUnreachedError,
)
from taskbound.core.tool.oauth.token import (
    EXCHANGE,
    GRANT,
    AssertionParties,
    require_about,
    require_exchanged,
    words_of,
)
from taskbound.ports.target import (
    MAX_KEPT,
    ExpiresAt,
    Gone,
    Minted,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.target import OauthAccess, OauthKind, OauthPlace
    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.core.tool.oauth.token import Metadata, Token
    from taskbound.ports.target import MintOrder


T = TypeVar("T")
_GUIDE: Final = "see docs/guides/oauth.md"
_ANY: Final = "urn:taskbound:any"
"""Stands for the resource where only the client counts."""
_READABLE: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){2,}=*")
_LEAST: Final = 0.1
_MOST_GIVEN: Final = 10_000
"""Tokens that are remembered, the last ones."""
_NOBODY: Final = "taskbound-canary"
_CANARY: Final = AssertionParties(subject=_NOBODY, actor=_NOBODY)
"""For whom a canary is: a name that neither a person nor an agent has in statements."""


class Endpoint(Protocol):
    """One client's authorization server."""

    async def ask(
        self, more: Mapping[str, str] | None = None, *, default: int | None = None, grant: str = GRANT
    ) -> Token:
        """Requests a token; raises errors of `core.tool.oauth`."""

    async def revoke(self, token: str) -> None:
        """Revokes the token; raises if the server didn't confirm it."""

    async def about(self, token: str) -> Mapping[str, JsonValue]:
        """Introspects the token; the answer has `active`. Raises without one."""


class Server(Protocol):
    """Makes requests to authorization servers, and signs statements."""

    def at(self, client: OAuthClient, secret: str, *, patience: float, private: bool) -> Endpoint:
        """Returns this client's endpoint; `private` permits private addresses, `patience` is per exchange."""

    async def find(self, issuer: str, *, method: str, grant: str, patience: float, private: bool) -> Metadata:
        """Returns the issuer's metadata; raises errors of `core.tool.oauth`."""

    def state(
        self, key: str, *, issuer: str, subject: str, audience: str, more: Mapping[str, JsonValue]
    ) -> str:
        """Returns a fresh statement about this subject, signed by this key; raises if the key can't sign."""


class OauthTarget(Nameless):
    """One client of one server (`ports.target.Target`, `Keeps`)."""

    _unrenewable = "the end of an issued token cannot be moved"
    _unnamed = "an authorization server knows no names of tokens"
    _guide = _GUIDE

    def __init__(self, place: OauthPlace, access: OauthAccess, server: Server) -> None:
        self._place = place
        self._access = access
        self._server = server
        self._given: dict[bytes, float] = {}
        """By digest: until when a token is good that was given, by the monotonic clock (rule 9)."""
        self._lock = Lock()
        self._found: OauthPlace | None = None
        """The place with what the issuer said (rule 8); it may be looked for by two at once."""

    @property
    def lasts(self) -> int:
        """Returns the longest lifetime of a token, in seconds."""
        return self._place.lasts

    def mint(self, order: MintOrder, kind: OauthKind, *, patience: float) -> Minted:
        until = time.monotonic() + patience
        resource, audience, scopes = kind.asked(order.context)
        details = kind.asked_details(order.context)
        whom = order.whom or _CANARY
        more = {
            **({"audience": audience} if audience else {}),
            **({"authorization_details": details} if details else {}),
            **(self._exchanged(whom) if self._place.subject_issuer else {}),
        }
        with self._asked():
            at = self._at(patience)
            client = at.client_for(resource, scopes)
            left = max(_LEAST, until - time.monotonic())
            asking = self._endpoint(left, client).ask(more, default=None, grant=self._grant)
            token = self._run(asking, left)
        self._require_new(token)
        kept = _kept(token)
        try:
            self._require(token, kept, details)
            if self._place.subject_issuer:
                with self._asked():
                    self._require_theirs(token, whom, client, (resource, *filter(None, [audience])), until)
        except TaskboundError:
            with suppress(TaskboundError):
                self._give_back(token.value, max(_LEAST, until - time.monotonic()))
            raise
        return Minted(
            open={f"{kind.variable}_RESOURCE": resource}, secret={kind.variable: token.value}, kept=kept
        )

    def use(self, minted: Minted, *, patience: float) -> None:
        (token,) = minted.secret.values()
        with self._asked():
            if self._at(patience).introspection and not self._is_active(token, patience):
                raise TargetRefusedError("the authorization server does not know the token that it gave")

    def end_kept(self, kept: str, *, ends: Instant, patience: float) -> Gone | ExpiresAt:
        """Revokes the token, and introspects it (rules 2 and 3)."""
        deadline = time.monotonic() + patience
        token, over = read_token(kept)
        until = min(ends, over)
        with self._asked():
            at = self._at(patience)
            if at.revocation:
                self._give_back(token, max(_LEAST, deadline - time.monotonic()))
            if not at.introspection or _READABLE.fullmatch(token) is not None:
                return ExpiresAt(until=until)
            if not self._is_active(token, max(_LEAST, deadline - time.monotonic())):
                return Gone(cut=0)
        if not at.revocation:
            return ExpiresAt(until=until)
        raise TargetUnavailableError(
            "the authorization server took the token back, and says that it is one still"
        )

    def _require(self, token: Token, kept: str, details: str) -> None:
        wrong = ""
        if token.seconds > self._place.lasts:
            wrong = (
                f"the authorization server gives a token for {token.seconds} seconds, and the target's file"
                f" allows {self._place.lasts} (`lasts`)"
            )
        elif len(kept.encode()) > MAX_KEPT:
            wrong = "the authorization server's token is longer than what can be kept to end it"
        elif not is_given(details, token.details):
            wrong = (
                "the token of the authorization server has other authorization details than were asked for"
            )
        if wrong:
            raise TargetRefusedError(wrong, remedy=_GUIDE)

    def _require_new(self, token: Token) -> None:
        name, now = sha256(token.value.encode()).digest(), time.monotonic()
        with self._lock:
            self._given = {one: over for one, over in self._given.items() if over > now}
            if name in self._given:
                raise TargetRefusedError(
                    "the authorization server gives a token that it had given before",
                    remedy="have it give each request a token of its own: one task's end would end another's",
                )
            while len(self._given) >= _MOST_GIVEN:
                del self._given[next(iter(self._given))]
            self._given[name] = now + token.seconds

    def _require_theirs(
        self, token: Token, whom: AssertionParties, client: OAuthClient, places: tuple[str, ...], until: float
    ) -> None:
        require_exchanged(token, client.scopes)
        left = max(_LEAST, until - time.monotonic())
        try:
            said = self._run(self._endpoint(left).about(token.value), left)
        except TokenUnreachedError as error:  # of this question: the token was given before
            raise TokenUnavailableError(error.message, remedy=error.advice) from None
        require_about(said, whom, client.scopes, places=places, client=client.client)

    def _exchanged(self, whom: AssertionParties) -> dict[str, str]:
        states = partial(
            self._server.state,
            self._access.secret,
            issuer=self._place.subject_issuer,
            audience=self._place.issuer,
        )
        task: dict[str, JsonValue] = {"task": whom.task} if whom.task else {}
        with self._asked():
            subject = states(subject=whom.subject, more={**task, "may_act": {"sub": whom.actor}})
            return words_of(subject, states(subject=whom.actor, more=task))

    @property
    def _grant(self) -> str:
        return EXCHANGE if self._place.subject_issuer else GRANT

    def _at(self, patience: float) -> OauthPlace:
        if self._place.token:
            return self._place
        if self._found is None:
            asking = self._server.find(
                self._place.issuer,
                method=self._place.method,
                grant=self._grant,
                patience=patience,
                private=self._place.private,
            )
            said = self._run(asking, patience)
            if not said.revocation or not said.introspection:
                raise TargetRefusedError(
                    "the issuer says no places to end tokens and to ask about them", remedy=_GUIDE
                )
            self._found = replace(
                self._place, token=said.token, revocation=said.revocation, introspection=said.introspection
            )
        return self._found

    def _is_active(self, token: str, patience: float) -> bool:
        return self._run(self._endpoint(patience).about(token), patience)["active"] is not False

    def _give_back(self, token: str, patience: float) -> None:
        self._run(self._endpoint(patience).revoke(token), patience)

    def _endpoint(self, patience: float, client: OAuthClient | None = None) -> Endpoint:
        asks = client or self._at(patience).client_for(_ANY, ())
        return self._server.at(asks, self._access.secret, patience=patience, private=self._place.private)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            with _told():
                yield
        except TaskboundError:
            self._found = None  # 8
            raise

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
def _told() -> Iterator[None]:
    try:
        yield
    except TokenUnreachedError as error:
        raise TargetUnreachedError(error.message, remedy=error.advice) from None
    except (TokenRefusedError, TokenTooWideError, MalformedError) as error:
        raise TargetRefusedError(error.message, remedy=error.advice) from None
    except (TokenUnavailableError, BadTokenError) as error:
        raise TargetUnavailableError(error.message, remedy=error.advice) from None


def _kept(token: Token) -> str:
    """Returns what is kept: the token and its end by our clock, counted from its arrival."""
    return keep_token(token.value, Instant(round(time.time() * 1_000_000) + seconds(token.seconds)))
