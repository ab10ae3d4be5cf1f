"""Whose the tokens of one server are, and how long: one task's, while the daemon says that it is live.

1. They are of the one task that the gateway's process has, or of the first whose permit is used; those of a
   look are a person's. A permit of another task is not sent with them: the server is ended, and another call
   starts it with tokens of its own.
2. Every `FRESH` seconds the daemon is asked whether the task is live and the client's secret the same. Where
   it says no, or says nothing, the server is ended and the token given back, whatever its gateway does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.egress.errors import SecretChangedError
from taskbound.surfaces.egress.tokens import ServerTokens
from taskbound.wire.egress import TellToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.ports.upstream import Upstream
    from taskbound.surfaces.egress.desk import Desk
    from taskbound.surfaces.egress.tokens import TokenState
    from taskbound.wire.egress import Holder, Permit, SealedServer, StartServer

__all__ = ["FRESH", "Owned"]

FRESH: Final = 2.0
"""Seconds between two questions whether a task is live that has tokens."""
_TASKS: Final = 64
"""Tasks that one record names; no process has tokens of more before it makes a call."""
_LAST: Final = 16
"""Tokens that are looked for in what the server says."""


class Owned:
    """The tokens of one server of one connection."""

    def __init__(
        self,
        desk: Desk,
        holder: Holder,
        ask: StartServer,
        told: SealedServer,
        *,
        keep: Callable[[Iterable[str]], None],
    ) -> None:
        """Have none yet.

        Args:
            desk: What to work with.
            holder: The gateway, by the kernel's word.
            ask: What it wants started.
            told: What the daemon says of that.
            keep: Hears before each is used which the last ones are.
        """
        self._desk = desk
        self._holder = holder
        self._ask = ask
        self._told = told
        self._keep = keep
        self._given: deque[str] = deque(maxlen=_LAST)
        self._owner = told.tasks[0] if len(told.tasks) == 1 else ""
        self.tokens: ServerTokens | None = None

    async def begin(self, client: OAuthClient, secret: str) -> None:
        """Have the first token.

        Raises:
            TaskboundError: There is none.
        """
        self.tokens = ServerTokens(
            self._desk.tokens,
            self._desk.tokens.issuer(client, secret),
            client=f"{self._ask.namespace} {self._ask.identity} {_numbers(self._told)}",
            tell=self._tell,
            keep=self._given_anew,
        )
        await self.tokens.current()

    def require_owner(self, permit: Permit) -> None:
        """Go on only with a permit of the task whose tokens these are (rule 1).

        Raises:
            SecretChangedError: It is another's.
        """
        self._owner = self._owner or permit.task
        if permit.task != self._owner:
            raise SecretChangedError(f"the tokens of server `{self._ask.server}` are another task's")

    async def watch(self, upstream: Upstream) -> None:
        """End the server once its tokens are nobody's any more (rule 2)."""
        live = True
        while live:
            await asyncio.sleep(FRESH)
            live = await self._is_live()
        upstream.kill("its task is not live any more, or its client's secret is another")
        self.end()

    def end(self) -> None:
        """Give the token back."""
        if self.tokens is not None:
            self.tokens.end()

    def _given_anew(self, token: str) -> None:
        self._given.append(token)
        self._keep(self._given)
        self._desk.tokens.kept(token)

    async def _is_live(self) -> bool:
        try:
            told = await self._desk.authority.server(self._ask.namespace, self._ask.server, self._holder)
        except TaskboundError:
            return False
        same = _numbers(told) == _numbers(self._told)
        return same and (not self._owner or self._owner in told.tasks)

    async def _tell(self, name: str, state: TokenState, seconds: int, why: str) -> None:
        told = TellToken(
            server=self._ask.server,
            identity=self._ask.identity,
            token=name,
            state=state,
            tasks=(self._owner,) if self._owner else self._told.tasks[:_TASKS],
            seconds=seconds,
            why=why,
            holder=self._holder if state == "asked" and not self._told.tasks else None,
        )
        await self._desk.authority.tell(self._ask.namespace, told)


def _numbers(told: SealedServer) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((one.slot, one.number) for one in told.secrets))
