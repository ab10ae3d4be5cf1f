"""Who the egress believes: the daemon, asked before a server is started and before each call.

1. One connection for each namespace, made when it is needed and again when it broke; so many at most. What
   has credentials has one of its own beside it.
2. Whatever the daemon does not answer, and answers with a fault, is a no.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

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
    """A connection of its own (`sdk.client.AsyncClient`)."""

    async def ask(self, ask: Ask, kind: type[A], *, patience: float = ...) -> A:
        """The daemon's answer, of this kind. MUST raise `TaskboundError` for a fault and without one."""

    async def ask_any(self, ask: Ask) -> Answer:
        """The daemon's answer, of any kind, faults included."""

    def close(self) -> None:
        """End it."""


class Authority(Protocol):
    """What an egress has to be told before it does anything."""

    async def server(
        self, namespace: str, name: str, holder: Holder, credentials: tuple[str, ...] = ()
    ) -> SealedServer:
        """How the server is pinned, with its sealed secrets, for a gateway that is this process.

        Of these credentials it says which are over. MUST raise `TaskboundError` unless that gateway's task
        may use the server now.
        """

    async def permit(self, namespace: str, action: str, holder: Holder) -> Permit:
        """The open permit of this action, held by this process. MUST raise `TaskboundError` without one."""

    async def answer(self, namespace: str, action: str, holder: Holder) -> AnswerOf:
        """What came of this action, which is a question of a server's and was decided for this process.

        MUST raise `TaskboundError` unless it is recorded and released, and its task is live.
        """

    async def tell(self, namespace: str, told: TellToken) -> None:
        """Have it recorded what becomes of a token. MUST raise `TaskboundError` unless it is, durably."""

    async def seat(self, namespace: str, pushed: Callable[[Push], None], lost: Callable[[], None]) -> Line:
        """A connection of its own, for the credentials of one server: with its end they end.

        `pushed` hears what is said unasked on it, and `lost` once that it is gone.
        """


class DaemonAuthority:
    """The daemon's answers."""

    def __init__(self, connect: Connect) -> None:
        """Ask by connections that this makes."""
        self._connect = connect
        self._open: dict[str, tuple[AsyncClient, asyncio.Event]] = {}
        """By namespace: the connection, and what is set once it is lost."""
        self._turn = asyncio.Lock()

    async def server(
        self, namespace: str, name: str, holder: Holder, credentials: tuple[str, ...] = ()
    ) -> SealedServer:
        """How the server is pinned, with its sealed secrets."""
        ask = ShowSealed(server=name, holder=holder, credentials=credentials)
        return await self._ask(namespace, ask, SealedServer)

    async def permit(self, namespace: str, action: str, holder: Holder) -> Permit:
        """The open permit of this action."""
        return await self._ask(namespace, ShowPermit(action=action, holder=holder), Permit)

    async def answer(self, namespace: str, action: str, holder: Holder) -> AnswerOf:
        """What came of this action."""
        return await self._ask(namespace, ShowAnswer(action=action, holder=holder), AnswerOf)

    async def tell(self, namespace: str, told: TellToken) -> None:
        """Have it recorded what becomes of a token."""
        await self._ask(namespace, told, Done)

    async def seat(
        self, namespace: str, pushed: Callable[[Push], None], lost: Callable[[], None]
    ) -> AsyncClient:
        """A connection of its own."""
        return await self._connect(namespace, pushed, lost)

    def close(self) -> None:
        """End every connection but for seats."""
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
        """The connection of this namespace is gone: the next question makes another."""
        broken.set()
        if self._open.get(namespace, (None, None))[1] is broken:
            del self._open[namespace]
