"""Tokens on their way back to who issued them.

1. A token is given back, again and again until its issuer confirms that or its own life is over, beside
   everything else. Nothing that its server or its gateway does holds that up.
2. What became of it is recorded, and the recording is tried until it is done: a daemon that is away for a
   while hears of it after that. That the first attempt failed is recorded as well, so that a token which is
   still good after its task can be seen to be.
3. When the process ends, what can't be given back within a few seconds is said to be left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import field
from typing import TYPE_CHECKING, Final, Literal, Protocol

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskbound.core.tool.oauth.token import Token

    TokenState = Literal["asked", "given", "refused", "unconfirmed", "revoked", "lapsed", "left"]
    Tell = Callable[[str, TokenState, int, str], Awaitable[None]]
    """Has the daemon record a token's name, state, remaining seconds, and why."""


_log = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 1.0
_LAST_PAUSE: Final = 30.0
_LEAVING: Final = 5.0
"""Seconds that the process goes on for tokens when it ends, of which an issuer gets `_LAST_WORD`."""
_LAST_WORD: Final = 3.0


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
class Held:
    """One token; it is not in its repr."""

    name: str
    value: str = field(repr=False)
    began: float
    """When it was asked for, by the loop's clock in seconds, as the next two."""
    renew: float
    over: float
    untaken: bool = False


class Endings:
    """Tokens that are being given back; one for the process."""

    def __init__(self) -> None:
        """Have none."""
        self._open: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()
        self._bounds: set[asyncio.Timeout] = set()
        """Of what issuers are being asked now."""

    def begin(self, held: Held, issuer: Issuer, tell: Tell) -> None:
        """Give this one back."""
        self.mind(asyncio.get_running_loop().create_task(self._end(held, issuer, tell)))

    async def close(self) -> None:
        """Give back what can be within a few seconds, and say of the rest that it is left (rule 3)."""
        self._leaving.set()
        now = asyncio.get_running_loop().time()
        for one in self._bounds:
            if one.when() is None:
                one.reschedule(now + _LAST_WORD)
        end = now + _LEAVING
        while self._open and (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(tuple(self._open), timeout=left)
        for task in tuple(self._open):
            task.cancel()

    def mind(self, task: asyncio.Task[None]) -> None:
        """Wait for this, too, before the process ends."""
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _end(self, held: Held, issuer: Issuer, tell: Tell) -> None:
        state, why = await self._given_back(held, issuer, tell)
        pause = _FIRST_PAUSE
        while not await _recorded(tell, held, state, why) and not self._leaving.is_set():  # 2
            pause = await self._paused(pause)

    async def _given_back(self, held: Held, issuer: Issuer, tell: Tell) -> tuple[TokenState, str]:
        loop, pause, said = asyncio.get_running_loop(), _FIRST_PAUSE, False
        if not issuer.revocable:
            return "left", "not-revocable"
        while loop.time() < held.over:
            code = await self._asked_back(held, issuer)
            if not code:
                return "revoked", ""
            if self._leaving.is_set():
                return "left", code
            said = said or await _recorded(tell, held, "unconfirmed", code)
            pause = await self._paused(min(pause, max(held.over - loop.time(), 0.0)))
        return "lapsed", ""

    async def _asked_back(self, held: Held, issuer: Issuer) -> str:
        """Give it back once: empty, or the code of why that was not confirmed."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(now + _LAST_WORD if self._leaving.is_set() else None) as bound:
                self._bounds.add(bound)
                try:
                    await issuer.revoke(held.value)
                finally:
                    self._bounds.discard(bound)
        except TimeoutError:
            return "timed-out"
        except TaskboundError as error:
            _log.warning("the token %s is not given back: %s", held.name, error.message)
            return error.code
        return ""

    async def _paused(self, pause: float) -> float:
        """Wait so long, or until the process ends; how long the pause after that is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._leaving.wait()
        return min(2 * max(pause, _FIRST_PAUSE), _LAST_PAUSE)


async def _recorded(tell: Tell, held: Held, state: TokenState, why: str) -> bool:
    """Have the daemon record what became of one; whether it did."""
    rest = max(int(held.over - asyncio.get_running_loop().time()) + 1, 1)
    try:
        await tell(held.name, state, rest if state in {"left", "unconfirmed"} else 0, why)
    except TaskboundError as error:
        _log.warning("what became of the token %s could not be recorded: %s", held.name, error.message)
        return False
    return True
