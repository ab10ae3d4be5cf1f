"""Tokens of one server that runs, or is reached, for one connection of a gateway.

1. A token is asked for as the client that is pinned with the server, and nothing of a caller's goes with it.
   The daemon has recorded that one is about to be asked for before anybody is asked, and that it was given
   before it is used: who can't record asks for none, and uses none.
2. It is in this process' memory, and nowhere else. Before it is used it is among what no answer and no line
   of the log may say (`restraint`, rule 5).
3. One is asked for at a time. It is renewed a fifth of its life before that is over, at most a minute and at
   least 1.5 s, since issuers count whole seconds; by a clock that nobody sets, and counted from before it was
   asked for. While its issuer is away the one before is used for as long as it is good.
4. A token that the server does not take is not sent again, and another one is asked for with the next
   request, within bounds (`restraint`, rules 1 to 3).
5. Each token is given back (`ending`): at once when its server's connection is over or the server does not
   take it; when another one came in its place, after the few seconds in which a request may be on its way
   with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, TaskboundError, UnavailableError
from taskbound.core.tool.oauth.errors import TokenRefusedError, TokenTooWideError
from taskbound.surfaces.egress.ending import Held
from taskbound.surfaces.egress.errors import TokenNotTakenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.surfaces.egress.ending import Endings, Issuer, Tell
    from taskbound.surfaces.egress.restraint import Known, Refusals


_log = logging.getLogger(__name__)
_EARLY: Final = 0.2
_EARLIEST, _LATEST = 60.0, 1.5
_AGAIN: Final = 5.0
"""Seconds after which an issuer that was away is asked again, while the token before is good."""
_GRACE: Final = 10.0
"""Seconds in which a request may be on its way with a token: as long as a connection may take to be made."""
_OVER: Final = "the server's connection is over"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDesk:
    """What all tokens of one process share."""

    issuer: Callable[[OAuthClient, str], Issuer]
    """The authorization server of a pinned client, asked with this secret."""
    kept: Callable[[str], None]
    """Hears of each token before it is used, for logs to be held back."""
    refusals: Refusals
    known: Known
    endings: Endings


class ServerTokens:
    """The tokens of one server (`adapters.upstream.mcp.filling.Tokens`)."""

    def __init__(
        self,
        desk: TokenDesk,
        issuer: Issuer,
        *,
        client: str,
        server: str,
        place: str,
        tell: Tell,
    ) -> None:
        """Have no token yet.

        Args:
            desk: What all tokens of the process share.
            issuer: Who gives them.
            client: What stands for the pinned client and its secret.
            server: What stands for the server that sees them.
            place: What stands for the client with the tasks that they are for.
            tell: Has the daemon record what becomes of one.
        """
        self._desk = desk
        self._issuer = issuer
        self._client = client
        self._server = server
        self._place = place
        self._tell = tell
        self._held: Held | None = None
        self._before: dict[str, tuple[Held, asyncio.TimerHandle]] = {}
        """By name: those in whose place another one came just now (rule 5)."""
        self._renewal: asyncio.Task[None] | None = None
        self._over = False

    async def current(self) -> str:
        """A token that is good now.

        Raises:
            TokenNotTakenError: The server takes none (rule 4).
            TaskboundError: There is none.
        """
        self._require_open()
        self._desk.refusals.require_taken(self._place)
        held = self._held
        if held is None or held.untaken or _now() >= held.renew:
            if self._renewal is None or self._renewal.done():  # 3
                self._renewal = asyncio.get_running_loop().create_task(self._renew())
                self._renewal.add_done_callback(_seen)
                self._desk.endings.mind(self._renewal)
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
        held.untaken = True
        self._desk.refusals.note_untaken(self._place, held.began)

    def end(self) -> None:
        """Its server's connection is over (rule 5)."""
        self._over = True
        self._leave()
        for name in tuple(self._before):
            self._retired(name)

    def _leave(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._give_back(held)

    def _give_back(self, held: Held) -> None:
        self._desk.endings.begin(held, self._issuer, self._tell)

    async def _renew(self) -> None:
        before = self._held
        try:
            fresh = await self._fresh()
        except UnavailableError as error:
            if before is None or before is not self._held or not _lasts(before):
                self._leave()
                raise
            _log.warning("the token %s is used on: %s", before.name, error.message)
            before.renew = min(_now() + _AGAIN, before.over - _LATEST)  # 3
            return
        except BaseException:
            self._leave()
            raise
        if self._over:  # it ended while this was asked for
            self._give_back(fresh)
            return
        self._held = fresh
        if before is not None:
            self._retire(before)

    def _retire(self, held: Held) -> None:
        """Another one came in the place of this (rule 5)."""
        grace = 0.0 if held.untaken else min(_GRACE, max(held.over - _now(), 0.0) / 2)
        timer = asyncio.get_running_loop().call_later(grace, self._retired, held.name)
        self._before[held.name] = (held, timer)

    def _retired(self, name: str) -> None:
        held, timer = self._before.pop(name)
        timer.cancel()
        self._give_back(held)

    async def _fresh(self) -> Held:
        """Another token, of which is recorded that it was given."""
        self._desk.refusals.require_none(self._client, self._place)
        name = f"tok_{secrets.token_hex(16)}"
        await self._tell(name, "asked", 0, "")  # 1
        began = _now()
        try:
            token = await self._issuer.ask()
            over = began + token.seconds
            self._desk.known.add(self._server, token.value, over)  # 2
        except TaskboundError as error:
            await self._refuse(name, error)
            raise
        self._desk.kept(token.value)  # 2
        early = min(_EARLIEST, max(_LATEST, token.seconds * _EARLY))
        held = Held(name=name, value=token.value, began=began, renew=over - early, over=over)
        try:
            await self._tell(name, "given", token.seconds, "")
        except BaseException:
            self._give_back(held)
            raise
        return held

    async def _refuse(self, name: str, error: TaskboundError) -> None:
        if isinstance(error, TokenRefusedError | TokenTooWideError):
            self._desk.refusals.note(self._client, error)
        with contextlib.suppress(UnavailableError, DeniedError):
            await self._tell(name, "refused", 0, error.code)


def _lasts(held: Held) -> bool:
    """Whether it can be used a little longer."""
    return not held.untaken and _now() < held.over - _LATEST


def _seen(task: asyncio.Task[None]) -> None:
    """Its error is that of whoever waits; nobody may."""
    if not task.cancelled():
        task.exception()


def _now() -> float:
    return asyncio.get_running_loop().time()
