"""What the daemon permits the egress, each start and each call.

Of `authority`:

1. One connection for each namespace, made when it is needed and again when it broke; so many at most. What
   has credentials has one of its own beside it.
2. Whatever the daemon does not answer, and answers with a fault, is a no.

Of `permits`:

1. A permit counts for the tool, the server's identity, the canonical arguments and the idempotency key that
   it was given for, and until its instant, by the daemon's clock.
2. It is used once. What was used is remembered until it would have lapsed.
3. An answer to a server's question counts for the question, the server's identity and the bytes that are
   recorded as its outcome, recorded after the server asked, and once.
4. One that is older than what this process first heard of the daemon's clock is not used: the process before
   this one may have used it.
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


_KEPT: Final = 60_000_000
"""µs that an answer may go to a server after it was recorded."""


class Permits:
    """What was used; shared by every connection of one process."""

    def __init__(self) -> None:
        """Have used none, and know no instant."""
        self._used: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        """Actions whose answers went to servers, and when they were recorded."""
        self._since = -1
        self.now = -1
        """The latest instant of the daemon's that was heard."""

    def hear(self, now: int) -> None:
        """The daemon's clock stands so; the first one counts (rule 4)."""
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
        """Use a permit for this call.

        Args:
            permit: As the daemon told it just now.
            action: Which one was asked for.
            server: The server's name.
            tool: What is called, by the server's own name.
            identity: Digest of the identity of the server that is started.
            arguments: The bytes that are about to be sent, but for what goes into slots.
            key: The client's idempotency key that goes with them.

        Raises:
            OtherActError: It is for something else (rule 1).
            PermitLapsedError: It has run out.
            PermitUsedError: It was used, or may have been (rules 2 and 4).
        """
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
        """Use an answer for this question (rule 3).

        Args:
            said: As the daemon told it just now.
            action: Which one was asked for.
            tool: What the question is called, `server__method`.
            identity: Digest of the identity of the server that asks.
            arguments: SHA-256 of the question's canonical parameters.
            answer: SHA-256 of the bytes that are about to be told.
            since: The instant that was heard last when the server asked.

        Raises:
            OtherActError: It is to something else, or something else was answered.
            PermitLapsedError: It was given too long ago.
            PermitUsedError: It was used, or is to what was asked before.
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
