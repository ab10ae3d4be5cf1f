"""Tokens of one server that runs, or is reached, for one connection of a gateway.

1. A token is asked for as the client that is pinned with the server, and nothing of a caller's goes with it.
   The daemon has recorded that one is about to be asked for before anybody is asked, and that it was given
   before it is used: who can't record asks for none, and uses none.
2. It is in this process' memory, and nowhere else. Before it is used it is among what no answer and no line
   of the log may say.
3. One is asked for at a time. It is renewed a fifth of its life before that is over, at most a minute and at
   least 1.5 s, since issuers count whole seconds; by a clock that nobody sets, and counted from before it was
   asked for.
4. A token that the server does not take is not sent again, and another one is asked for with the next
   request. When the server does not take that one either within `_PATIENCE` seconds, nothing more is sent to
   it for so long: a server that refuses every token gets no endless row of them.
5. A client that its authorization server has refused is not tried again for `_PATIENCE` seconds, whoever
   asks: no agent can have an account locked, or an endpoint flooded.
6. Each token ends once it is replaced, or its server's connection is over: it is given back, again and again
   until its own life is over, beside everything else. What became of it is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from taskbound.core.errors import DeniedError, TaskboundError, UnavailableError
from taskbound.core.tool.oauth.errors import TokenRefusedError, TokenTooWideError
from taskbound.surfaces.egress.errors import TokenNotTakenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.core.tool.oauth.token import Token

    TokenState = Literal["asked", "given", "refused", "revoked", "lapsed", "left"]
    Tell = Callable[[str, TokenState, int, str], Awaitable[None]]
    """Has the daemon record a token's name, state, remaining seconds, and why."""

__all__ = ["Endings", "Issuer", "Refusals", "ServerTokens", "TokenDesk"]

_log = logging.getLogger(__name__)
_EARLY: Final = 0.2
_EARLIEST, _LATEST = 60.0, 1.5
_PATIENCE: Final = 30.0
_FIRST_PAUSE: Final = 1.0
_LAST_PAUSE: Final = 30.0
_LEAVING: Final = 5.0
"""Seconds that tokens are still given back for when the process ends."""
_OVER: Final = "the server's connection is over"
_KEPT: Final = 64
"""Refused clients that are remembered."""


class Issuer(Protocol):
    """The authorization server of a pinned client."""

    @property
    def revocable(self) -> bool:
        """Whether it takes tokens back."""

    async def ask(self) -> Token:
        """A new token. MUST raise `TaskboundError` without one, and send nothing twice."""

    async def revoke(self, token: str) -> None:
        """Give a token back. MUST raise `UnavailableError` unless the issuer says that it took it."""


@dataclass(slots=True, kw_only=True)
class _Held:
    name: str
    value: str
    renew: float
    over: float
    untaken: bool = False


class Refusals:
    """Clients that were refused lately; one for the process (rule 5)."""

    def __init__(self) -> None:
        """Know of none."""
        self._until: dict[str, tuple[float, DeniedError]] = {}

    def note(self, client: str, error: DeniedError) -> None:
        """This client was refused just now."""
        self._until.pop(client, None)
        while len(self._until) >= _KEPT:
            del self._until[next(iter(self._until))]
        self._until[client] = (asyncio.get_running_loop().time() + _PATIENCE, error)

    def require_none(self, client: str) -> None:
        """Go on only with a client that was not.

        Raises:
            DeniedError: It was, and with this.
        """
        until, error = self._until.get(client, (0.0, None))
        if error is not None and asyncio.get_running_loop().time() < until:
            raise type(error)(error.message, remedy=error.advice)


class Endings:
    """Tokens that are being given back; one for the process (rule 6)."""

    def __init__(self) -> None:
        """Have none."""
        self._open: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()

    def begin(self, held: _Held, issuer: Issuer, tell: Tell) -> None:
        """Give this one back."""
        self.mind(asyncio.get_running_loop().create_task(self._end(held, issuer, tell)))

    async def close(self) -> None:
        """Give back what can be within a few seconds, and say of the rest that it is left."""
        self._leaving.set()
        end = asyncio.get_running_loop().time() + _LEAVING
        while self._open and (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(tuple(self._open), timeout=left)
        for task in tuple(self._open):
            task.cancel()

    def mind(self, task: asyncio.Task[None]) -> None:
        """Wait for this, too, before the process ends."""
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _end(self, held: _Held, issuer: Issuer, tell: Tell) -> None:
        state, why = await self._given_back(held, issuer)
        seconds = max(int(held.over - asyncio.get_running_loop().time()) + 1, 1) if state == "left" else 0
        try:
            await tell(held.name, state, seconds, why)
        except TaskboundError as error:
            _log.warning("what became of the token %s could not be recorded: %s", held.name, error.message)

    async def _given_back(self, held: _Held, issuer: Issuer) -> tuple[TokenState, str]:
        loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
        if not issuer.revocable:
            return "left", "not-revocable"
        while True:
            if loop.time() >= held.over:
                return "lapsed", ""
            try:
                await issuer.revoke(held.value)
            except TaskboundError as error:
                _log.warning("the token %s is not given back: %s", held.name, error.message)
                if self._leaving.is_set():
                    return "left", error.code
            else:
                return "revoked", ""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause, max(held.over - loop.time(), 0.0))):
                    await self._leaving.wait()
            pause = min(2 * pause, _LAST_PAUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDesk:
    """What all tokens of one process share."""

    issuer: Callable[[OAuthClient, str], Issuer]
    """The authorization server of a pinned client, asked with this secret."""
    kept: Callable[[str], None]
    """Hears of each token before it is used, for logs to be held back."""
    refusals: Refusals
    endings: Endings


class ServerTokens:
    """The tokens of one server (`adapters.upstream.mcp.filling.Tokens`)."""

    def __init__(
        self,
        desk: TokenDesk,
        issuer: Issuer,
        *,
        client: str,
        tell: Tell,
        keep: Callable[[str], None],
    ) -> None:
        """Have no token yet.

        Args:
            desk: What all tokens of the process share.
            issuer: Who gives them.
            client: What stands for the pinned client and its secret (rule 5).
            tell: Has the daemon record what becomes of one.
            keep: Hears of each before it is used (rule 2).
        """
        self._issuer = issuer
        self._client = client
        self._tell = tell
        self._keep = keep
        self._refusals = desk.refusals
        self._endings = desk.endings
        self._held: _Held | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._rest = 0.0
        """Until when nothing is sent, since two tokens in a row were not taken (rule 4)."""
        self._untaken = -_PATIENCE
        """When a token was not taken last."""
        self._over = False

    async def current(self) -> str:
        """A token that is good now.

        Raises:
            TokenNotTakenError: The server takes none (rule 4).
            TaskboundError: There is none.
        """
        now = asyncio.get_running_loop().time()
        self._require_open()
        if now < self._rest:
            raise TokenNotTakenError("the server does not take the tokens that its issuer gives")
        if self._held is None or self._held.untaken or now >= self._held.renew:
            if self._renewal is None or self._renewal.done():  # 3
                self._renewal = asyncio.get_running_loop().create_task(self._renew())
                self._renewal.add_done_callback(_seen)
                self._endings.mind(self._renewal)
            await asyncio.shield(self._renewal)  # who stops waiting loses no token
        self._require_open()
        if self._held is None:
            raise TokenNotTakenError(_OVER)
        return self._held.value

    def _require_open(self) -> None:
        if self._over:
            raise TokenNotTakenError(_OVER)

    def refused(self, token: str) -> None:
        """The server did not take this one (rule 4)."""
        held = self._held
        if held is None or held.value != token or held.untaken:
            return
        now = asyncio.get_running_loop().time()
        if now - self._untaken < _PATIENCE:
            self._rest = now + _PATIENCE
        self._untaken = now
        held.untaken = True

    def end(self) -> None:
        """Its server's connection is over (rule 6)."""
        self._over = True
        self._leave()

    def _leave(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._endings.begin(held, self._issuer, self._tell)

    async def _renew(self) -> None:
        self._refusals.require_none(self._client)  # 5
        self._leave()
        name = f"tok_{secrets.token_hex(16)}"
        await self._tell(name, "asked", 0, "")  # 1
        began = asyncio.get_running_loop().time()
        try:
            token = await self._issuer.ask()
        except TaskboundError as error:
            await self._refuse(name, error)
            raise
        early = min(_EARLIEST, max(_LATEST, token.seconds * _EARLY))
        over = began + token.seconds
        held = _Held(name=name, value=token.value, renew=over - early, over=over)
        self._keep(token.value)  # 2
        self._held = held
        try:
            await self._tell(name, "given", token.seconds, "")
        except BaseException:
            self._leave()
            raise
        if self._over:  # it ended while this was asked for
            self._leave()

    async def _refuse(self, name: str, error: TaskboundError) -> None:
        if isinstance(error, TokenRefusedError | TokenTooWideError):
            self._refusals.note(self._client, error)
        with contextlib.suppress(UnavailableError, DeniedError):
            await self._tell(name, "refused", 0, error.code)


def _seen(task: asyncio.Task[None]) -> None:
    """Its error is that of whoever waits; nobody may."""
    if not task.cancelled():
        task.exception()
