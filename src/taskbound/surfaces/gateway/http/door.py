"""The front's door: who may connect, how many, how fast.

Of `door`:

1. What is asked is asked once: a proof of a key is used by it. Where the answer is lost with the connection
   the client shows another proof.
2. A connection that is gone is made anew when something is asked. A daemon that does not answer in time is
   gone. Whoever waited while it could not be made is told so, and does not try it once more: those who wait
   would find it one after another.
3. The front is what its settings say it is, and a daemon that knows it by another name refuses it. Who issues
   tokens the daemon says, and whose certificates TLS asks for. That is asked again and again, and starts no
   daemon; nor does what is told of strangers.

Of `pace`:

1. A request without a token counts for its address, one whose token a seat holds for that token at that
   address, and one with a token that no seat holds for the address' bucket of these: what strangers make up
   is asked about seldom, and whose task is served already is not kept waiting by it.
2. Of the questions that are asked at once one address has a part, and tokens that no seat holds have a part:
   neither leaves nothing for the others. Behind one address all of its clients are one, as all of this
   machine are.
3. A token that no seat holds is one of strangers until the daemon has said whose it is. Its text gives
   nothing else: whether it holds, and who has its key, the daemon says each time.
4. Of an address' requests that show one such token the first is asked about, and the others wait for that: a
   client that renewed its token shows the new one in all that it has to ask, and is no stranger. Where the
   first finds that nobody can be asked, the others have found it too: they do not find it one after another.
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


class Door:
    """The front's own way to the daemon; used in the loop."""

    def __init__(
        self,
        origin: str,
        connect: Connect,
        seat: Callable[[str, str], Connect],
        *,
        there: Connect,
        certified: Callable[[], bool],
    ) -> None:
        """Ask nothing yet.

        Args:
            origin: How the front is known outside.
            connect: Makes its own connection.
            seat: What makes the connection of a seat, from an agent and the text of a token.
            there: Makes its own to a daemon that is there already (rule 3).
            certified: Says whether clients may show certificates now.
        """
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
        """Whose a request to this agent's gateway is (rule 1).

        Raises:
            RefusedByDaemonError: Nobody's, and why.
            DaemonLostError: The daemon is not there, or does not answer.
        """
        answer = await self._asked(await self.reached(), ShowProof(agent=agent, shown=shown))
        if isinstance(answer, Seated):
            return answer
        if isinstance(answer, Fault):
            raise RefusedByDaemonError(answer)
        raise DaemonLostError("the daemon answered with something else")

    async def authorities(self, ask: ShowClientAuthorities) -> Answer:
        """Whose certificates clients may show, as a daemon that is there says (rule 3); raises as `show`."""
        async with self._turn:
            client = await self._reached(self._there)
        return await self._asked(client, ask)

    async def tell(self, ask: TellRefused) -> Answer:
        """Tell a daemon that is there what was refused here (rule 3); raises as `show`."""
        return await self._asked(await self._reached(self._there), ask)

    async def _asked(
        self, client: AsyncClient, ask: ShowProof | ShowClientAuthorities | TellRefused
    ) -> Answer:
        try:
            return await client.ask_any(ask, patience=_PATIENCE)
        except DaemonLostError:
            self._drop(client)  # 2
            raise

    async def published(self, agent: str) -> dict[str, object]:
        """What a client has to know of an agent's gateway (RFC 9728 §2).

        Raises:
            RefusedByDaemonError: The daemon refuses the front.
            DaemonLostError: It is not there.
        """
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
        """The connection, made if there is none (rules 2 and 3).

        Raises:
            RefusedByDaemonError: The daemon refuses the front.
            DaemonLostError: It is not there.
        """
        before = self._failed
        async with self._turn:
            if self._client is None and self._failed is not None and self._failed is not before:
                raise self._failed  # 2
            try:
                return await self._reached(self._connect)
            except TaskboundError as error:
                self._failed = error
                raise

    async def _reached(self, connect: Connect) -> AsyncClient:
        """The same, made so; whose turn it is has `_turn`."""
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
        """End the connection."""
        if self._client is not None:
            self._client.close()


def _unheard(push: Push) -> None:
    """Nothing is said unasked to the front; its seats hear what is."""
    del push


class Pace:
    """What all addresses have asked; used in the loop."""

    def __init__(self, bounds: FrontBounds, clock: Callable[[], float]) -> None:
        """Nobody has asked yet; the clock is of seconds, and steady."""
        self._bounds = bounds
        self._asked = Buckets(burst=bounds.burst, each_second=bounds.rate, clock=clock)
        self._strange = Buckets(burst=bounds.strange_burst, each_second=bounds.strange_rate, clock=clock)
        self._each: Counter[str] = Counter()
        self._each_strange: Counter[str] = Counter()
        self._first: dict[tuple[str, str], asyncio.Future[None]] = {}
        """Tokens that no seat holds and that are asked about, by network and text (rule 4)."""

    def take(self, address: str) -> None:
        """Count one more request without a token (rule 1).

        Raises:
            TooManyRequestsError: It has asked too often.
        """
        self._asked.take(network_of(address), named="this address")

    async def turn(self, address: str, token: str, *, is_known: Callable[[], bool]) -> bool:
        """Wait while another request of this address with this token is asked about (rule 4).

        Args:
            address: Where its client is.
            token: The token's text.
            is_known: Whether a seat holds it.

        Returns:
            Whether a seat holds it now; `question` comes next, and nothing is waited for between.

        Raises:
            DaemonLostError: The other one found that nobody can be asked.
        """
        name = network_of(address)
        while not (known := is_known()) and (first := self._first.get((name, token))) is not None:
            await asyncio.shield(first)  # whoever waits may leave
        return known

    @contextmanager
    def question(self, address: str, token: str, *, known: bool) -> Iterator[None]:
        """The daemon is asked whose a request is, for as long as this lasts (rules 1, 2 and 4).

        What is known of the token by the end of it is known to whoever waited.

        Args:
            address: Where its client is.
            token: The token's text.
            known: Whether a seat holds it.

        Raises:
            FrontFullError: So many are being asked about that no other one is.
            TooManyRequestsError: This address has its part.
        """
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
            asked.exception()  # whoever waits has it; nobody may
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
        """Where one more question of a network counts; raises as `question`."""
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
