"""What the daemon permits the egress: each start and each call.

1. There is one connection for each namespace, made when needed, up to a bound; credentials have their own.
2. A missing answer or a fault means refusal.

Permits (`Permits`):

1. A permit holds for its tool, server identity, canonical arguments and idempotency key, until its expiry by
   the daemon's clock.
2. It is used once; used permits are remembered until they would have expired.
3. An answer to a server's question holds for the question, the server identity and the recorded outcome
   bytes, recorded after the server asked, and is used once.
4. A permit older than the first daemon time known to this process is refused: a previous process may have
   used it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from taskbound.core.tool import SEPARATOR
from taskbound.surfaces.egress.errors import OtherActError, PermitLapsedError, PermitUsedError
from taskbound.wire.connection import Done
from taskbound.wire.egress import AnswerOf, Permit, SealedServer, ShowAnswer, ShowPermit, ShowSealed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskbound.sdk.client import AsyncClient
    from taskbound.wire.egress import Holder, TellToken
    from taskbound.wire.envelope import Answer, Ask, Push

    Connect = Callable[[str, Callable[[Push], None], Callable[[], None]], Awaitable[AsyncClient]]
    """Makes a connection in a namespace, with what hears what is said unasked, and that it is lost."""


A = TypeVar("A")
_MOST: Final = 16


class Line(Protocol):
    """A dedicated connection (`sdk.client.AsyncClient`)."""

    async def ask(self, ask: Ask, kind: type[A], *, patience: float = ...) -> A:
        """MUST raise `TaskboundError` for a fault, another kind of answer or no answer."""

    async def ask_any(self, ask: Ask) -> Answer:
        pass

    def close(self) -> None:
        pass


class Authority(Protocol):
    """The decisions that the egress obtains before it acts."""

    async def server(
        self, namespace: str, name: str, holder: Holder, credentials: tuple[str, ...] = ()
    ) -> SealedServer:
        """Returns the pin, sealed secrets and which of the credentials have ended.

        MUST raise `TaskboundError` unless this gateway process's task may use the server now.
        """

    async def permit(self, namespace: str, action: str, holder: Holder) -> Permit:
        """Returns the open permit of this process. MUST raise `TaskboundError` without one."""

    async def answer(self, namespace: str, action: str, holder: Holder) -> AnswerOf:
        """Returns the outcome of a server's question that was decided for this process.

        MUST raise `TaskboundError` unless it is recorded and released, and its task is live.
        """

    async def tell(self, namespace: str, told: TellToken) -> None:
        """Records a token's state. MUST raise `TaskboundError` unless that is durable."""

    async def seat(self, namespace: str, pushed: Callable[[Push], None], lost: Callable[[], None]) -> Line:
        pass


class DaemonAuthority:
    """Implements `Authority` with the daemon."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._open: dict[str, tuple[AsyncClient, asyncio.Event]] = {}
        """By namespace: the connection, and what is set once it is lost."""
        self._turn = asyncio.Lock()

    async def server(
        self, namespace: str, name: str, holder: Holder, credentials: tuple[str, ...] = ()
    ) -> SealedServer:
        ask = ShowSealed(server=name, holder=holder, credentials=credentials)
        return await self._ask(namespace, ask, SealedServer)

    async def permit(self, namespace: str, action: str, holder: Holder) -> Permit:
        return await self._ask(namespace, ShowPermit(action=action, holder=holder), Permit)

    async def answer(self, namespace: str, action: str, holder: Holder) -> AnswerOf:
        return await self._ask(namespace, ShowAnswer(action=action, holder=holder), AnswerOf)

    async def tell(self, namespace: str, told: TellToken) -> None:
        await self._ask(namespace, told, Done)

    async def seat(
        self, namespace: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> AsyncClient:
        return await self._connect(namespace, pushed, lost)

    def close(self) -> None:
        for one, _ in tuple(self._open.values()):
            one.close()

    async def _ask(self, namespace: str, ask: Ask, kind: type[A]) -> A:
        known = self._open.get(namespace)
        client = known[0] if known is not None else await self._join(namespace)
        return await client.ask(ask, kind)

    async def _join(self, namespace: str) -> AsyncClient:
        async with self._turn:
            known = self._open.get(namespace)
            if known is not None:
                return known[0]
            while len(self._open) >= _MOST:
                self._open.pop(next(iter(self._open)))[0].close()  # 1

            broken = asyncio.Event()
            lost = partial(self._lost, namespace, broken)
            fresh = await self._connect(namespace, lambda _: None, lost)
            if not broken.is_set():
                self._open[namespace] = (fresh, broken)
            return fresh

    def _lost(self, namespace: str, broken: asyncio.Event) -> None:
        broken.set()
        if self._open.get(namespace, (None, None))[1] is broken:
            del self._open[namespace]


_KEPT: Final = 60_000_000
"""µs that an answer may go to a server after it was recorded."""


class Permits:
    """Used permits; shared by every connection of the process."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        """Actions whose answers went to servers, and when they were recorded."""
        self._since = -1
        self.now = -1
        """The latest instant of the daemon's that was heard."""

    def hear(self, now: int) -> None:
        """Records the daemon's clock; the first value counts (rule 4)."""
        self.now = max(self.now, now)
        if self._since < 0:
            self._since = now

    def take(  # noqa: PLR0913 -- all that a permit is for
        self,
        permit: Permit,
        *,
        action: str,
        server: str,
        tool: str,
        identity: str,
        arguments: bytes,
        key: str = "",
    ) -> None:
        """Uses a permit for a call; `arguments` are the bytes to be sent without slot values."""
        self.now = max(self.now, permit.now)
        wanted = (action, f"{server}{SEPARATOR}{tool}", identity, sha256(arguments).hexdigest(), key)
        if (permit.action, permit.tool, permit.server, permit.sha256, permit.key) != wanted:
            raise OtherActError("the permit is for another call")
        if permit.now > permit.until:
            raise PermitLapsedError("the permit ran out before the call was sent")
        if action in self._used or self._since < 0 or permit.at < self._since:
            raise PermitUsedError("the permit was used already, or before this process began")
        self._used = {one: until for one, until in self._used.items() if until >= permit.now}
        self._used[action] = permit.until

    def answer(  # noqa: PLR0913 -- all that an answer is to
        self,
        said: AnswerOf,
        *,
        action: str,
        tool: str,
        identity: str,
        arguments: str,
        answer: str,
        since: int,
    ) -> None:
        """Uses an answer for a question (rule 3).

        `arguments` and `answer` are SHA-256 digests; `since` is the daemon time when the server asked.
        """
        self.now = max(self.now, said.now)
        wanted = (action, tool, identity, arguments, answer)
        if (said.action, said.tool, said.server, said.sha256, said.answer_sha256) != wanted:
            raise OtherActError("this is not what was answered to the question")
        if said.now - said.finished > _KEPT:
            raise PermitLapsedError("the answer was given too long ago")
        if action in self._answered or said.finished < max(since, self._since):
            raise PermitUsedError("the answer was used already, or was given before the server asked")
        self._answered = {one: at for one, at in self._answered.items() if said.now - at <= _KEPT}
        self._answered[action] = said.finished
