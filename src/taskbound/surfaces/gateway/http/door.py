"""How the front asks the daemon whose requests are, over one connection of its own; its seats have others.

1. What is asked is asked once: a proof of a key is used by it. Where the answer is lost with the connection
   the client shows another proof.
2. A connection that is gone is made anew when something is asked. A daemon that does not answer in time is
   gone. Whoever waited while it could not be made is told so, and does not try it once more: those who wait
   would find it one after another.
3. The front is what its settings say it is, and a daemon that knows it by another name refuses it. Who issues
   tokens the daemon says, and whose certificates TLS asks for. That is asked again and again, and starts no
   daemon; nor does what is told of strangers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.sdk.client import DaemonLostError, RefusedByDaemonError
from taskbound.wire.connection import Fault, Seated, ShowProof

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.sdk.client import AsyncClient
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
