"""The front's connection to the daemon, and its rate limits.

The door sends each question once, because a question consumes a proof of possession; after a lost answer
the client must send a new proof. The next question makes a lost connection again; a daemon that doesn't
answer in time counts as gone. Callers that waited for a failed attempt fail with it. The daemon refuses a
front whose settings give another name. Reports of refused requests and the question for client authorities
never start a daemon.

A request without a token counts for its address, as does a token that a seat holds for that address.
Unknown tokens count in a separate bucket of the address, so invented tokens can't slow down tasks that are
served already. One address, and unknown tokens in total, may use only a part of the concurrent questions. A
token that no seat holds is unknown until the daemon has named its task. Of several requests from one
address with the same unknown token, the first is asked about and the others wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.surfaces.http.errors import FrontFullError, TooManyRequestsError
from taskbound.surfaces.http.rate import Buckets, network_of
from taskbound.wire.connection import Fault, Seated, ShowProof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.sdk.client import AsyncClient
    from taskbound.surfaces.gateway.http.seat import FrontBounds
    from taskbound.surfaces.gateway.link import Connect
    from taskbound.wire.envelope import Answer, Push
    from taskbound.wire.network import ShowClientAuthorities, Shown, TellRefused


_PATIENCE: Final = 5.0
"""Seconds that the daemon may take to say whose a request is."""


class DaemonLookup:
    """The front's own connection to the daemon; used in the event loop."""

    def __init__(
        self,
        origin: str,
        connect: Connect,
        seat: Callable[[str, str], Connect],
        *,
        there: Connect,
        certified: Callable[[], bool],
    ) -> None:
        """Makes no connection yet; `there` connects only to a daemon that runs already."""
        self.origin = origin
        self.scheme = origin.partition(":")[0]
        self.seat = seat
        self._connect = connect
        self._there = there
        self._certified = certified
        self._client: AsyncClient | None = None
        self._issuer = ""
        self._turn = asyncio.Lock()
        self._failed: TaskboundError | None = None
        """Why its own connection could not be made the last time."""

    async def show(self, agent: str, shown: Shown) -> Seated:
        """Asks whose task a request belongs to; raises RefusedByDaemonError or DaemonLostError."""
        answer = await self._asked(await self.reached(), ShowProof(agent=agent, shown=shown))
        if isinstance(answer, Seated):
            return answer
        if isinstance(answer, Fault):
            raise RefusedByDaemonError(answer)
        raise DaemonLostError("the daemon answered with something else")

    async def authorities(self, ask: ShowClientAuthorities) -> Answer:
        async with self._turn:
            client = await self._reached(self._there)
        return await self._asked(client, ask)

    async def tell(self, ask: TellRefused) -> Answer:
        """Reports a refused request to a running daemon; raises as `show`."""
        return await self._asked(await self._reached(self._there), ask)

    async def _asked(
        self, client: AsyncClient, ask: ShowProof | ShowClientAuthorities | TellRefused
    ) -> Answer:
        try:
            return await client.ask_any(ask, patience=_PATIENCE)
        except DaemonLostError:
            self._drop(client)
            raise

    async def published(self, agent: str) -> dict[str, object]:
        """Returns the metadata of an agent's gateway (RFC 9728 §2); raises as `show`."""
        await self.reached()
        return {
            "resource": f"{self.origin}/mcp/{agent}",
            "authorization_servers": [self._issuer],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["task"],
            "dpop_signing_alg_values_supported": ["ES256"],
            **({"tls_client_certificate_bound_access_tokens": True} if self._certified() else {}),
            "resource_name": "Taskbound",
        }

    async def reached(self) -> AsyncClient:
        """Returns the connection, made if needed; raises as `show`."""
        before = self._failed
        async with self._turn:
            if self._client is None and self._failed is not None and self._failed is not before:
                raise self._failed
            try:
                return await self._reached(self._connect)
            except TaskboundError as error:
                self._failed = error
                raise

    async def _reached(self, connect: Connect) -> AsyncClient:
        if self._client is None:
            made: list[AsyncClient] = []
            try:
                client, opened = await connect(resume="", pushed=_unheard, lost=lambda: self._lost(made))
            except OSError as error:
                raise DaemonLostError("the daemon can't be reached") from error
            made.append(client)
            self._client, self._issuer = client, opened.issuer
        return self._client

    def _lost(self, made: list[AsyncClient]) -> None:
        if self._client in made:
            self._client = None

    def _drop(self, client: AsyncClient) -> None:
        if self._client is client:
            self._client = None
            client.close()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def _unheard(push: Push) -> None:
    del push


class Pace:
    """The request counts of all addresses; used in the event loop."""

    def __init__(self, bounds: FrontBounds, clock: Callable[[], float]) -> None:
        """Starts with no counts; `clock` gives seconds and is monotonic."""
        self._bounds = bounds
        self._asked = Buckets(burst=bounds.burst, each_second=bounds.rate, clock=clock)
        self._strange = Buckets(burst=bounds.strange_burst, each_second=bounds.strange_rate, clock=clock)
        self._each: Counter[str] = Counter()
        self._each_strange: Counter[str] = Counter()
        self._first: dict[tuple[str, str], asyncio.Future[None]] = {}
        """Tokens that no seat holds and that are asked about, by network and text."""

    def take(self, address: str) -> None:
        """Counts a request without a token; raises TooManyRequestsError."""
        self._asked.take(network_of(address), named="this address")

    async def turn(self, address: str, token: str, *, is_known: Callable[[], bool]) -> bool:
        """Returns whether a seat holds the token now; call `question` next, without waiting in between."""
        name = network_of(address)
        while not (known := is_known()) and (first := self._first.get((name, token))) is not None:
            await asyncio.shield(first)  # a waiter may be cancelled
        return known

    @contextmanager
    def question(self, address: str, token: str, *, known: bool) -> Iterator[None]:
        """Reserves a question; `known`: a seat holds it; raises FrontFullError or TooManyRequestsError."""
        name = network_of(address)
        counted = self._require_room(name, known=known)
        if known:
            self._asked.take((name, token), named="this token")
        for one in counted:
            one[name] += 1
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not known:
            self._first[name, token] = asked
        try:
            yield
        except DaemonLostError as error:
            asked.set_exception(error)
            asked.exception()  # waiters get it; there may be none
            raise
        finally:
            for one in counted:
                one[name] -= 1
                if not one[name]:
                    del one[name]
            if not known:
                del self._first[name, token]
            if not asked.done():
                asked.set_result(None)

    def _require_room(self, name: str, *, known: bool) -> list[Counter[str]]:
        bounds = self._bounds
        if self._each.total() >= bounds.proving:
            raise FrontFullError("whose so many requests are is being asked that no other one is taken")
        if self._each[name] >= bounds.proving_each:
            raise TooManyRequestsError("whose so many requests of this address are is being asked")
        if known:
            return [self._each]
        if self._each_strange.total() >= bounds.strange:
            raise FrontFullError("so many tokens are looked at for the first time that no other one is")
        if self._each_strange[name] >= bounds.strange_each:
            raise TooManyRequestsError("so many tokens of this address are looked at for the first time")
        self._strange.take(name, named="with tokens that are not known yet this address")
        return [self._each, self._each_strange]
