"""Whom the broker asks what it may do, and tells what it saw: the daemon, by a connection for each namespace.

1. A connection is made for each namespace that has targets, and again when it broke: over it the daemon says
   what is due.
2. Whatever the daemon does not answer, and answers with a fault, is a no.
3. Threads ask; the connections live in the loop of one thread.
4. What concerns the whole store is told in the namespace `default`, in which it is recorded.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.sdk.client import DaemonLostError
from taskbound.wire.broker import DiscoverPush, DuePush, LeaseCredentials, Orders, Swept
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine

    from taskbound.sdk.client import AsyncClient
    from taskbound.wire.broker import (
        TellDiscovered,
        TellEpoch,
        TellFailed,
        TellGone,
        TellLeft,
        TellMinted,
        TellReconciled,
        TellRenewed,
        TellSeen,
        TellSwept,
    )
    from taskbound.wire.envelope import Ask, Push

    Connect = Callable[[str, Callable[[Push], None], Callable[[], None]], Awaitable[AsyncClient]]
    """Makes a connection in a namespace; says what is pushed, and once that it is lost."""
    Wanted = Callable[[str, str, str], None]
    """A person wants to know what stands in a target: namespace, target, and the question's name."""
    Told = TellMinted | TellRenewed | TellFailed | TellGone | TellLeft | TellSeen


_log = logging.getLogger(__name__)
A = TypeVar("A")
_WHOLE: Final = "default"
"""The namespace of what concerns the whole store (rule 4)."""
_PATIENCE: Final = 12.0
"""Seconds until a thread gives up on the loop itself: to connect and to ask take five each at most."""


class Pushed(Protocol):
    """Hears what is due."""

    def __call__(self, namespace: str, target: str, *, sweep: bool) -> None:
        """Something is due there; MUST NOT block."""


class Authority(Protocol):
    """Whom the broker asks, from any thread. Each MUST raise `TaskboundError` where there is no answer."""

    def attend(self, namespaces: Collection[str]) -> None:
        """Be there for what these namespaces have to say; that one can't be reached is no error."""

    def lease(self, namespace: str, credentials: Collection[str]) -> Orders:
        """What of these the broker may see to now."""

    def tell(self, namespace: str, told: Told) -> None:
        """Have it written what was seen. MUST return only where it is durable."""

    def swept(self, namespace: str, told: TellSwept) -> Swept:
        """Have it written what a sweep found."""

    def discovered(self, namespace: str, told: TellDiscovered) -> None:
        """Have whoever asked know what stands in a target."""

    def stand(self, told: TellEpoch) -> None:
        """Have it known how the broker stands to the store, as long as the daemon hears from it."""

    def reconciled(self, told: TellReconciled) -> None:
        """Have it written that a store is believed again. MUST return only where it is durable."""

    def heard(self, namespace: str) -> Instant:
        """The daemon's instant, as it was heard last."""


class DaemonAuthority:
    """The daemon's answers."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connect: Connect, pushed: Pushed, wanted: Wanted
    ) -> None:
        """Ask in this loop by connections that this makes, and pass on what is pushed."""
        self._loop = loop
        self._connect = connect
        self._pushed = pushed
        self._wanted = wanted
        self._open: dict[str, tuple[AsyncClient, asyncio.Event]] = {}
        """By namespace: the connection, and what is set once it is lost."""
        self._turns: dict[str, asyncio.Lock] = {}
        self._heard: dict[str, Instant] = {}
        self._stood: tuple[AsyncClient, TellEpoch] | None = None
        """How the broker stands to the store, as it was told, and over which connection."""

    def attend(self, namespaces: Collection[str]) -> None:
        """Be connected in these namespaces (rule 1)."""
        for one in sorted(set(namespaces) - self._open.keys()):
            try:
                self._wait(self._client(one))
            except TaskboundError as error:
                _log.debug("namespace %s can't be attended: %s", one, error.message)

    def lease(self, namespace: str, credentials: Collection[str]) -> Orders:
        """What of these the broker may see to now."""
        found = self._wait(
            self._ask(namespace, LeaseCredentials(credentials=tuple(sorted(credentials))), Orders)
        )
        self._heard[namespace] = Instant(found.now)
        return found

    def tell(self, namespace: str, told: Told) -> None:
        """Have it written what was seen."""
        self._wait(self._ask(namespace, told, Done))

    def swept(self, namespace: str, told: TellSwept) -> Swept:
        """Have it written what a sweep found."""
        return self._wait(self._ask(namespace, told, Swept))

    def discovered(self, namespace: str, told: TellDiscovered) -> None:
        """Have whoever asked know what stands in a target."""
        self._wait(self._ask(namespace, told, Done))

    def stand(self, told: TellEpoch) -> None:
        """Have it known how the broker stands to the store; told once over each connection."""
        self._wait(self._stand(told))

    def reconciled(self, told: TellReconciled) -> None:
        """Have it written that a store is believed again."""
        self._wait(self._ask(_WHOLE, told, Done))

    def heard(self, namespace: str) -> Instant:
        """The daemon's instant, as it was heard last; it is asked where it never was."""
        if namespace not in self._heard:
            self.lease(namespace, ())
        return self._heard[namespace]

    def close(self) -> None:
        """End every connection; called in the loop."""
        for one, _ in tuple(self._open.values()):
            one.close()

    def _wait(self, asking: Coroutine[object, object, A]) -> A:
        """What comes of it (rule 3).

        Raises:
            DaemonLostError: The loop did not come to it.
        """
        future = asyncio.run_coroutine_threadsafe(asking, self._loop)
        try:
            return future.result(_PATIENCE)
        except FutureTimeoutError:
            future.cancel()
            raise DaemonLostError("the daemon was not asked in time") from None

    async def _ask(self, namespace: str, ask: Ask, kind: type[A]) -> A:
        client = await self._client(namespace)
        return await client.ask(ask, kind)

    async def _stand(self, told: TellEpoch) -> None:
        client = await self._client(_WHOLE)
        if self._stood is None or self._stood[0] is not client or self._stood[1] != told:
            await client.ask(told, Done)
            self._stood = client, told

    async def _client(self, namespace: str) -> AsyncClient:
        known = self._open.get(namespace)
        if known is not None:
            return known[0]
        async with self._turns.setdefault(namespace, asyncio.Lock()):
            known = self._open.get(namespace)
            if known is not None:
                return known[0]
            broken = asyncio.Event()
            fresh = await self._connect(
                namespace, partial(self._hear, namespace), partial(self._lost, namespace, broken)
            )
            if not broken.is_set():
                self._open[namespace] = (fresh, broken)
            return fresh

    def _hear(self, namespace: str, push: Push) -> None:
        if isinstance(push, DuePush):
            self._pushed(namespace, push.target, sweep=push.sweep)
        elif isinstance(push, DiscoverPush):
            self._wanted(namespace, push.target, push.look)

    def _lost(self, namespace: str, broken: asyncio.Event) -> None:
        """The connection of this namespace is gone: the next look makes another."""
        broken.set()
        if self._open.get(namespace, (None, None))[1] is broken:
            del self._open[namespace]
